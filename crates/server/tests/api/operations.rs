//! Models, health, readiness, metrics, keys.

use baton_authority::{InstallationSecret, KeyRing};
use expect_test::expect;
use serde_json::json;

use super::decisions::{judge, predicate};
use super::fixture::{EVE, FAY, Fixture, MIA, NAT, OLI, REX, key_of, parrot, request, serve, serve_at};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of them are what is expected")]
async fn models_are_listed_by_mandate() {
    let server = serve(parrot()).await;
    expect![[r#"
        {
          "object": "list",
          "data": [
            {
              "id": "byte-model",
              "object": "model",
              "created": 1767312000,
              "owned_by": "baton",
              "max_model_len": 4096,
              "baton": {
                "kind": "model",
                "digest": "blake3:3edc5c4a5df8c79ef4f8dbdc373cd21ca041ccf39fe5693250d004092094dc4a"
              }
            },
            {
              "id": "security",
              "object": "model",
              "created": 1767312000,
              "owned_by": "baton",
              "max_model_len": 4096,
              "baton": {
                "kind": "twin",
                "title": "Security",
                "craft": "application security",
                "expert": "Bob Example",
                "pack_version": "0.9.0",
                "pack_digest": "blake3:ba5a5542e9edb0d41c7e0cd8818908ccb7afc55e26065edaad0d4d86d6211d12",
                "review_by": "2025-12-31",
                "stale": true,
                "covers": [
                  "secrets"
                ],
                "excludes": [],
                "pack_tokens": 543
              }
            },
            {
              "id": "ux",
              "object": "model",
              "created": 1767312000,
              "owned_by": "baton",
              "max_model_len": 4096,
              "baton": {
                "kind": "twin",
                "title": "User experience",
                "craft": "interaction design",
                "expert": "Ada Example",
                "pack_version": "1.2.3",
                "pack_digest": "blake3:2477c2f494069c78cb353fa6615406f2857545cc7f4bd527e88cb482bbddd0b2",
                "review_by": "2026-12-31",
                "stale": false,
                "covers": [
                  "forms"
                ],
                "excludes": [
                  {
                    "topic": "prices",
                    "ask": "Sales"
                  }
                ],
                "pack_tokens": 596,
                "max_output_tokens": 40
              }
            },
            {
              "id": "letters",
              "object": "model",
              "created": 1767312000,
              "owned_by": "baton",
              "max_model_len": 66,
              "baton": {
                "kind": "embedding",
                "digest": "blake3:a28441087b9cc9a79a7a14bee32ea18736283b349ef70df0077dbe80c1292dd7",
                "dimensions": 26
              }
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&server.get("/v1/models").await.json()).unwrap());
    let mut client = server.client().await;
    client.send(&request("GET", "/v1/models", &server.bob, "")).await;
    let bobs = client.reply().await.json();
    let ids: Vec<_> = bobs["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["ux"]);
    assert_eq!(server.get("/v1/models/ux").await.json()["id"], "ux");
}

#[tokio::test]
async fn health_needs_no_key_and_ready_needs_a_token() {
    let server = serve(parrot()).await;
    let mut client = server.client().await;
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.reply().await.body, r#"{"status":"ok"}"#);
    loop {
        let ready = server.get("/ready").await;
        if ready.status == 200 {
            break;
        }
        assert!(ready.body.contains("no token has been generated yet"), "{}", ready.body);
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = serve(parrot()).await;
    server.chat(json!({"model": "ux", "metadata": {"why": "x"}})).await;
    server.chat(json!({"model": "ux"})).await;
    server.chat(json!({"model": "nobody"})).await;
    server.quiet().await;
    let mut client = server.client().await;
    client.send(&request("GET", "/metrics", &key_of(OLI), "")).await;
    let text = client.reply().await;
    assert!(text.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    // Times differ from run to run.
    let lines = text.body.lines().filter(|line| {
        let of_time = ["_seconds", "baton_steps", "baton_step_tokens", "prompt_tokens", "prefix_cache", "generation"];
        !line.starts_with('#') && !of_time.iter().any(|name| line.contains(name))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    expect![[r#"
        baton_answers_cancelled_total{model_name="byte-model"} 0
        baton_blocks{model_name="byte-model",state="free"} 1001.0
        baton_blocks{model_name="byte-model",state="held"} 0.0
        baton_blocks{model_name="byte-model",state="pinned"} 19.0
        baton_blocks{model_name="byte-model",state="reusable"} 4.0
        baton_broken_invariants_total{model_name="byte-model"} 0
        baton_cues_total{twin="ux",why="given"} 1
        baton_cues_total{twin="ux",why="missing"} 1
        baton_embedded_texts_total 0
        baton_embedded_tokens_total 0
        baton_http_rejections_total{reason="not_found"} 1
        baton_ledger_available 1.0
        baton_prefix_computed_total{model_name="byte-model",twin="ux"} 1
        baton_queue_refusals_total{model_name="byte-model"} 0
        baton_unrecorded_answers_total 0
        vllm:kv_cache_usage_perc{model_name="byte-model"} 0.0185546875
        vllm:num_preemptions_total{model_name="byte-model"} 0
        vllm:num_requests_running{model_name="byte-model"} 0.0
        vllm:num_requests_waiting{model_name="byte-model"} 0.0
        vllm:request_success_total{model_name="byte-model",finished_reason="stop"} 2"#]]
    .assert_eq(&lines.join("\n"));
    for name in ["vllm:time_to_first_token_seconds_bucket", "vllm:prompt_tokens_total", "vllm:prefix_cache_hits_total"]
    {
        assert!(text.body.contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_changed_key_ring_takes_effect_at_once() {
    let server = serve(parrot()).await;
    assert_eq!(server.get("/v1/models").await.status, 200);
    server.keys.replace(KeyRing::new(InstallationSecret::new([1; 32])));
    assert_eq!(server.get("/v1/models").await.status, 401);
}

#[tokio::test]
async fn request_ids_are_taken_if_they_are_sane() {
    let server = serve(parrot()).await;
    for (given, kept) in [("abc-1.2_X", true), ("a b", false), ("", false), (&"x".repeat(65), false)] {
        let mut client = server.client().await;
        client.send(format!("GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: {given}\r\n\r\n").as_bytes()).await;
        let reply = client.reply().await;
        let id = reply.header("x-request-id").unwrap();
        assert_eq!(id == given, kept, "{given:?} {id:?}");
        assert!(kept || id.len() == 36, "{id}");
    }
}

#[tokio::test]
async fn who_answers_for_twins_sees_what_of_them_needs_somebody() {
    let mut server = serve(judge(&[])).await;
    let twins = async |server: &Fixture, key: u8| {
        let mut client = server.client().await;
        client.send(&request("GET", "/v1/twins", &key_of(key), "")).await;
        client.reply().await
    };
    let body = json!({
        "model": "ux", "input": "The form has nine fields.", "questions": [predicate("It is long.")],
        "metadata": {"why": "people give up"}, "baton": {"radius": {"reach": "outside", "reversibility": "never"}},
    });
    assert_eq!(server.post("/v1/decisions", &body).await.status, 200);
    let own = twins(&server, EVE).await.json();
    let [ux] = own["data"].as_array().unwrap().as_slice() else { panic!("{own}") };
    assert_eq!(
        (&ux["id"], &ux["stale"], &ux["held"], &ux["in_review"]),
        (&json!("ux"), &json!(false), &json!(1), &json!(0))
    );
    for (key, count) in [(REX, 2), (MIA, 2), (FAY, 1)] {
        assert_eq!(twins(&server, key).await.json()["data"].as_array().unwrap().len(), count);
    }
    assert_eq!(twins(&server, NAT).await.status, 403, "a conductor answers for none");
    server.stop();
    // Years later the packs are stale, and say so to those who can mend it.
    let later = serve_at(server.over().await, judge(&[]), "2099-01-01T00:00:00Z".parse().unwrap()).await;
    assert_eq!(twins(&later, EVE).await.json()["data"][0]["stale"], true);
}
