//! Calls of tools: what may be drawn, for every form.

use baton_contract::{Constraint, Next, TokenId};
use baton_text::{CallForm, Mark, Named};
use expect_test::expect;
use serde_json::{Value, json};

use super::{MARK, grammars};
use crate::calls::source;
use crate::{CallGrammar, CallRules, Schema};

fn forms() -> [(&'static str, CallForm); 8] {
    // One token of the scaffold stands for the marks that are tokens.
    let token = |text| Mark::Token { token: MARK, text };
    let form = |open, close, list, bare, arguments| CallForm { open, close, list, bare, arguments, named: None };
    let named = |open, id, arguments| CallForm {
        named: Some(Named { id, arguments }),
        ..form(Some(open), None, false, false, "arguments")
    };
    let (args, id) = (Mark::Text("[ARGS]"), Mark::Text("[CALL_ID]"));
    let (open, close) = (Mark::Text("<tool_call>"), Mark::Text("</tool_call>"));
    [
        ("hermes", form(Some(open), Some(close), false, false, "arguments")),
        ("mistral", form(Some(token("[TOOL_CALLS]")), None, true, false, "arguments")),
        ("phi", form(Some(token("<|tool_call|>")), Some(token("<|/tool_call|>")), true, false, "arguments")),
        ("newer", named(token("[TOOL_CALLS]"), None, token("[ARGS]"))),
        ("with id", named(token("[TOOL_CALLS]"), Some(token("[CALL_ID]")), token("[ARGS]"))),
        ("spelled", named(Mark::Text("[TOOL_CALLS]"), Some(id), args)),
        ("llama", form(Some(token("<|python_tag|>")), None, false, true, "parameters")),
        ("gemma", form(None, None, false, true, "parameters")),
    ]
}

fn rules(name: &str, must: bool, many: bool) -> CallRules {
    let form = forms().into_iter().find(|(known, _)| *known == name).map(|(_, form)| form).unwrap();
    let city = json!({"properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]});
    let clock = json!({"type": "object", "properties": {}});
    let list = json!({"type": "object", "properties": {"list": {"$ref": "#/$defs/list"}}, "required": ["list"],
        "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}, "maxItems": 1}}});
    let tools = [("weather", city), ("weather_now", clock), ("nest-it", list)];
    let tools = tools.map(|(name, schema)| (name.to_owned(), Schema::read_arguments(&schema).unwrap()));
    CallRules { form, tools: tools.into(), must, many }
}

fn compile(rules: &CallRules) -> CallGrammar {
    grammars().compile_calls(rules).unwrap_or_else(|error| panic!("{error}\n{}", source(rules)))
}

/// Draws `text`, in which `⟨⟩` stands for the mark, byte by byte: whether it may end there, or where it was stopped.
fn draw(grammar: &CallGrammar, text: &str) -> Result<bool, usize> {
    let mut walk = grammar.begin();
    let text = text.replace("⟨⟩", "\0");
    for (at, byte) in text.bytes().enumerate() {
        let Next { tokens, .. } = walk.next().unwrap();
        let token = if byte == 0 { MARK } else { TokenId::from(byte) };
        if !tokens.contains(token) {
            return Err(at);
        }
        walk.advance(token).unwrap();
    }
    Ok(walk.next().unwrap().may_end)
}

const WEATHER: &str = r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#;
const CLOCK: &str = r#"{"name":"weather_now","arguments":{}}"#;

#[test]
fn an_answer_may_be_text_and_lead_into_calls() {
    let hermes = compile(&rules("hermes", false, true));
    let whole = |call: &str| format!("<tool_call>\n{call}\n</tool_call>");
    let text = ["", "It is cold. {\"a\": 1}", "<tool_cal", "\n\n", "日本"];
    for text in text {
        assert_eq!(draw(&hermes, text), Ok(true), "{text}");
        assert_eq!(draw(&hermes, &format!("{text}{}", whole(WEATHER))), Ok(true), "{text}");
    }
    let both = [whole(WEATHER), whole(CLOCK)];
    assert_eq!(draw(&hermes, &both.join("\n")), Ok(true));
    assert_eq!(draw(&hermes, &both.concat()), Ok(true));
    assert_eq!(draw(&hermes, &format!("{} so", both[0])), Err(both[0].len() + 1), "calls come last");
    assert_eq!(draw(&hermes, "<tool_call>\n"), Ok(false));
    let nested = r#"<tool_call>{"name": "nest-it", "arguments": {"list": [[[]]]}}</tool_call>"#;
    assert_eq!(draw(&hermes, nested), Ok(true));
    let one = compile(&rules("hermes", false, false));
    assert_eq!(draw(&one, &format!("So: {}", both[0])), Ok(true));
    assert_eq!(draw(&one, &both.concat()), Err(both[0].len()));
}

#[test]
fn an_answer_that_must_call_does_nothing_else() {
    for (name, before, after) in
        [("hermes", "<tool_call>", "</tool_call>"), ("mistral", "⟨⟩[", "]"), ("phi", "⟨⟩[", "]⟨⟩")]
    {
        let grammar = compile(&rules(name, true, true));
        assert_eq!(draw(&grammar, ""), Ok(false), "{name}");
        assert_eq!(draw(&grammar, "It"), Err(0), "{name}");
        assert_eq!(draw(&grammar, &format!("{before}{WEATHER}{after}")), Ok(true), "{name}");
    }
    for name in ["llama", "gemma"] {
        let grammar = compile(&rules(name, true, true));
        let call = WEATHER.replace("arguments", "parameters");
        assert_eq!(draw(&grammar, "It"), Err(0), "{name}");
        assert_eq!(draw(&grammar, &call), Ok(true), "{name}");
        assert_eq!(draw(&grammar, &format!("```json\n{call}\n```")), Ok(true), "{name}");
    }
}

#[test]
fn arguments_meet_their_schemas() {
    let wrong = [
        (r#"{"name": "wether"#, 12),
        (r#"{"name": "weather", "arguments": {}"#, 34),
        (r#"{"name": "weather", "arguments": {"city": "Paris""#, 43),
        (r#"{"name": "weather", "arguments": {"city": "Oslo", "#, 48),
        (r#"{"name": "weather", "arguments": "{"#, 33),
        (r#"{"name": "weather_now", "arguments": {"city"#, 38),
        (r#"{"arguments"#, 2),
    ];
    for must in [false, true] {
        let grammar = compile(&rules("hermes", must, true));
        for (text, at) in wrong {
            let lead = "<tool_call>";
            assert_eq!(draw(&grammar, &format!("{lead}{text}")), Err(lead.len() + at), "{text}");
        }
    }
}

#[test]
fn marks_that_are_tokens_are_no_text() {
    for (name, after) in [("mistral", ""), ("phi", "⟨⟩")] {
        let grammar = compile(&rules(name, false, true));
        let calls = format!("⟨⟩[{WEATHER}, {CLOCK}]{after}");
        assert_eq!(draw(&grammar, &calls), Ok(true), "{name}");
        assert_eq!(draw(&grammar, &format!("So. {calls}")), Ok(true), "{name}");
        assert_eq!(draw(&grammar, "[TOOL_CALLS]<|tool_call|> oh"), Ok(true), "{name}");
        assert_eq!(draw(&grammar, "⟨⟩oh"), Err(1), "{name}");
    }
    let llama = compile(&rules("llama", false, true));
    let call = WEATHER.replace("arguments", "parameters");
    assert_eq!(draw(&llama, &format!("⟨⟩{call}")), Ok(true));
    assert_eq!(draw(&llama, "⟨⟩oh"), Err(1));
}

#[test]
fn a_call_may_be_its_name_and_its_arguments() {
    let city = r#"{"city": "Oslo"}"#;
    let rows = [
        ("newer", format!("⟨⟩weather⟨⟩{city}⟨⟩weather_now⟨⟩{{}}")),
        ("with id", format!("⟨⟩weather⟨⟩a1B2c3D4e⟨⟩{city}⟨⟩weather_now⟨⟩000000000⟨⟩{{}}")),
        ("spelled", format!("[TOOL_CALLS]weather[CALL_ID]a1B2c3D4e[ARGS]{city}")),
    ];
    for (name, call) in rows {
        let (must, may) = (compile(&rules(name, true, true)), compile(&rules(name, false, true)));
        assert_eq!(draw(&must, &call), Ok(true), "{name}");
        assert_eq!(draw(&may, &call), Ok(true), "{name}");
        assert_eq!(draw(&may, &format!("So.\n{call}")), Ok(true), "{name}");
        assert!(draw(&may, &format!("{call} so")).is_err(), "{name}: calls come last");
        assert!(draw(&must, &call.replace("Oslo", "Paris")).is_err(), "{name}");
        assert!(draw(&must, &call.replace("weather", "whether")).is_err(), "{name}");
        assert_eq!(draw(&must, ""), Ok(false), "{name}");
    }
    let with_id = compile(&rules("with id", true, true));
    assert!(draw(&with_id, &format!("⟨⟩weather⟨⟩short⟨⟩{city}")).is_err());
}

#[test]
fn a_call_without_a_mark_is_the_whole_answer() {
    for name in ["llama", "gemma"] {
        let grammar = compile(&rules(name, false, true));
        let call = WEATHER.replace("arguments", "parameters");
        for text in ["", "It is cold.", "{\"city\": 1}", "{\"names\": 1}", "So {\"name\": \"x\"}", "```python\nx\n```"]
        {
            assert_eq!(draw(&grammar, text), Ok(true), "{name}: {text}");
        }
        assert_eq!(draw(&grammar, &call), Ok(true), "{name}");
        assert_eq!(draw(&grammar, &format!("```tool_code\n{call}\n```")), Ok(true), "{name}");
        assert_eq!(draw(&grammar, &format!("{call}x")), Err(call.len()), "{name}");
        assert_eq!(draw(&grammar, "{\"name\": \"x"), Err(10), "{name}");
    }
}

#[test]
fn whose_schema_is_at_fault_is_told() {
    let mut rules = rules("hermes", true, true);
    let nothing = json!({"properties": {"a": {"type": "integer", "minimum": 3, "maximum": 2}}, "required": ["a"]});
    rules.tools[1].1 = Schema::read_arguments(&nothing).unwrap();
    let error = grammars().compile_calls(&rules).map(drop).unwrap_err();
    assert_eq!(error.tool, Some(1));
    rules.tools.clear();
    let error = grammars().compile_calls(&rules).map(drop).unwrap_err();
    expect!["1 to 128 tools can be offered at once"].assert_eq(&error.to_string());
    let refused = |schema: Value| Schema::read_arguments(&schema).map(drop).unwrap_err().to_string();
    let all = [json!("x"), json!({"type": "string"}), json!({"anyOf": [{"type": "object"}]}), json!({"not": {}})];
    expect![[r"
        a schema is an object
        arguments are an object: `type` is `object`
        arguments are an object: `type` is `object`
        at `/not`: `not` cannot be honoured while an answer is drawn; say what is allowed, not what is not"]]
    .assert_eq(&all.map(refused).join("\n"));
}
