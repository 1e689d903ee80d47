//! Whole replies of `POST /v1/completions`.

use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{BASE, alphabet, masked, says, serve};

const PATH: &str = "/v1/completions";

#[tokio::test]
async fn a_whole_reply() {
    let server = serve(says(" Paris.")).await;
    let body = json!({"model": BASE, "prompt": "France:", "seed": 7, "logprobs": 1, "max_tokens": 3});
    let reply = server.post(PATH, &body).await;
    assert_eq!(reply.status, 200);
    expect![[r#"
        {
          "id": "cmpl-ID",
          "object": "text_completion",
          "created": 1767312000,
          "model": "byte-model",
          "choices": [
            {
              "index": 0,
              "text": " Pa",
              "logprobs": {
                "tokens": [
                  " ",
                  "P",
                  "a"
                ],
                "token_logprobs": [
                  -0.5,
                  -0.5,
                  -0.5
                ],
                "top_logprobs": [
                  {
                    " ": -0.5
                  },
                  {
                    "P": -0.5
                  },
                  {
                    "a": -0.5
                  }
                ],
                "text_offset": [
                  0,
                  1,
                  2
                ]
              },
              "finish_reason": "length"
            }
          ],
          "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
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
async fn several_prompts_echo_and_token_ids() {
    let server = serve(alphabet()).await;
    let body = json!({"model": BASE, "prompt": ["x", "yz"], "n": 2, "echo": true, "max_tokens": 3});
    let reply = server.post(PATH, &body).await.json();
    let texts: Vec<_> = reply["choices"].as_array().unwrap().iter().map(|choice| choice["text"].clone()).collect();
    assert_eq!(texts, ["xabc", "xabc", "yzabc", "yzabc"]);
    // Each prompt counts once, each answer by itself.
    assert_eq!(reply["usage"]["prompt_tokens"], 3);
    assert_eq!(reply["usage"]["completion_tokens"], 12);

    let body = json!({"model": BASE, "prompt": [[120], [121]], "echo": true});
    let reply = server.post(PATH, &body).await.json();
    // Sixteen tokens, as OpenAI's default is.
    assert_eq!(reply["choices"][1]["text"], "yabcdefghijklmnop");
    let reply = server.post(PATH, &json!({"model": BASE, "prompt": [259]})).await;
    assert_eq!((reply.status, reply.json()["error"]["param"].clone()), (400, json!("prompt")));
}

#[tokio::test]
async fn a_stream() {
    let server = serve(says("é!")).await;
    let body = json!({
        "model": BASE, "prompt": "x", "echo": true, "stream": true, "seed": 7,
        "stream_options": {"include_usage": true},
    });
    let reply = server.post(PATH, &body).await;
    let mut shown = Vec::new();
    for event in reply.events() {
        match serde_json::from_str::<Value>(&event) {
            Ok(mut event) => {
                event["id"] = json!("cmpl-ID");
                shown.push(event.to_string());
            }
            Err(_) => shown.push(event),
        }
    }
    expect![[r#"
        {"id":"cmpl-ID","object":"text_completion","created":1767312000,"model":"byte-model","choices":[{"index":0,"text":"x","logprobs":null,"finish_reason":null}],"usage":null,"system_fingerprint":"fp_673bb737907a","baton":{"seed":7}}
        {"id":"cmpl-ID","object":"text_completion","created":1767312000,"model":"byte-model","choices":[{"index":0,"text":"é","logprobs":null,"finish_reason":null}],"usage":null,"system_fingerprint":"fp_673bb737907a"}
        {"id":"cmpl-ID","object":"text_completion","created":1767312000,"model":"byte-model","choices":[{"index":0,"text":"!","logprobs":null,"finish_reason":null}],"usage":null,"system_fingerprint":"fp_673bb737907a"}
        {"id":"cmpl-ID","object":"text_completion","created":1767312000,"model":"byte-model","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],"usage":null,"system_fingerprint":"fp_673bb737907a"}
        {"id":"cmpl-ID","object":"text_completion","created":1767312000,"model":"byte-model","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":4,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"fp_673bb737907a"}
        [DONE]"#]].assert_eq(&shown.join("\n"));
}

#[tokio::test]
async fn a_twins_pack_comes_before_the_prompt() {
    let server = serve(says("ok")).await;
    let reply = server.post(PATH, &json!({"model": "ux", "prompt": "x", "echo": true})).await.json();
    assert_eq!(reply["choices"][0]["text"], "xok");
    assert!(reply["usage"]["prompt_tokens"].as_u64().unwrap() > 300);
    assert_eq!(reply["baton"]["twin"]["id"], "ux");
}
