//! Answers that are held to a form: a caller's schema, or a twin's spec.

use std::fmt::Write;

use baton_contract::TokenId;
use baton_testkit::Script;
use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{Fixture, chat_body, masked, says, serve, serve_twins};

/// Says the first text for the seed 7, and the second for any other.
fn by_seed(first: &'static str, other: &'static str) -> Script {
    Script::new(259, move |turn| {
        let text = if turn.request.sampling.seed == 7 { first } else { other };
        text.as_bytes().get(turn.position).map_or(257, |byte| TokenId::from(*byte))
    })
}

const GOOD: &str = r#"{"severity": "high", "page": true}"#;
/// In the schema's form, but against the pack's own check.
const BAD: &str = r#"{"severity": "low", "page": true}"#;

async fn triage(script: Script) -> Fixture {
    serve_twins(script, &["triage"]).await
}

fn cue(fields: Value) -> Value {
    let mut body = chat_body(json!({"model": "triage", "seed": 7}));
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

const CHAT: &str = "/v1/chat/completions";

/// What was answered and what Baton says about it.
fn told(reply: &Value) -> String {
    let choices = reply["choices"].as_array().unwrap();
    let texts: Vec<&Value> = choices.iter().map(|choice| &choice["message"]["content"]).collect();
    format!("{} {} {}", json!(texts), reply["usage"]["completion_tokens"], reply["baton"]["answers"])
}

/// The lines of the counter of checked answers.
async fn counted(server: &Fixture) -> String {
    let metrics = server.get("/metrics").await.body;
    let lines = metrics.lines().filter(|line| line.starts_with("baton_checked_answers_total{"));
    let mut lines: Vec<&str> = lines.collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test]
async fn an_answer_that_meets_the_spec_is_passed_on() {
    let server = triage(says(GOOD)).await;
    let reply = server.post(CHAT, &cue(json!({}))).await;
    expect![[r#"
        {
          "id": "chatcmpl-ID",
          "object": "chat.completion",
          "created": 1767312000,
          "model": "triage",
          "choices": [
            {
              "index": 0,
              "message": {
                "role": "assistant",
                "content": "{\"severity\": \"high\", \"page\": true}",
                "refusal": null
              },
              "logprobs": null,
              "finish_reason": "stop"
            }
          ],
          "usage": {
            "prompt_tokens": 612,
            "completion_tokens": 35,
            "total_tokens": 647,
            "prompt_tokens_details": {
              "cached_tokens": 0
            }
          },
          "system_fingerprint": "fp_673bb737907a",
          "baton": {
            "seed": 7,
            "twin": {
              "id": "triage",
              "pack_version": "0.1.0",
              "pack_digest": "blake3:db60607d6c9672bef3ab842f4ecaccae249ac22581eba31f977d96046ffd3780",
              "stale": false,
              "why_missing": true
            },
            "answers": [
              {
                "index": 0,
                "seed": 7,
                "temperature": 1.0,
                "retried": false
              }
            ]
          }
        }"#]]
    .assert_eq(&masked(reply.json()));
    expect![[r#"baton_checked_answers_total{twin="triage",outcome="kept"} 1"#]].assert_eq(&counted(&server).await);
}

#[tokio::test]
async fn broken_work_is_asked_for_once_more_with_another_seed() {
    let server = triage(by_seed(BAD, GOOD)).await;
    let reply = server.post(CHAT, &cue(json!({"n": 2}))).await.json();
    expect![[r#"["{\"severity\": \"high\", \"page\": true}","{\"severity\": \"high\", \"page\": true}"] 104 [{"index":0,"seed":6552626868079353,"temperature":1.0,"retried":true},{"index":1,"seed":7191089600892374487,"temperature":1.0,"retried":false}]"#]].assert_eq(&told(&reply));
    expect![[r#"
        baton_checked_answers_total{twin="triage",outcome="kept"} 1
        baton_checked_answers_total{twin="triage",outcome="kept_after_retry"} 1"#]]
    .assert_eq(&counted(&server).await);
    // With the seed that is reported the same answer comes at once.
    let seed = &reply["baton"]["answers"][0]["seed"];
    let again = server.post(CHAT, &cue(json!({"seed": seed}))).await.json();
    assert_eq!(again["choices"][0]["message"]["content"], reply["choices"][0]["message"]["content"]);
    assert_eq!(again["baton"]["answers"][0]["retried"], false);
}

#[tokio::test]
async fn a_second_attempt_at_temperature_0_is_drawn_at_another() {
    let server = triage(by_seed(BAD, GOOD)).await;
    let reply = server.post(CHAT, &cue(json!({"temperature": 0}))).await.json();
    expect![[r#"["{\"severity\": \"high\", \"page\": true}"] 69 [{"index":0,"seed":6552626868079353,"temperature":0.5,"retried":true}]"#]].assert_eq(&told(&reply));
}

#[tokio::test]
async fn broken_work_is_never_passed_on() {
    let server = triage(says(BAD)).await;
    let reply = server.post(CHAT, &cue(json!({}))).await;
    assert_eq!((reply.status, reply.header("x-should-retry")), (500, Some("false")));
    expect![[r#"{"error":{"message":"the twin `triage` gave broken work twice, which is not passed on: not met: has \"high\" at `/severity`","type":"server_error","param":null,"code":"broken_work"}}"#]].assert_eq(&reply.body);
    let reply = server.post(CHAT, &cue(json!({"stream": true}))).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.body.contains("low") && !reply.body.contains("page"), "{}", reply.body);
    let last: Value = serde_json::from_str(reply.events().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "broken_work");
    // One that is cut is broken too.
    let reply = server.post(CHAT, &cue(json!({"max_tokens": 12}))).await;
    expect![[r#"{"error":{"message":"the twin `triage` gave broken work twice, which is not passed on: the answer was cut before it was complete","type":"server_error","param":null,"code":"broken_work"}}"#]].assert_eq(&reply.body);
    expect![[r#"baton_checked_answers_total{twin="triage",outcome="broken"} 3"#]].assert_eq(&counted(&server).await);
    server.quiet().await;
}

#[tokio::test]
async fn a_stream_carries_only_what_was_checked() {
    let server = triage(by_seed(BAD, GOOD)).await;
    let body = cue(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let reply = server.post(CHAT, &body).await;
    let (mut text, mut pieces, mut told) = (String::new(), 0, String::new());
    for event in reply.events().iter().filter(|event| *event != "[DONE]") {
        let chunk: Value = serde_json::from_str(event).unwrap();
        if let Some(piece) = chunk["choices"][0]["delta"]["content"].as_str() {
            text.push_str(piece);
            pieces += usize::from(!piece.is_empty());
        }
        if !chunk["baton"]["answers"].is_null() {
            let finish = &chunk["choices"][0]["finish_reason"];
            write!(told, "{finish} {}", chunk["baton"]["answers"]).unwrap();
        }
    }
    assert_eq!((text.as_str(), pieces), (GOOD, GOOD.len()));
    expect![[r#""stop" [{"index":0,"seed":6552626868079353,"temperature":1.0,"retried":true}]"#]].assert_eq(&told);
    let usage = &reply.events()[reply.events().len() - 2];
    let usage: Value = serde_json::from_str(usage).unwrap();
    assert_eq!(usage["usage"]["completion_tokens"], BAD.len() + GOOD.len() + 2, "both attempts");
}

#[tokio::test]
async fn what_a_spec_leaves_no_room_for_is_refused() {
    let server = triage(says(GOOD)).await;
    let mut all = String::new();
    for fields in [
        json!({"stop": "x"}),
        json!({"stop_token_ids": [65]}),
        json!({"ignore_eos": true}),
        json!({"min_tokens": 2}),
        json!({"response_format": {"type": "json_object"}}),
    ] {
        let reply = server.post(CHAT, &cue(fields)).await;
        writeln!(all, "{} {}", reply.status, reply.body).unwrap();
    }
    expect![[r#"
        400 {"error":{"message":"`stop`: an answer by a schema ends where it is complete; leave `stop` out","type":"invalid_request_error","param":"stop","code":"invalid_value"}}
        400 {"error":{"message":"`stop_token_ids`: an answer by a schema ends where it is complete; leave `stop_token_ids` out","type":"invalid_request_error","param":"stop_token_ids","code":"invalid_value"}}
        400 {"error":{"message":"`ignore_eos`: an answer by a schema ends where it is complete; leave `ignore_eos` out","type":"invalid_request_error","param":"ignore_eos","code":"invalid_value"}}
        400 {"error":{"message":"`min_tokens`: an answer by a schema ends where it is complete; leave `min_tokens` out","type":"invalid_request_error","param":"min_tokens","code":"invalid_value"}}
        400 {"error":{"message":"the twin `triage` answers by its own spec; leave `response_format` out","type":"invalid_request_error","param":"response_format","code":"invalid_value"}}
    "#]].assert_eq(&all);
    // A bias works on what the spec allows.
    let biased = server.post(CHAT, &cue(json!({"logit_bias": {"65": 100}, "response_format": {"type": "text"}}))).await;
    assert_eq!(biased.status, 200);
}

fn schema(strict: bool) -> Value {
    let schema = json!({
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false,
    });
    json!({"type": "json_schema", "json_schema": {"name": "verdict", "strict": strict, "schema": schema}})
}

#[tokio::test]
async fn a_callers_schema_shapes_the_answer() {
    // Whatever the model would have said.
    let server = serve(says("!!!!!!!!!!!!!!!!!!!!")).await;
    let mut told = String::new();
    for format in [schema(true), schema(false), json!({"type": "text"})] {
        let reply = server.chat(json!({"response_format": format})).await.json();
        let choice = &reply["choices"][0];
        writeln!(told, "{} {}", choice["message"]["content"], choice["finish_reason"]).unwrap();
    }
    let object = serve(says("{\"a\": [1]}")).await;
    let reply = object.chat(json!({"response_format": {"type": "json_object"}})).await.json();
    writeln!(told, "{}", reply["choices"][0]["message"]["content"]).unwrap();
    let twin = server.chat(json!({"model": "ux", "response_format": schema(true)})).await.json();
    writeln!(told, "{}", twin["choices"][0]["message"]["content"]).unwrap();
    // What is cut says so, as OpenAI's does.
    let cut = server.chat(json!({"response_format": schema(true), "max_tokens": 3})).await.json();
    writeln!(told, "{} {}", cut["choices"][0]["message"]["content"], cut["choices"][0]["finish_reason"]).unwrap();
    expect![[r#"
        "{\"ok\":false}" "stop"
        "{\"ok\":false}" "stop"
        "!!!!!!!!!!!!!!!!!!!!" "stop"
        "{\"a\": [1]}"
        "{\"ok\":false}"
        "{\"o" "length"
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_callers_schema_streams_as_it_comes() {
    let server = serve(says("Yes.")).await;
    let reply = server.chat(json!({"response_format": schema(true), "stream": true})).await;
    let chunks = reply.events().iter().filter(|event| event.contains("\"content\":\"")).count();
    assert!(chunks > 5, "{}", reply.body);
}

#[tokio::test]
async fn formats_that_cannot_be_honoured_are_refused_by_name() {
    let server = serve(says("{}")).await;
    let named = |schema: Value| json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let mut all = String::new();
    for format in [
        json!("json_object"),
        json!({}),
        json!({"type": "xml"}),
        json!({"type": "text", "more": 1}),
        json!({"type": "json_schema"}),
        json!({"type": "json_schema", "json_schema": {"schema": {}}}),
        json!({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}),
        json!({"type": "json_schema", "json_schema": {"name": "n", "strict": "yes"}}),
        named(json!([])),
        named(json!({"type": "object", "properties": {"a": {"not": {}}}})),
        named(json!({"type": "string", "minLength": 3, "maxLength": 2})),
        named(json!({"type": "string", "pattern": "((a{100}){100}){100}"})),
    ] {
        let reply = server.chat(json!({"response_format": format})).await;
        let error = &reply.json()["error"];
        writeln!(all, "{} {} {}", reply.status, error["param"], error["message"].as_str().unwrap()).unwrap();
    }
    expect![[r#"
        400 "response_format" `response_format` must be an object, not a string
        400 "response_format.type" you must provide `response_format.type`
        400 "response_format.type" a response format is of type `text`, `json_object` or `json_schema`
        400 "response_format.more" unrecognized request argument supplied: response_format.more
        400 "response_format.json_schema" you must provide `response_format.json_schema`
        400 "response_format.json_schema.name" you must provide `response_format.json_schema.name`
        400 "response_format.json_schema.name" the name has 1 to 64 letters, digits, `_` or `-`
        400 "response_format.json_schema.strict" `response_format.json_schema.strict` must be a boolean, not a string
        400 "response_format" the schema of `response_format` is not one to answer in: a schema is a JSON object
        400 "response_format" the schema of `response_format` is not one to answer in: at `/properties/a/not`: `not` cannot be honoured while an answer is drawn; say what is allowed, not what is not
        400 "response_format" the schema of `response_format` is not one to answer in: no answer can meet the schema: minLength (3) is greater than maxLength (2)
        400 "response_format" the schema of `response_format` is not one to answer in: at `/pattern`: the pattern cannot be honoured: Compiled regex exceeds size limit of 262144 bytes.
    "#]].assert_eq(&all);
}

#[tokio::test]
async fn cued_with_others_a_twin_still_keeps_to_its_spec() {
    let server = serve_twins(by_seed(BAD, GOOD), &["triage", "ux"]).await;
    let body = json!({"twins": ["triage", "ux"], "what": "The shop is down.", "seed": 7});
    let reply = server.post("/v1/cues", &body).await.json();
    let answers = reply["answers"].as_array().unwrap();
    let told: Vec<String> = answers
        .iter()
        .map(|answer| format!("{} {} {}", answer["status"], answer["content"], answer["baton"]["answers"]))
        .collect();
    expect![[r#"
        "complete" "{\"severity\": \"high\", \"page\": true}" [{"index":0,"seed":6552626868079353,"temperature":1.0,"retried":true}]
        "complete" "{\"severity\": \"low\", \"page\": true}" null"#]].assert_eq(&told.join("\n"));
    let broken = serve_twins(says(BAD), &["triage"]).await;
    let reply = broken.post("/v1/cues", &json!({"twins": ["triage"], "what": "The shop is down."})).await.json();
    let answer = &reply["answers"][0];
    assert_eq!((&answer["status"], &answer["content"]), (&json!("failed"), &json!("")), "{answer}");
}

#[tokio::test]
async fn a_completion_keeps_to_the_spec_too() {
    let server = triage(by_seed(BAD, GOOD)).await;
    let body = json!({"model": "triage", "prompt": "The shop is down.", "seed": 7, "max_tokens": 60});
    let reply = server.post("/v1/completions", &body).await.json();
    assert_eq!(reply["choices"][0]["text"], GOOD);
    assert_eq!(reply["baton"]["answers"][0]["retried"], true);
    let broken = triage(says(BAD)).await;
    assert_eq!(broken.post("/v1/completions", &body).await.status, 500);
}
