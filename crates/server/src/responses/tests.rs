//! One row per field: what is read, and what a refusal says.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::validate::ResponseRequest;
use crate::json;

fn read(fields: &str) -> Result<ResponseRequest, String> {
    let mut body = json!({"model": "ux", "input": "hi"});
    let fields = json::parse(format!("{{{fields}}}").as_bytes()).unwrap();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let told = |error: crate::error::ApiError| {
        let error = serde_json::to_value(error.body()).unwrap();
        let field = |name: &str| error["error"][name].as_str().unwrap_or("-").to_owned();
        format!("{} [{}] {}", field("param"), field("code"), field("message"))
    };
    let request = ResponseRequest::read(body).map_err(told)?;
    request.context(Vec::new()).map_err(told)?;
    Ok(request)
}

#[test]
fn what_clients_send_is_taken() {
    let rows = [
        r#""instructions": "be brief", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 7"#,
        r#""background": true, "stream": true"#,
        r#""store": false, "background": false, "stream": true, "stream_options": {"include_obfuscation": false}"#,
        r#""text": {"format": {"type": "text"}, "verbosity": "medium"}, "truncation": "disabled", "include": []"#,
        r#""text": {"format": {"type": "json_schema", "name": "x", "strict": true, "schema": {"type": "object"}}}"#,
        r#""tools": [{"type": "function", "name": "f", "parameters": null, "strict": null}], "tool_choice": "required""#,
        r#""tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"}"#,
        r#""reasoning": {"effort": null, "summary": null}, "metadata": {"why": "x"}, "user": "u", "top_logprobs": 0"#,
        r#""previous_response_id": "resp_1", "service_tier": "auto", "prompt_cache_key": "k", "store": null"#,
    ];
    for row in rows {
        assert_eq!(read(row).err(), None, "{row}");
    }
}

#[test]
fn items_come_to_messages() {
    let request = read(
        r#""instructions": "be brief", "input": [
            {"role": "developer", "content": "a"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "d", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "1", "name": "f", "arguments": "{\"a\": 1}"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": ""},
            {"type": "function_call_output", "call_id": "1", "output": "e"},
            {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "f"}]}
        ]"#,
    )
    .unwrap();
    let context = request.context(vec![json!({"role": "user", "content": "before"})]).unwrap();
    let told = context.messages.iter().fold(String::new(), |mut all, message| {
        let calls: Vec<&str> = message.calls.iter().map(|call| call.name.as_str()).collect();
        let answered = message.answered.as_ref().map_or("", |of| of.name.as_str());
        writeln!(all, "{:?} {:?} {calls:?} {answered}", message.role, message.content).unwrap();
        all
    });
    expect![[r#"
        System "be brief" [] 
        User "before" [] 
        Developer "a" [] 
        User "b\nc" [] 
        Assistant "d" ["f", "g"] 
        Tool "e" [] f
        Tool "f" [] g
    "#]]
    .assert_eq(&told);
    let filed = context.filed(&request, 7);
    let again = ResponseRequest::read(without_baton(filed.clone())).unwrap().context(Vec::new()).unwrap();
    assert_eq!(again.items, context.items, "what is filed can be read again");
    expect![[r#"{"created_at":7,"previous_response_id":null,"store":true}"#]].assert_eq(&filed["baton"].to_string());
}

fn without_baton(mut filed: Value) -> Value {
    filed.as_object_mut().unwrap().remove("baton");
    filed
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let rows = [
        r#""input": null"#,
        r#""input": []"#,
        r#""input": 7"#,
        r#""input": [{"type": "reasoning", "id": "x"}]"#,
        r#""input": [{"role": "wizard", "content": "x"}]"#,
        r#""input": [{"role": "user"}]"#,
        r#""input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]"#,
        r#""input": [{"role": "user", "content": "x", "more": 1}]"#,
        r#""input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "[]"}]"#,
        r#""input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]"#,
        r#""instructions": ["x"]"#,
        r#""store": "yes""#,
        r#""background": true, "store": false"#,
        r#""stream_options": {}"#,
        r#""stream": true, "stream_options": {"include_obfuscation": true}"#,
        r#""text": {"format": {"type": "xml"}}"#,
        r#""text": {"format": {"type": "json_schema", "name": "x", "schema": {"not": {}}}}"#,
        r#""text": {"format": {"type": "json_object"}}, "tools": [{"type": "function", "name": "f"}]"#,
        r#""text": {"verbosity": "high"}"#,
        r#""tools": [{"type": "web_search"}]"#,
        r#""tools": [{"type": "function", "name": "f", "parameters": {"type": "string"}}]"#,
        r#""tool_choice": {"type": "function", "name": "f"}"#,
        r#""max_output_tokens": 0"#,
        r#""max_tokens": 5"#,
        r#""temperature": 9"#,
        r#""include": ["message.output_text.logprobs"]"#,
        r#""top_logprobs": 2"#,
        r#""truncation": "auto""#,
        r#""reasoning": {"effort": "low"}"#,
        r#""conversation": "conv_1""#,
        r#""response_format": {"type": "text"}"#,
        r#""baton": {}"#,
        r#""surprise": 1"#,
    ];
    let refused = rows.iter().fold(String::new(), |mut all, row| {
        writeln!(all, "{}", read(row).expect_err(row)).unwrap();
        all
    });
    expect![[r"
        input [missing_required_parameter] you must provide `input`
        input [invalid_value] `input` is empty; give at least one item
        input [invalid_value] `input` must be a string or an array of items, not an integer
        input[0].type [unsupported_parameter] items of type `reasoning` are not supported
        input[0].role [invalid_value] `wizard` is no role; use system, developer, user or assistant
        input[0].content [missing_required_parameter] you must provide `input[0].content`
        input[0].content[0].type [unsupported_parameter] parts of type `input_image` are not supported, only text
        input[0].more [unknown_parameter] unrecognized request argument supplied: input[0].more
        input[0].arguments [invalid_value] `input[0].arguments` must be a JSON object in a string
        input[0].call_id [invalid_value] no call before this has the same `call_id`
        instructions [invalid_value] `instructions` must be a string, not an array
        store [invalid_value] `store` must be a boolean, not a string
        background [invalid_value] a response in the background is stored; leave `store` out
        stream_options [invalid_value] `stream_options` is allowed only with `stream: true`
        stream_options.include_obfuscation [unsupported_parameter] streams are not padded here; leave `include_obfuscation` out
        text.format.type [invalid_value] a format is of type `text`, `json_object` or `json_schema`
        text.format [invalid_value] the schema of `text.format` is not one to answer in: at `/not`: `not` cannot be honoured while an answer is drawn; say what is allowed, not what is not
        text.format [invalid_value] an answer is held to a form or may call tools; leave one of the two out
        text.verbosity [unsupported_parameter] this model has no verbosity to set; ask for length in the input
        tools[0].type [unsupported_parameter] only tools of type `function` are supported; they are the caller's own
        tools[0].parameters [invalid_value] arguments cannot be held to `tools[0].parameters`: arguments are an object: `type` is `object`
        tool_choice [invalid_value] `f` is none of the tools
        max_output_tokens [invalid_value] `max_output_tokens` must be between 1 and 4294967295, not 0
        max_tokens [unsupported_parameter] `max_tokens`: the limit of a response is `max_output_tokens`
        temperature [invalid_value] `temperature` must be between 0 and 2, not 9
        include [unsupported_parameter] there is nothing more to include; leave `include` out
        top_logprobs [unsupported_parameter] log-probabilities are told of chats; use POST /v1/chat/completions
        truncation [unsupported_parameter] nothing is left out of the context; leave `truncation` out
        reasoning.effort [unsupported_parameter] this model has no reasoning to set
        conversation [unsupported_parameter] `conversation`: go on from a response with `previous_response_id`
        response_format [unsupported_parameter] `response_format`: the form of a response is asked for in `text.format`
        baton [unsupported_parameter] `baton`: an answer that is checked as a decision is asked for as a chat, at POST /v1/chat/completions
        surprise [unknown_parameter] unrecognized request argument supplied: surprise
    "]].assert_eq(&refused);
}
