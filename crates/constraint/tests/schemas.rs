//! Schemas as people send them, each with answers that are right and answers that are not, held against the grammar, in
//! the default model's own tokens, and against the check.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use baton_constraint::{Grammar, Grammars, Schema};
use baton_contract::Constraint;
use baton_decoder::ModelFile;
use baton_text::{SpecialTokens, Tokenizer, TokenizerSpec};
use serde_json::{Value, json};

fn tokenizer() -> Tokenizer {
    let metadata = ModelFile::open(&baton_testkit::model_path()).unwrap().tokenizer().unwrap();
    Tokenizer::from_gguf(TokenizerSpec {
        model: metadata.model,
        pre: metadata.pre,
        tokens: metadata.tokens,
        token_types: metadata.token_types.unwrap_or_default(),
        merges: metadata.merges,
        special: SpecialTokens { eos: metadata.eos, ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    })
    .unwrap()
}

/// Whether `text` can be drawn as the answer, in the tokens that the model itself would write it in.
fn draws(grammar: &Grammar, tokenizer: &Tokenizer, text: &str) -> bool {
    let mut walk = grammar.begin();
    for token in tokenizer.encode(text) {
        if !walk.next().unwrap().tokens.contains(token) {
            return false;
        }
        walk.advance(token).unwrap();
    }
    walk.next().unwrap().may_end
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// One schema a line: `name`, `group`, `prompt`, `schema`, `good` and `bad` answers.
fn requests() -> Vec<Value> {
    let lines = include_str!("../../../tests/fixtures/schemas/requests.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn schemas_as_people_send_them_are_taken_and_their_answers_are_told_apart() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(&tokenizer);
    let mut wrong = Vec::new();
    for request in requests() {
        let name = request["name"].as_str().unwrap();
        let schema = Schema::read(&request["schema"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let grammar = grammars.compile(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (kind, is_good) in [("good", true), ("bad", false)] {
            assert!(!list(&request[kind]).is_empty(), "{name} has no {kind} answer");
            for answer in list(&request[kind]) {
                let checked = schema.check(answer);
                let drawn = draws(&grammar, &tokenizer, &answer.to_string());
                if (checked.is_ok(), drawn) != (is_good, is_good) {
                    wrong.push(format!("{name}, {kind}: {answer}: drawn {drawn}, checked {checked:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reads `cases.jsonl` of a folder (each line a `schema` and `answers`, each of which is a list of texts that spell one
/// value) and writes `outcomes.jsonl` there: why the schema was refused, or how long it compiled, and which spelling of
/// each answer can be drawn and whether the value passes the check.
#[test]
#[ignore = "judges what scripts/test-schemas hands it"]
fn cases_are_judged() {
    #[expect(clippy::disallowed_methods, reason = "the script says where it looks")]
    let folder = std::env::var("BATON_SCHEMAS_FOLDER").expect("BATON_SCHEMAS_FOLDER is not set");
    let tokenizer = tokenizer();
    let grammars = Grammars::new(&tokenizer);
    // The first also prepares the vocabulary.
    grammars.compile(&Schema::any_object()).unwrap();
    let cases = fs::read_to_string(Path::new(&folder).join("cases.jsonl")).unwrap();
    let mut outcomes = String::new();
    for case in cases.lines() {
        let case: Value = serde_json::from_str(case).unwrap();
        outcomes += &outcome(&case, &grammars, &tokenizer).to_string();
        outcomes.push('\n');
    }
    fs::write(Path::new(&folder).join("outcomes.jsonl"), outcomes).unwrap();
}

fn outcome(case: &Value, grammars: &Grammars, tokenizer: &Tokenizer) -> Value {
    let began = Instant::now();
    let compiled = Schema::read(&case["schema"]).and_then(|schema| Ok((grammars.compile(&schema)?, schema)));
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap();
    let (grammar, schema) = match compiled {
        Ok(both) => both,
        Err(error) => return json!({"refused": error.to_string()}),
    };
    let answers = list(&case["answers"]).iter().map(|spellings| {
        let texts: Vec<&str> = list(spellings).iter().map(|text| text.as_str().unwrap()).collect();
        let value: Option<Value> = serde_json::from_str(texts[0]).ok();
        let drawn = texts.iter().position(|text| draws(&grammar, tokenizer, text));
        json!({"drawn": drawn, "checked": value.map(|value| schema.check(&value).is_ok())})
    });
    json!({"compile_us": micros, "answers": answers.collect::<Vec<_>>()})
}
