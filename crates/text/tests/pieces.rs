//! Tokenizers in `SentencePiece`'s manner against Google's own: see `tests/fixtures/tokenizer/make_pieces.py`.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test ends at the first thing that is wrong"
)]

use baton_contract::TokenId;
use baton_text::{ChatTemplate, LeadingBlank, SpecialTokens, Tokenizer, TokenizerSpec};
use serde_json::{Value, json};

fn fixture(name: &str) -> Value {
    let fixture = include_str!("../../../tests/fixtures/tokenizer/pieces.json");
    serde_json::from_str::<Value>(fixture).unwrap()[name].take()
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value.as_array().unwrap().iter().map(|one| read(one).unwrap()).collect()
}

fn texts(value: &Value) -> Vec<String> {
    list(value, |one| one.as_str().map(str::to_owned))
}

fn ids(value: &Value) -> Vec<TokenId> {
    list(value, |one| one.as_u64().and_then(|id| id.try_into().ok()))
}

/// As a GGUF file describes it.
fn spec(fixture: &Value, model: &str, leading_blank: LeadingBlank) -> TokenizerSpec {
    let id = |name: &str| fixture[name].as_u64().map(|id| TokenId::try_from(id).unwrap());
    TokenizerSpec {
        model: model.to_owned(),
        tokens: texts(&fixture["tokens"]),
        token_types: list(&fixture["token_types"], |one| one.as_i64().and_then(|kind| kind.try_into().ok())),
        scores: list(&fixture["scores"], |one| one.as_f64().map(|score| score as f32)),
        leading_blank,
        special: SpecialTokens { bos: id("bos"), eos: id("eos"), unknown: id("unknown"), ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    }
}

/// The same as `tokenizer.json` has it.
fn json_of(fixture: &Value, kind: &str, normalizer: &Value, pre: &Value) -> Tokenizer {
    let tokens = texts(&fixture["tokens"]);
    let scores = list(&fixture["scores"], Value::as_f64);
    let added: Vec<_> = (0..3).map(|id| json!({"id": id, "content": tokens[id], "special": true})).collect();
    let vocab = if kind == "Unigram" {
        json!(tokens.iter().zip(&scores).map(|(text, score)| json!([text, score])).collect::<Vec<_>>())
    } else {
        json!(tokens.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect::<serde_json::Map<_, _>>())
    };
    let model = json!({
        "type": kind, "vocab": vocab, "merges": fixture["merges"], "byte_fallback": kind == "BPE", "fuse_unk": true,
        "unk_token": tokens[0], "unk_id": 0
    });
    let tokenizer = json!({"added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre, "model": model});
    let (spec, _) = TokenizerSpec::from_json(tokenizer.to_string().as_bytes(), None).unwrap();
    Tokenizer::from_gguf(spec).unwrap()
}

fn sentencepiece_byte(text: &str) -> bool {
    text.starts_with("<0x")
}

/// Every text is cut as there; joined again, it is the text, behind the blank that was put before it.
fn compare(fixture: &Value, tokenizer: &Tokenizer, blank: &str, what: &str) {
    for case in fixture["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        // Hugging Face's engine for this kind takes the spelling of a byte for the byte, wherever it stands.
        if what == "unigram" && sentencepiece_byte(text) {
            continue;
        }
        let expected = ids(&case["tokens"]);
        let found = tokenizer.encode_prompt(text);
        let spelled = |tokens: &[TokenId]| {
            tokens.iter().map(|token| String::from_utf8_lossy(tokenizer.piece(*token)).into_owned()).collect::<Vec<_>>()
        };
        // sentencepiece puts no blank before nothing.
        if !text.is_empty() {
            assert_eq!(spelled(&found), spelled(&expected), "{what}: {text:?}");
            assert_eq!(found, expected, "{what}: {text:?}");
            assert_eq!(tokenizer.decode(&found), format!("{blank}{}", text.replace('\u{2581}', " ")), "{what}");
        }
        assert!(!found.iter().any(|token| tokenizer.is_control(*token)), "{what}: {text:?}");
    }
}

#[test]
fn texts_are_cut_as_sentencepiece_does() {
    let bpe = fixture("bpe");
    compare(&bpe, &Tokenizer::from_gguf(spec(&bpe, "llama", LeadingBlank::Each)).unwrap(), " ", "bpe");
    let bare = fixture("bpe_without_leading_blank");
    compare(&bare, &Tokenizer::from_gguf(spec(&bare, "llama", LeadingBlank::Never)).unwrap(), "", "bpe, no blank");
    let unigram = fixture("unigram");
    compare(&unigram, &Tokenizer::from_gguf(spec(&unigram, "unigram", LeadingBlank::Each)).unwrap(), " ", "unigram");
}

#[test]
fn so_are_those_of_a_tokenizer_in_json() {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
    let llama2 = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"}, replace]});
    let gemma = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": split});
    let bpe = fixture("bpe");
    compare(&bpe, &json_of(&bpe, "BPE", &llama2, &json!(null)), " ", "as Llama 2");
    compare(&bpe, &json_of(&bpe, "BPE", &json!(null), &metaspace("first", false)), " ", "as Mistral");
    let bare = fixture("bpe_without_leading_blank");
    compare(&bare, &json_of(&bare, "BPE", &replace, &gemma), "", "as Gemma");
    compare(&bare, &json_of(&bare, "BPE", &json!(null), &metaspace("never", false)), "", "no blank");
    let unigram = fixture("unigram");
    compare(&unigram, &json_of(&unigram, "Unigram", &json!(null), &metaspace("always", false)), " ", "unigram");
    // Where each blank begins a word, no piece is longer than one blank at its beginning.
    let words = json_of(&unigram, "Unigram", &json!(null), &metaspace("always", true));
    let pieces: Vec<_> = words.encode("x     y").into_iter().map(|token| words.piece(token).to_vec()).collect();
    assert_eq!(pieces, [&b"x"[..], b" ", b" ", b" ", b" ", b" ", b"y"]);
}

/// Scaffold takes no blank before it, and what follows does where the tokenizer says so.
#[test]
fn blanks_are_put_behind_scaffold() {
    let bpe = fixture("bpe");
    let tokens = |leading| {
        let tokenizer = Tokenizer::from_gguf(spec(&bpe, "llama", leading)).unwrap();
        let template = ChatTemplate::compile("{{ 'the' }}</s>{{ 'the' }}", &tokenizer).unwrap();
        let tokens = tokenizer.encode_rendered(&template.render(&[], false).unwrap());
        assert!(tokenizer.is_control(tokens[tokens.iter().position(|token| *token == 2).unwrap()]));
        tokenizer.decode(&tokens)
    };
    assert_eq!(tokens(LeadingBlank::Each), " the the");
    assert_eq!(tokens(LeadingBlank::First), " thethe");
    assert_eq!(tokens(LeadingBlank::Never), "thethe");
}

/// The prompts of Gemma's golden file, which llama.cpp cut: plain text, and chats with their scaffold.
#[test]
#[ignore = "needs Gemma 3 270M, which scripts/test-models fetches"]
fn gemmas_prompts_are_cut_as_llama_cpp_does() {
    #[expect(clippy::disallowed_methods, reason = "tests find the model as the scripts left it")]
    let path = std::env::var("BATON_TEST_GEMMA").expect("BATON_TEST_GEMMA is not set; run scripts/test-models");
    let metadata = baton_decoder::ModelFile::open(path.as_ref()).unwrap().tokenizer().unwrap();
    assert_eq!(metadata.add_space_prefix, Some(false));
    let tokenizer = Tokenizer::from_gguf(TokenizerSpec {
        model: metadata.model,
        tokens: metadata.tokens,
        token_types: metadata.token_types.unwrap(),
        scores: metadata.scores.unwrap(),
        special: SpecialTokens { unknown: metadata.unknown, ..SpecialTokens::default() },
        ..TokenizerSpec::default()
    })
    .unwrap();
    let golden = include_str!("../../../tests/fixtures/golden/gemma-3-270m-q4_k_m.json");
    let golden: Value = serde_json::from_str(golden).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        // JSON's notation of a string is one of Jinja's.
        let source = format!("{{{{ {} }}}}", case["prompt"]);
        let rendered = ChatTemplate::compile(&source, &tokenizer).unwrap().render(&[], false).unwrap();
        assert_eq!(tokenizer.encode_rendered(&rendered), ids(&case["tokens"]), "{}", case["prompt"]);
    }
}
