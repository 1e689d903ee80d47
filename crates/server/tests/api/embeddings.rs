//! `POST /v1/embeddings` with an encoder that counts letters.

use baton_authority::{Cleared, Mandate};
use expect_test::expect;
use serde_json::{Value, json};

use super::filing::left;
use super::fixture::{BASE, Fixture, World, masked, says, serve, serve_in};

const PATH: &str = "/v1/embeddings";

async fn embed(server: &Fixture, fields: Value) -> super::client::Reply {
    let mut body = json!({"model": "letters", "input": "abc"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    server.post(PATH, &body).await
}

fn vector(value: &Value) -> Vec<f32> {
    serde_json::from_value(value["embedding"].clone()).unwrap()
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let server = serve(says("Hello")).await;
    let reply = embed(&server, json!({"input": ["a", "b", "aab"], "dimensions": 2})).await.json();
    let mut shown = reply.clone();
    let id = shown["baton"]["id"].take();
    assert!(id.as_str().unwrap().starts_with("emb-"));
    expect![[r#"
        {
          "object": "list",
          "data": [
            {
              "object": "embedding",
              "index": 0,
              "embedding": [
                1.0,
                0.0
              ]
            },
            {
              "object": "embedding",
              "index": 1,
              "embedding": [
                0.0,
                1.0
              ]
            },
            {
              "object": "embedding",
              "index": 2,
              "embedding": [
                0.8944272,
                0.4472136
              ]
            }
          ],
          "model": "letters",
          "usage": {
            "prompt_tokens": 11,
            "total_tokens": 11
          },
          "baton": {
            "id": null,
            "model_digest": "blake3:a28441087b9cc9a79a7a14bee32ea18736283b349ef70df0077dbe80c1292dd7"
          }
        }"#]]
    .assert_eq(&masked(shown));
    let whole = embed(&server, json!({"input": ["a", "b", "aab"]})).await.json();
    assert_eq!(vector(&whole["data"][2]).len(), 26);
    // Whoever else is in the request changes nothing.
    let alone = embed(&server, json!({"input": "aab"})).await.json();
    assert_eq!(alone["data"][0]["embedding"], whole["data"][2]["embedding"]);
    let packed = embed(&server, json!({"encoding_format": "base64", "dimensions": 1})).await.json();
    assert_eq!(packed["data"][0]["embedding"], "AACAPw==", "the bytes of 1.0");
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused() {
    let server = serve(says("Hello")).await;
    let mut said = Vec::new();
    for fields in [
        json!({"model": "ux"}),
        json!({"model": BASE}),
        json!({"model": "other"}),
        json!({"dimensions": 27}),
        json!({"input": ["a", "b".repeat(65)]}),
        json!({"input": [1, 2]}),
        json!({"input": "q"}),
    ] {
        let reply = embed(&server, fields).await;
        let error = reply.json()["error"].clone();
        said.push(format!("{} {} {}", reply.status, error["param"], error["message"]));
    }
    expect![[r#"
        400 "model" "`ux` makes no embeddings; the embedding model is `letters`"
        400 "model" "`byte-model` makes no embeddings; the embedding model is `letters`"
        404 "model" "the model `other` does not exist; the embedding model is `letters`"
        400 "dimensions" "`dimensions` is 27, but the model's vectors have 26"
        400 "input" "text 1 of `input`: the text has 67 tokens, and the embedding model reads 66 at most; split it"
        400 "input" "`input`: token ids are not taken, because other models have other tokens; send the text itself"
        500 null "the texts could not be embedded: an unlucky letter""#]]
    .assert_eq(&said.join("\n"));
    let chat = server.chat(json!({"model": "letters"})).await;
    let error = chat.json()["error"].clone();
    assert_eq!((chat.status, &error["param"]), (400, &json!("model")), "{error}");
}

#[tokio::test]
async fn without_a_model_for_it_nothing_is_embedded() {
    let world = World { embeds: false, ..World::usual() };
    let server = serve_in(tempfile::tempdir().unwrap(), says("Hello"), world).await;
    let reply = embed(&server, json!({})).await;
    assert_eq!(reply.status, 404);
    let message = "the model `letters` does not exist; no embedding model is loaded; an operator names one with --embedding-model";
    assert_eq!(reply.json()["error"]["message"], message);
    let models = server.get("/v1/models").await.json();
    assert!(models["data"].as_array().unwrap().iter().all(|model| model["baton"]["kind"] != "embedding"));
}

#[tokio::test]
async fn the_model_is_listed_and_shown() {
    let server = serve(says("Hello")).await;
    let models = server.get("/v1/models").await.json();
    let listed = models["data"].as_array().unwrap().last().unwrap().clone();
    let mut shown = server.get("/v1/models/letters").await.json();
    assert_eq!(shown, listed);
    shown["created"].take();
    shown["baton"]["digest"].take();
    let expected = json!({
        "id": "letters", "object": "model", "created": null, "owned_by": "baton", "max_model_len": 66,
        "baton": {"kind": "embedding", "digest": null, "dimensions": 26}
    });
    assert_eq!(shown, expected);
    // Who may cue single twins only sees those.
    let narrow = Mandate { twins: Cleared::Only(vec!["ux".parse().unwrap()]), ..Mandate::default() };
    let key = server.only_key(narrow);
    let reply = server.post_as(&key, PATH, &json!({"model": "letters", "input": "a"})).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn a_mandate_bounds_the_tokens() {
    let server = serve(says("Hello")).await;
    let key = server.only_key(Mandate { max_tokens_in_flight: Some(5), ..Mandate::default() });
    let status =
        async |text: &str| server.post_as(&key, PATH, &json!({"model": "letters", "input": text})).await.status;
    assert_eq!(status("abc").await, 200);
    assert_eq!(status("abcd").await, 403, "more than will ever be allowed");
}

#[tokio::test]
async fn every_request_is_in_the_ledger() {
    let server = serve(says("Hello")).await;
    let id = embed(&server, json!({"input": ["abc", "d"]})).await.json()["baton"]["id"].clone();
    assert_eq!(embed(&server, json!({"input": "q"})).await.status, 500);
    assert_eq!(embed(&server, json!({"input": ""})).await.status, 400);
    let rows = left(server).await;
    assert_eq!(rows.len(), 2, "what was refused is no row");
    assert_eq!(rows[0].subject.as_deref(), id.as_str());
    let mut body: Value = serde_json::from_str(&rows[0].body).unwrap();
    body["key"].take();
    body["model"].take();
    expect![[r#"
        {
          "answer": "blake3:db54ae05f3d295c7cbc780c6e6aaa53360b4c7c0573542f125362100e7976c57",
          "computed_by": "a script",
          "ended": "complete",
          "endpoint": "/v1/embeddings",
          "input_tokens": 8,
          "key": null,
          "model": null,
          "output_tokens": 0,
          "request": "blake3:a11e68e57ca578d729399533dc842a813bf18822faf85d3e29bf7c98aca1cb13",
          "seed": "0",
          "target": "letters",
          "v": 4,
          "why": false
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&body).unwrap());
    assert_eq!(rows[0].text("request").unwrap(), json!({"model": "letters", "input": ["abc", "d"]}).to_string());
    let answer: Value = serde_json::from_str(rows[0].text("answer").unwrap()).unwrap();
    assert_eq!((&answer["vectors"], &answer["dimensions"]), (&json!(2), &json!(26)));
    assert!(rows[1].body.contains(r#""ended":"failed""#), "{}", rows[1].body);
}
