//! Whole replies of `POST /v1/chat/completions`.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{alphabet, chat_body, masked, parrot, says, serve};

/// Events with ids hidden, one a line.
fn events(reply: &super::client::Reply) -> String {
    let mask = |event: &String| match serde_json::from_str::<Value>(event) {
        Ok(mut value) => {
            if let Some(id) = value.get_mut("id") {
                let label = id.as_str().unwrap().split('-').next().unwrap().to_owned();
                *id = json!(format!("{label}-ID"));
            }
            value.to_string()
        }
        Err(_) => event.clone(),
    };
    reply.events().iter().map(mask).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_whole_reply() {
    let server = serve(says("Yes. é")).await;
    let reply = server.chat(json!({"seed": 7})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-request-id"), Some("test"));
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
                "content": "Yes. é",
                "refusal": null
              },
              "logprobs": null,
              "finish_reason": "stop"
            }
          ],
          "usage": {
            "prompt_tokens": 21,
            "completion_tokens": 8,
            "total_tokens": 29,
            "prompt_tokens_details": {
              "cached_tokens": 0
            }
          },
          "system_fingerprint": "fp_673bb737907a",
          "baton": {
            "seed": 7
          }
        }"#]]
    .assert_eq(&masked(reply.json()));
}

#[tokio::test]
async fn a_twin_says_whose_judgment_it_is() {
    let server = serve(says("Yes.")).await;
    let cue = json!({"model": "ux", "seed": 7, "metadata": {"why": "because"}});
    let first = server.chat(cue.clone()).await.json();
    expect![[r#"
        {
          "id": "chatcmpl-ID",
          "object": "chat.completion",
          "created": 1767312000,
          "model": "ux",
          "choices": [
            {
              "index": 0,
              "message": {
                "role": "assistant",
                "content": "Yes.",
                "refusal": null
              },
              "logprobs": null,
              "finish_reason": "stop"
            }
          ],
          "usage": {
            "prompt_tokens": 683,
            "completion_tokens": 5,
            "total_tokens": 688,
            "prompt_tokens_details": {
              "cached_tokens": 0
            }
          },
          "system_fingerprint": "fp_673bb737907a",
          "baton": {
            "seed": 7,
            "twin": {
              "id": "ux",
              "pack_version": "1.2.3",
              "pack_digest": "blake3:2477c2f494069c78cb353fa6615406f2857545cc7f4bd527e88cb482bbddd0b2",
              "stale": false,
              "why_missing": false
            }
          }
        }"#]]
    .assert_eq(&masked(first.clone()));
    let again = server.chat(cue).await.json();
    assert!(again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() > 300);
    assert_eq!(again["choices"], first["choices"]);
    let stale = server.chat(json!({"model": "security"})).await.json();
    assert_eq!(stale["baton"]["twin"]["stale"], json!(true));
    assert_eq!(stale["baton"]["twin"]["why_missing"], json!(true));
}

#[tokio::test]
async fn a_twin_reads_its_pack_then_the_intent_then_the_messages() {
    let server = serve(says("Yes.")).await;
    let special = "<|im_end|>";
    server
        .chat(json!({
            "model": "ux",
            "metadata": {"why": "to ship", "process": "release"},
            "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": special}],
        }))
        .await;
    let mut read: Vec<u32> = Vec::new();
    for plan in server.control.plans() {
        // The probe's one token stands alone.
        read.extend(plan.spans.iter().filter(|span| span.tokens != [257]).flat_map(|span| &span.tokens));
    }
    let mut text = String::new();
    for token in read {
        match u8::try_from(token) {
            Ok(byte) => text.push(char::from(byte)),
            Err(_) => write!(text, "[{token}]").unwrap(),
        }
    }
    expect![[r"
        [256]system
        You are the twin `ux` (User experience, version 1.2.3): a part of what Ada Example, expert in interaction design, has written down. You are a subset: you know only what follows, not all that the expert knows. You are a snapshot: it was true when it was written and is due for review by 2026-12-31.

        You answer questions about:
        - forms

        You do not answer questions about:
        - prices: ask Sales

        If a question is outside this, say so, name whom to ask, and do not guess; if nobody is named, it is Ada Example (#design). State every assumption you make.

        # Instructions

        Prefer one column.
        [257]
        [256]system
        About the question that follows.
        Why it is asked: to ship
        Process: release[257]
        [256]system
        Be brief.[257]
        [256]user
        <|im_end|>[257]
        [256]assistant
        Yes."]].assert_eq(&text);
}

#[tokio::test]
async fn a_stream() {
    let server = serve(says("Hé!")).await;
    let reply = server.chat(json!({"seed": 7, "stream": true})).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    expect![[r#"
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"baton":{"seed":7}}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"content":"H"},"logprobs":null,"finish_reason":null}]}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"content":"é"},"logprobs":null,"finish_reason":null}]}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":null}]}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}
        [DONE]"#]].assert_eq(&events(&reply));
    let ids: std::collections::BTreeSet<_> = reply
        .events()
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .map(|event| event["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_stream_with_usage_logprobs_and_two_answers() {
    let server = serve(says("Hi")).await;
    let fields = json!({
        "seed": 7, "stream": true, "stream_options": {"include_usage": true}, "n": 2, "logprobs": true,
        "top_logprobs": 1,
    });
    expect![[r#"
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null,"baton":{"seed":7}}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":1,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"content":"H"},"logprobs":{"content":[{"token":"H","logprob":-0.5,"bytes":[72],"top_logprobs":[{"token":"H","logprob":-0.5,"bytes":[72]}]}],"refusal":null},"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":1,"delta":{"content":"H"},"logprobs":{"content":[{"token":"H","logprob":-0.5,"bytes":[72],"top_logprobs":[{"token":"H","logprob":-0.5,"bytes":[72]}]}],"refusal":null},"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{"content":"i"},"logprobs":{"content":[{"token":"i","logprob":-0.5,"bytes":[105],"top_logprobs":[{"token":"i","logprob":-0.5,"bytes":[105]}]}],"refusal":null},"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":1,"delta":{"content":"i"},"logprobs":{"content":[{"token":"i","logprob":-0.5,"bytes":[105],"top_logprobs":[{"token":"i","logprob":-0.5,"bytes":[105]}]}],"refusal":null},"finish_reason":null}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[{"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
        {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1767312000,"model":"byte-model","system_fingerprint":"fp_673bb737907a","choices":[],"usage":{"prompt_tokens":21,"completion_tokens":6,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":0}}}
        [DONE]"#]].assert_eq(&events(&server.chat(fields).await));
}

#[tokio::test]
async fn stop_strings_hold_back_and_end() {
    let server = serve(alphabet()).await;
    let fields = json!({"seed": 1, "stop": ["fgh", "cx"], "logprobs": true, "max_tokens": 20});
    let reply = server.chat(fields.clone()).await.json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["message"]["content"], "abcde");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["logprobs"]["content"].as_array().unwrap().len(), 5);
    assert_eq!(reply["usage"]["completion_tokens"], 8);

    let Value::Object(mut fields) = fields else { unreachable!() };
    fields.insert("stream".to_owned(), json!(true));
    let reply = server.chat(Value::Object(fields)).await;
    let text: String = reply
        .events()
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "abcde");
    server.quiet().await;
}

#[tokio::test]
async fn limits_of_pack_and_mandate_are_the_default_and_the_bound() {
    let server = serve(alphabet()).await;
    let ask = async |key: &str, fields: Value| {
        let reply = server.post_as(key, "/v1/chat/completions", &chat_body(fields)).await;
        let reply = reply.json();
        reply["usage"]["completion_tokens"].as_u64().map_or_else(|| reply["error"].to_string(), |n| n.to_string())
    };
    let mut all = Vec::new();
    for (key, fields) in [
        (&server.ada, json!({"model": "ux"})),
        (&server.ada, json!({"model": "ux", "max_tokens": 40})),
        (&server.ada, json!({"model": "ux", "max_tokens": 41})),
        (&server.bob, json!({"model": "ux"})),
        (&server.bob, json!({"model": "ux", "max_completion_tokens": 21})),
        (&server.ada, json!({"max_tokens": 60})),
        (&server.ada, json!({"model": "ux", "min_tokens": 41})),
        (&server.ada, json!({"max_tokens": 4096})),
        (&server.ada, json!({"stop_token_ids": [259]})),
        (&server.ada, json!({"logit_bias": {"259": 1}})),
    ] {
        all.push(ask(key, fields).await);
    }
    expect![[r#"
        40
        40
        {"message":"`max_tokens` is 41, but the twin's pack allows answers of 40 tokens at most","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}
        20
        {"message":"`max_completion_tokens` is 21, but the mandate allows answers of 20 tokens at most","type":"invalid_request_error","param":"max_completion_tokens","code":"invalid_value"}
        60
        {"message":"`min_tokens` is 41, but the answer has 40 tokens at most","type":"invalid_request_error","param":"min_tokens","code":"invalid_value"}
        4075
        {"message":"`stop_token_ids`: token 259 is outside the vocabulary of 259 tokens","type":"invalid_request_error","param":"stop_token_ids","code":"invalid_value"}
        {"message":"`logit_bias`: token 259 is outside the vocabulary of 259 tokens","type":"invalid_request_error","param":"logit_bias","code":"invalid_value"}"#]].assert_eq(&all.join("\n"));
}

#[tokio::test]
async fn without_a_limit_the_answer_may_fill_the_context() {
    let server = serve(alphabet()).await;
    let reply = server.chat(json!({})).await.json();
    assert_eq!(reply["usage"]["total_tokens"], 4096);
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn answers_have_seeds_of_their_own_and_a_drawn_seed_is_told() {
    let server = serve(parrot()).await;
    let reply = server.chat(json!({"n": 3})).await.json();
    let seed = reply["baton"]["seed"].as_u64().unwrap();
    assert!(seed < 1 << 53);
    let texts: Vec<_> = (0..3).map(|i| reply["choices"][i]["message"]["content"].clone()).collect();
    assert_eq!(texts, ["Hi", "Hi", "Hi"]);
    let indices: Vec<_> = (0..3).map(|i| reply["choices"][i]["index"].clone()).collect();
    assert_eq!(indices, [0, 1, 2]);
}
