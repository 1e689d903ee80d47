//! Tools in chats: what is called, whole and streamed, and what is refused.

use std::fmt::Write;

use baton_contract::TokenId;
use baton_testkit::Script;
use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{Fixture, MARK, World, chat_body, masked, parrot, says, serve, serve_in, serve_twins};

const OSLO: &str =
    "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
const BOTH: &str = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}</tool_call>\
                    <tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>";

fn tools() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]});
    json!([
        {"type": "function", "function": {"name": "weather", "description": "The weather now.", "parameters": city}},
        {"type": "function", "function": {"name": "clock", "strict": true}},
    ])
}

fn body(fields: Value) -> Value {
    let mut body = chat_body(json!({"tools": tools(), "seed": 7}));
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

async fn chat(server: &Fixture, fields: Value) -> Value {
    server.post("/v1/chat/completions", &body(fields)).await.json()
}

/// What was called and how it ended.
fn called(reply: &Value) -> String {
    let choices = reply["choices"].as_array().unwrap_or_else(|| panic!("{reply}"));
    choices.iter().fold(String::new(), |mut all, choice| {
        let message = &choice["message"];
        write!(all, "{} {}", choice["finish_reason"], message["content"]).unwrap();
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let arguments = call["function"]["arguments"].as_str().unwrap();
            write!(all, " {}({arguments})", call["function"]["name"].as_str().unwrap()).unwrap();
        }
        all + "\n"
    })
}

#[tokio::test]
async fn a_call_is_told_beside_the_text() {
    let server = serve(says(OSLO)).await;
    let mut reply = chat(&server, json!({})).await;
    let id = &mut reply["choices"][0]["message"]["tool_calls"][0]["id"];
    assert!(id.as_str().is_some_and(|id| id.starts_with("call_") && id.len() == 29), "{id}");
    *id = json!("call_ID");
    expect![[r#"
        {
          "id": "chatcmpl-ID",
          "object": "chat.completion",
          "created": 1767312000,
          "model": "byte-model",
          "choices": [
            {
              "index": 0,
              "message": {
                "role": "assistant",
                "content": "Let me see.",
                "refusal": null,
                "tool_calls": [
                  {
                    "id": "call_ID",
                    "type": "function",
                    "function": {
                      "name": "weather",
                      "arguments": "{\"city\": \"Oslo\"}"
                    }
                  }
                ]
              },
              "logprobs": null,
              "finish_reason": "tool_calls"
            }
          ],
          "usage": {
            "prompt_tokens": 690,
            "completion_tokens": 88,
            "total_tokens": 778,
            "prompt_tokens_details": {
              "cached_tokens": 0
            }
          },
          "system_fingerprint": "fp_673bb737907a",
          "baton": {
            "seed": 7
          }
        }"#]]
    .assert_eq(&masked(reply));
}

#[tokio::test]
async fn a_stream_tells_calls_piece_by_piece() {
    let server = serve(says(BOTH)).await;
    let stream = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = server.post("/v1/chat/completions", &body(stream)).await.events();
    let mut told = String::new();
    for event in &events {
        let Ok(mut event) = serde_json::from_str::<Value>(event) else { continue };
        if let Some(id) = event.pointer_mut("/choices/0/delta/tool_calls/0/id") {
            *id = json!("call_ID");
        }
        let choice = &event["choices"][0];
        if choice["finish_reason"].is_null() {
            writeln!(told, "{}", choice["delta"]).unwrap();
        } else {
            writeln!(told, "{} {}", choice["delta"], choice["finish_reason"]).unwrap();
        }
    }
    expect![[r#"
        {"role":"assistant","content":""}
        {"tool_calls":[{"index":0,"id":"call_ID","type":"function","function":{"name":"weather","arguments":""}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"c"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"i"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"t"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"y"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":":"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":" "}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"R"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"o"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"m"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"e"}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"\""}}]}
        {"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}
        {"tool_calls":[{"index":1,"id":"call_ID","type":"function","function":{"name":"clock","arguments":""}}]}
        {"tool_calls":[{"index":1,"function":{"arguments":"{"}}]}
        {"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}
        {} "tool_calls"
        null
    "#]]
    .assert_eq(&told);
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn what_may_be_called_is_the_callers_choice() {
    let server = serve(says(BOTH)).await;
    let clock = json!({"type": "function", "function": {"name": "clock"}});
    let rows = [
        json!({}),
        json!({"parallel_tool_calls": false}),
        json!({"tool_choice": "none"}),
        json!({"tool_choice": clock}),
        json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [clock]}}}),
        json!({"max_tokens": 50}),
        json!({"n": 2}),
    ];
    let mut told = String::new();
    for row in rows {
        write!(told, "{row}\n    {}", called(&chat(&server, row.clone()).await)).unwrap();
    }
    expect![[r#"
        {}
            "tool_calls" null weather({"city": "Rome"}) clock({})
        {"parallel_tool_calls":false}
            "tool_calls" null weather({"city": "Rome"})
        {"tool_choice":"none"}
            "stop" "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}</tool_call><tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>"
        {"tool_choice":{"type":"function","function":{"name":"clock"}}}
            "tool_calls" null clock({}) clock({})
        {"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"clock"}}]}}}
            "tool_calls" null clock({}) clock({})
        {"max_tokens":50}
            "length" null weather({"city)
        {"n":2}
            "tool_calls" null weather({"city": "Rome"}) clock({})
        "tool_calls" null weather({"city": "Rome"}) clock({})
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn whatever_the_model_would_write_what_must_be_a_call_is_one() {
    let server =
        serve(says("I would rather not say, {\"name\": \"x\"}, but perhaps <tool_call>weather</tool_call>")).await;
    let reply = chat(&server, json!({"tool_choice": "required", "parallel_tool_calls": false})).await;
    let call = &reply["choices"][0]["message"]["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    match call["name"].as_str().unwrap() {
        "weather" => assert!(arguments == json!({"city": "Oslo"}) || arguments == json!({"city": "Rome"})),
        name => assert_eq!((name, arguments), ("clock", json!({}))),
    }
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    let text = chat(&server, json!({})).await;
    assert!(text["choices"][0]["message"]["content"].as_str().unwrap().starts_with("I would rather not say"));
}

#[tokio::test]
async fn a_result_goes_back_to_the_model() {
    let server = serve(parrot()).await;
    let call =
        json!({"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}});
    let messages = json!([
        {"role": "user", "content": "Is it cold?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "4 degrees"},
        {"role": "user", "content": "And?"},
    ]);
    let reply = chat(&server, json!({"messages": messages})).await;
    expect![[r#"
        "stop" "And?"
    "#]]
    .assert_eq(&called(&reply));
    let alone = chat(&server, json!({"messages": [messages[0], messages[1], messages[2]]})).await;
    expect![[r#"
        "stop" "</tool_response>"
    "#]]
    .assert_eq(&called(&alone));
}

#[tokio::test]
async fn what_cannot_be_called_is_refused() {
    let server = serve_twins(says(BOTH), &["ux", "triage"]).await;
    let endless = json!([{"type": "function", "function": {"name": "f", "parameters":
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 1}}, "required": ["a"]}}}]);
    let rows = [
        json!({"model": "triage"}),
        json!({"model": "ux", "stop": "x"}),
        json!({"min_tokens": 3}),
        json!({"ignore_eos": true}),
        json!({"tools": endless}),
        json!({"model": "ux", "baton": {"radius": {"reach": "task", "reversibility": "minutes"}}}),
    ];
    let mut told = String::new();
    for row in rows {
        let reply = server.post("/v1/chat/completions", &body(row)).await;
        let error = &reply.json()["error"];
        writeln!(told, "{} {}: {}", reply.status, error["param"], error["message"]).unwrap();
    }
    expect![[r#"
        400 "tools": "the twin `triage` answers by its own spec; leave `tools` out"
        400 "stop": "`stop`: an answer that may call tools ends where it is complete; leave `stop` out"
        400 "min_tokens": "`min_tokens`: an answer that may call tools ends where it is complete; leave `min_tokens` out"
        400 "ignore_eos": "`ignore_eos`: an answer that may call tools ends where it is complete; leave `ignore_eos` out"
        400 "tools[0].function.parameters": "arguments cannot be held to `tools[0].function.parameters`: no answer can meet the schema: required property 'a' is unsatisfiable"
        400 "tools": "an answer that is checked as a decision calls no tools; leave `tools` out"
    "#]].assert_eq(&told);
    let twin = chat(&server, json!({"model": "ux"})).await;
    expect![[r#"
        "length" ""
    "#]]
    .assert_eq(&called(&twin));
}

/// A model that writes `⟨⟩` as the token that begins its calls.
async fn marked(answer: &str) -> Fixture {
    let tokens: Vec<TokenId> =
        answer.replace("⟨⟩", "\0").bytes().map(|byte| if byte == 0 { MARK } else { byte.into() }).collect();
    let script = Script::replies(260, move |_| tokens.clone());
    serve_in(tempfile::tempdir().unwrap(), script, World { marked: true, ..World::usual() }).await
}

#[tokio::test]
async fn a_token_begins_calls_and_no_text_does() {
    let call = r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#;
    let answers = [
        format!("So. ⟨⟩[{call}, {{\"name\": \"clock\", \"arguments\": {{}}}}]"),
        format!("⟨⟩[{call}]"),
        // Spelled, it is text.
        format!("[TOOL_CALLS][{call}]"),
    ];
    let mut told = String::new();
    for answer in &answers {
        let server = marked(answer).await;
        write!(told, "{answer}\n    {}", called(&chat(&server, json!({})).await)).unwrap();
        let reply = chat(&server, json!({"logprobs": true})).await;
        let tokens = reply["choices"][0]["logprobs"]["content"].as_array().unwrap().len();
        assert_eq!(reply["usage"]["completion_tokens"], tokens + 1, "every token is reported but the end");
    }
    expect![[r#"
        So. ⟨⟩[{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "clock", "arguments": {}}]
            "tool_calls" "So." weather({"city": "Oslo"}) clock({})
        ⟨⟩[{"name": "weather", "arguments": {"city": "Oslo"}}]
            "tool_calls" null weather({"city": "Oslo"})
        [TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo"}}]
            "stop" "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}]"
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_pack_is_computed_once_for_all_who_offer_tools() {
    let server = marked("Hi").await;
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    let mut cached = Vec::new();
    for (key, offer) in [(&server.ada, tool("one")), (&server.bob, tool("another")), (&server.ada, tools())] {
        let body = body(json!({"model": "ux", "tools": offer, "max_tokens": 9}));
        let reply = server.post_as(key, "/v1/chat/completions", &body).await.json();
        cached.push(
            reply["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or_else(|| panic!("{reply}")),
        );
        let body = json!({"model": "ux", "messages": body["messages"], "tools": offer});
        let counted = server.post("/tokenize", &body).await.json();
        let all = counted["count"].as_u64().unwrap() + counted["baton"]["pack_tokens"].as_u64().unwrap();
        assert_eq!(reply["usage"]["prompt_tokens"], all);
    }
    assert_eq!(cached[0], 0);
    assert!(cached[1] > 500 && cached[2] >= cached[1], "{cached:?}");
    let computed = server.get("/metrics").await.body;
    assert!(computed.contains("baton_prefix_computed_total{model_name=\"byte-model\",twin=\"ux\"} 1\n"), "{computed}");
}
