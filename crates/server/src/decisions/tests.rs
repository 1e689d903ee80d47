//! One row per field and limit: what is read, and what a refusal says.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::types::{DecisionRequest, DecisionUsage};
use crate::cue::Cost;
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
    expect![[r"
        input [missing_required_parameter] you must provide `input`
        input [invalid_value] `input` is empty; give at least one message
        input [invalid_value] `input` must be a string or an array of messages, not an integer
        input[0] [invalid_value] `input[0]` must be an object, not a string
        input[0].role [missing_required_parameter] you must provide `input[0].role`
        input[0].role [invalid_value] `tool` is no role; use system, developer, user or assistant
        input[0].content [missing_required_parameter] you must provide `input[0].content`
        input[0].name [unknown_parameter] unrecognized request argument supplied: input[0].name
        input[0].phase [unknown_parameter] unrecognized request argument supplied: input[0].phase
        input[0].phase [invalid_value] `input[0].phase` must be commentary or final_answer
        input[0].content[0].type [unsupported_parameter] images are not supported; this model reads text only
        input[0].content[0].type [invalid_value] only parts of type input_text are taken here
        input[0].content[0].type [invalid_value] only parts of type input_text and input_json are taken here
        input[0].content[0].text [missing_required_parameter] you must provide `input[0].content[0].text`
        input[0].content[0].data [invalid_value] `input[0].content[0].data` must be an object or an array of objects, not an array
        input[0].content[0].prompt_cache_breakpoint.mode [missing_required_parameter] you must provide `input[0].content[0].prompt_cache_breakpoint.mode`
        input[0].content[0].data [invalid_value] `input[0].content[0].data` takes 32 levels, 10000 values and 262144 bytes at most
        input[0].type [unsupported_parameter] items of type `item_reference` are not supported
        input[0].call_id [missing_required_parameter] you must provide `input[0].call_id`
        input[0].call_id [invalid_value] no call before this has the same `call_id`
        input[1].call_id [invalid_value] no call before this has the same `call_id`
        input[1].call_id [invalid_value] two calls have this `call_id`; give each its own
    "]].assert_eq(&refusals(&[
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
    expect![[r"
        questions [missing_required_parameter] you must provide `questions`
        questions [invalid_value] `questions` takes 1 to 400 questions, not 0
        questions [invalid_value] `questions` takes 1 to 400 questions, not 401
        questions [invalid_value] the questions allow 4335 answers in all, and 4096 at most; ask in parts
        questions[0].type [missing_required_parameter] you must provide `questions[0].type`
        questions[0].type [invalid_value] `essay` is no type of question; use predicate, choice or score
        questions[0].instructions [missing_required_parameter] you must provide `questions[0].instructions`
        questions[0].instructions [invalid_value] the instructions are empty; say what is asked
        questions[0].choices [unknown_parameter] unrecognized request argument supplied: questions[0].choices
        questions[0].name [invalid_value] `questions[0].name` must be a string, not an integer
        questions[0].choices [missing_required_parameter] you must provide `questions[0].choices`
        questions[0].choices [invalid_value] a question needs 2 to 255 choices, not 1
        questions[0].choices[1].value [invalid_value] `questions[0].choices[1].value` must be a string or a boolean, not an integer
        questions[0].choices [invalid_value] answers 0 and 1 are the same; every allowed answer must differ from the others
        questions[0].choices[1].value [missing_required_parameter] you must provide `questions[0].choices[1].value`
        questions[0].levels[1].value [unknown_parameter] unrecognized request argument supplied: questions[0].levels[1].value
        questions[0].instructions[0].type [unsupported_parameter] images are not supported; this model reads text only
    "]].assert_eq(&refusals(&[
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
    expect![[r"
        model [missing_required_parameter] you must provide `model`
        temperature [unknown_parameter] unrecognized request argument supplied: temperature
        stream [unknown_parameter] unrecognized request argument supplied: stream
        tools [unsupported_parameter] `tools`: only chats and responses call tools; use POST /v1/chat/completions
        surprise [unknown_parameter] unrecognized request argument supplied: surprise
        prompt_cache_options.mode [invalid_value] `prompt_cache_options.mode` must be implicit or explicit
        prompt_cache_options.ttl [invalid_value] `prompt_cache_options.ttl` must be 30m
        prompt_cache_key [invalid_value] `prompt_cache_key` must be a string, not an integer
        metadata [invalid_value] `metadata` holds strings only, not an integer
    "]]
    .assert_eq(&refusals(&[
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
    let usage = |prompts: &[&[u32]], prefix, (computed, there)| {
        let prompts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
        let usage = DecisionUsage::new(&prompts, prefix, Cost { computed, scored: 5, there });
        let details = &usage.input_tokens_details;
        assert_eq!(details.cache_write_tokens + details.cached_tokens, usage.input_tokens);
        assert_eq!(usage.total_tokens, usage.input_tokens + 5);
        (usage.input_tokens, details.cached_tokens)
    };
    assert_eq!(usage(&[&[1, 2, 3]], 0, (3, 0)), (3, 0));
    assert_eq!(usage(&[&[1, 2, 3], &[1, 2, 4, 5], &[1, 2]], 100, (105, 0)), (100 + 2 + 1 + 2, 0));
    assert_eq!(usage(&[&[1, 2, 3], &[1, 2, 4, 5], &[1, 2]], 100, (12, 80)), (105, 93));
    // Parts of blocks that several answers compute may come to more than the input.
    assert_eq!(usage(&[&[1, 2, 3]], 0, (9, 0)), (3, 0));
    // They hide nothing of what was there before.
    assert_eq!(usage(&[&[1, 2, 3], &[1, 2, 4, 5], &[1, 2]], 100, (150, 100)), (105, 100));
}
