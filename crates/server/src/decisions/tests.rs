//! One row per field and limit: what is read, and what a refusal says.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::types::{DecisionRequest, DecisionUsage};
use crate::json;

/// A body with these fields beside model, input and questions; a field of that name replaces them.
fn body(fields: &str) -> Value {
    let question = json!({"type": "predicate", "instructions": "It is safe."});
    let mut body = json!({"model": "ux", "input": "hi", "questions": [question]});
    let fields = json::parse(format!("{{{fields}}}").as_bytes()).unwrap();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn read(fields: &str) -> Result<DecisionRequest, String> {
    DecisionRequest::read(body(fields)).map_err(|error| {
        let error = serde_json::to_value(error.body()).unwrap();
        let field = |name: &str| error["error"][name].as_str().unwrap_or("-").to_owned();
        format!("{} [{}] {}", field("param"), field("code"), field("message"))
    })
}

fn refusals(rows: &[&str]) -> String {
    rows.iter().fold(String::new(), |mut all, row| {
        writeln!(all, "{}", read(row).expect_err(row)).unwrap();
        all
    })
}

/// The messages of an input, one a line.
fn messages(input: &str) -> String {
    let request = read(&format!(r#""input": {input}"#)).unwrap();
    let lines = request.input.iter().map(|message| format!("{:?}: {:?}", message.role, message.content));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_clients_send_and_cannot_change_the_answer_is_accepted() {
    for row in [
        r#""prompt_cache_key": "k", "safety_identifier": "s""#,
        r#""prompt_cache_options": {"mode": "explicit", "ttl": "30m"}"#,
        r#""prompt_cache_options": null, "prompt_cache_key": null, "safety_identifier": null, "metadata": null"#,
        r#""input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]}]"#,
        r#""input": [{"role": "assistant", "content": "x", "phase": "final_answer", "type": "message"}]"#,
    ] {
        assert_eq!(read(row).err(), None, "{row}");
    }
    let request = read(r#""metadata": {"why": "to ship", "process": "release", "ticket": "7"}"#).unwrap();
    assert_eq!((request.intent.why.as_deref(), request.intent.process.as_deref()), (Some("to ship"), Some("release")));
}

#[test]
fn every_kind_of_input_becomes_text() {
    expect![[r#"User: "hi""#]].assert_eq(&messages(r#""hi""#));
    expect![[r#"
        System: "be strict"
        Developer: "a\nb"
        User: "look:\n{\"id\":7,\"tags\":[\"x\",null]}\n[{}]"
        Assistant: "done\nno"
        Assistant: "Call of crm.find:\n{\"id\":7}"
        Assistant: "Call of grep:\nfoo .*"
        User: "Result of grep:\nfoo bar"
        User: "Result of crm.find:\nAda\nLovelace""#]]
    .assert_eq(&messages(
        r#"[
            {"role": "system", "content": "be strict"},
            {"role": "developer", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "user", "content": [
                {"type": "input_text", "text": "look:"},
                {"type": "input_json", "data": {"id": 7, "tags": ["x", null]}},
                {"type": "input_json", "data": [{}]}
            ]},
            {"role": "assistant", "content": [
                {"type": "output_text", "text": "done"}, {"type": "refusal", "refusal": "no"}
            ]},
            {"type": "function_call", "call_id": "1", "name": "find", "namespace": "crm", "arguments": "{\"id\":7}",
             "status": "completed", "id": "fc_1"},
            {"type": "custom_tool_call", "call_id": "2", "name": "grep", "input": "foo .*"},
            {"type": "custom_tool_call_output", "call_id": "2", "output": "foo bar"},
            {"type": "function_call_output", "call_id": "1",
             "output": [{"type": "input_text", "text": "Ada"}, {"type": "input_text", "text": "Lovelace"}]}
        ]"#,
    ));
}

#[test]
fn inputs_that_cannot_be_read_are_refused_by_name() {
    let deep = format!(
        r#""input": [{{"role": "user", "content": [{{"type": "input_json", "data": {}{{}}{}}}]}}]"#,
        r#"{"a":"#.repeat(32),
        "}".repeat(32)
    );
    expect![[r#""#]].assert_eq(&refusals(&[
        r#""input": null"#,
        r#""input": []"#,
        r#""input": 7"#,
        r#""input": ["x"]"#,
        r#""input": [{"content": "x"}]"#,
        r#""input": [{"role": "tool", "content": "x"}]"#,
        r#""input": [{"role": "user"}]"#,
        r#""input": [{"role": "user", "content": "x", "name": "y"}]"#,
        r#""input": [{"role": "system", "content": "x", "phase": "final_answer"}]"#,
        r#""input": [{"role": "assistant", "content": "x", "phase": "late"}]"#,
        r#""input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]"#,
        r#""input": [{"role": "system", "content": [{"type": "input_json", "data": {}}]}]"#,
        r#""input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]"#,
        r#""input": [{"role": "user", "content": [{"type": "input_text"}]}]"#,
        r#""input": [{"role": "user", "content": [{"type": "input_json", "data": [1]}]}]"#,
        r#""input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "prompt_cache_breakpoint": {}}]}]"#,
        &deep,
        r#""input": [{"type": "item_reference", "id": "x"}]"#,
        r#""input": [{"type": "function_call", "name": "f", "arguments": "{}"}]"#,
        r#""input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]"#,
        r#""input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}, {"type": "custom_tool_call_output", "call_id": "1", "output": "x"}]"#,
        r#""input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}, {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}]"#,
    ]));
}

#[test]
fn questions_that_cannot_be_asked_are_refused_by_name() {
    let many = |count: usize, question: &str| format!(r#""questions": [{}]"#, vec![question; count].join(","));
    let predicate = r#"{"type": "predicate", "instructions": "x"}"#;
    let options: Vec<String> = (0..255).map(|value| format!(r#"{{"value": "{value}"}}"#)).collect();
    let wide = format!(r#"{{"type": "choice", "instructions": "x", "choices": [{}]}}"#, options.join(","));
    assert_eq!(read(&many(400, predicate)).err(), None);
    assert_eq!(read(&many(16, &wide)).err(), None);
    expect![[r#""#]].assert_eq(&refusals(&[
        r#""questions": null"#,
        r#""questions": []"#,
        &many(401, predicate),
        &many(17, &wide),
        r#""questions": [{"instructions": "x"}]"#,
        r#""questions": [{"type": "essay", "instructions": "x"}]"#,
        r#""questions": [{"type": "predicate"}]"#,
        r#""questions": [{"type": "predicate", "instructions": " "}]"#,
        r#""questions": [{"type": "predicate", "instructions": "x", "choices": []}]"#,
        r#""questions": [{"type": "predicate", "instructions": "x", "name": 7}]"#,
        r#""questions": [{"type": "choice", "instructions": "x"}]"#,
        r#""questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}]}]"#,
        r#""questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}, {"value": 1}]}]"#,
        r#""questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}, {"value": "a "}]}]"#,
        r#""questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}, {"label": "b"}]}]"#,
        r#""questions": [{"type": "score", "instructions": "x", "levels": [{"label": "a"}, {"label": "b", "value": 3}]}]"#,
        r#""questions": [{"type": "score", "instructions": [{"type": "input_image", "image_url": "x"}], "levels": []}]"#,
    ]));
}

#[test]
fn fields_that_would_change_the_answer_are_refused() {
    expect![[r#""#]].assert_eq(&refusals(&[
        r#""model": null"#,
        r#""temperature": 0.5"#,
        r#""stream": true"#,
        r#""tools": [{}]"#,
        r#""surprise": 1"#,
        r#""prompt_cache_options": {"mode": "never"}"#,
        r#""prompt_cache_options": {"ttl": "1h"}"#,
        r#""prompt_cache_key": 7"#,
        r#""metadata": {"why": 7}"#,
    ]));
}

#[test]
fn what_questions_share_counts_once() {
    let usage = |prompts: &[&[u32]], prefix, computed| {
        let prompts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
        let usage = DecisionUsage::new(&prompts, prefix, computed, 5);
        let details = &usage.input_tokens_details;
        assert_eq!(details.cache_write_tokens + details.cached_tokens, usage.input_tokens);
        assert_eq!(usage.total_tokens, usage.input_tokens + 5);
        (usage.input_tokens, details.cached_tokens)
    };
    assert_eq!(usage(&[&[1, 2, 3]], 0, 3), (3, 0));
    assert_eq!(usage(&[&[1, 2, 3], &[1, 2, 4, 5], &[1, 2]], 100, 105), (100 + 2 + 1 + 2, 0));
    assert_eq!(usage(&[&[1, 2, 3], &[1, 2, 4, 5], &[1, 2]], 100, 12), (105, 93));
    // Parts of blocks that several answers compute may come to more than the input.
    assert_eq!(usage(&[&[1, 2, 3]], 0, 9), (3, 0));
}
