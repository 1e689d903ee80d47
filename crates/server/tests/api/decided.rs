//! Chats whose blast radius is stated: nothing of an answer goes out before its tier is known.

use baton_ledger::Filter;
use baton_server::ServerConfig;
use serde_json::{Value, json};

use super::decisions::predicate;
use super::fixture::{BASE, EVE, Fixture, key_of, parrot, says, serve, serve_twins, serve_with};

const PATH: &str = "/v1/chat/completions";

fn body(radius: [&str; 2], fields: Value) -> Value {
    let mut body = json!({
        "model": "ux", "messages": [{"role": "user", "content": "May I?"}], "metadata": {"why": "people give up"},
        "baton": {"radius": {"reach": radius[0], "reversibility": radius[1]}},
    });
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

async fn chat(server: &Fixture, body: &Value) -> Value {
    let reply = server.post(PATH, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// The kinds of the rows about a subject.
fn rows(server: &Fixture, id: &str) -> Vec<String> {
    let about = Filter { subject: Some(id.to_owned()), ..Filter::default() };
    server.ledger.reader().unwrap().find(&about).unwrap().records.iter().map(|row| row.kind.clone()).collect()
}

#[tokio::test]
async fn tiers_1_and_2_go_out_and_tier_3_is_a_refusal_until_it_is_approved() {
    let server = serve(says("Yes. é")).await;
    for (radius, tier, standing) in [(["task", "minutes"], 1, "released"), (["product", "costly"], 2, "in-review")] {
        let reply = chat(&server, &body(radius, json!({}))).await;
        let (message, decision) = (&reply["choices"][0]["message"], &reply["baton"]["decision"]);
        assert_eq!((&message["content"], &message["refusal"]), (&json!("Yes. é"), &Value::Null));
        assert_eq!((&decision["tier"], &decision["id"]), (&json!(tier), &reply["id"]));
        assert_eq!(decision["assumption"].is_string(), tier == 2);
        let status = server.get(&format!("/v1/decisions/{}", reply["id"].as_str().unwrap())).await.json();
        assert_eq!((&status["standing"], &status["answer"]), (&json!(standing), &json!("Yes. é")));
    }
    let reply = chat(&server, &body(["outside", "never"], json!({"logprobs": true}))).await;
    let choice = &reply["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["logprobs"]), (&Value::Null, &Value::Null));
    assert_eq!(choice["finish_reason"], "stop");
    let id = reply["id"].as_str().unwrap();
    let refusal = choice["message"]["refusal"].as_str().unwrap();
    assert!(refusal.starts_with(&format!("the answer is held as `{id}`: Tier 3")), "{refusal}");
    assert!(!reply.to_string().contains("Yes."), "{reply}");
    assert!(reply["usage"]["completion_tokens"].as_u64() > Some(0));
    let seen = server.post_as(&key_of(EVE), &format!("/v1/decisions/{id}/refuse"), &json!({})).await;
    assert_eq!(seen.status, 400);
    let held = server.get(&format!("/v1/decisions/{id}")).await.json();
    let approval = json!({"answer_digest": held["answer_digest"]});
    server.post_as(&key_of(EVE), &format!("/v1/decisions/{id}/approve"), &approval).await;
    let released = server.get(&format!("/v1/decisions/{id}?wait=60")).await.json();
    assert_eq!((&released["standing"], &released["answer"]), (&json!("released"), &json!("Yes. é")));
    // One row of the answer, as it was drawn.
    let kinds = rows(&server, id);
    assert_eq!(kinds.iter().filter(|kind| *kind == "cue").count(), 1, "{kinds:?}");
    let about = Filter { subject: Some(id.to_owned()), kinds: vec!["cue".to_owned()], ..Filter::default() };
    let row: Value =
        serde_json::from_str(&server.ledger.reader().unwrap().find(&about).unwrap().records[0].body).unwrap();
    assert_eq!((&row["endpoint"], &row["ended"]), (&json!(PATH), &json!("complete")));
    assert!(row["drawn"]["temperature"].is_number() && row["rules"].is_string(), "{row}");
}

#[tokio::test]
async fn a_stream_says_nothing_before_it_is_settled() {
    let server = serve(says("Yes.")).await;
    let stream = json!({"stream": true, "stream_options": {"include_usage": true}});
    for (radius, content, refusal) in
        [(["task", "minutes"], json!("Yes."), false), (["outside", "never"], Value::Null, true)]
    {
        let reply = server.post(PATH, &body(radius, stream.clone())).await;
        let events = reply.events();
        assert_eq!(events.last().map(|event| event.trim()), Some("[DONE]"));
        let chunks: Vec<Value> =
            events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        assert_eq!(chunks[0]["baton"]["decision"]["outcome"] == "held", refusal);
        let delta = &chunks[1]["choices"][0]["delta"];
        assert_eq!((&delta["content"], delta["refusal"].is_string()), (&content, refusal));
        assert_eq!(chunks[2]["choices"][0]["finish_reason"], "stop");
        assert!(chunks[3]["usage"]["total_tokens"].as_u64() > Some(0));
        assert_eq!(reply.body.contains("Yes."), !refusal);
    }
}

#[tokio::test]
async fn what_is_stated_of_a_chat_is_read_as_of_a_decision() {
    let server = serve(parrot()).await;
    let small = ["task", "minutes"];
    let unknown = json!({"baton": {"tier": 1}});
    let unfit = json!({"baton": {"overrides": [{"rule": "no-why", "reason": "a drill"}]}});
    for (fields, param) in [
        (json!({"n": 2}), "n"),
        (json!({"model": BASE}), "baton"),
        (unknown, "baton.tier"),
        (json!({"baton": 7}), "baton"),
        // Nothing is overridden that does not stand.
        (unfit, "baton.overrides"),
    ] {
        let reply = server.post(PATH, &body(small, fields.clone())).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!(param)), "{fields}: {}", reply.body);
    }
    // Without a statement it is a chat like any other.
    let plain = chat(&server, &body(small, json!({"baton": null}))).await;
    assert_eq!((&plain["choices"][0]["message"]["content"], plain["baton"].get("decision")), (&json!("May I?"), None));
}

#[tokio::test]
async fn decisions_are_recorded_where_other_cues_are_not() {
    let server = serve_with(says("Yes."), ServerConfig { every_cue: false, ..ServerConfig::default() }, |_| {}).await;
    let held = chat(&server, &body(["outside", "never"], json!({}))).await;
    assert_eq!(rows(&server, held["id"].as_str().unwrap()), ["cue", "decision"]);
    let plain = chat(&server, &body(["task", "minutes"], json!({"baton": null}))).await;
    assert_eq!(rows(&server, plain["id"].as_str().unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn broken_work_is_no_decision() {
    let server = serve_twins(says("not json"), &["triage"]).await;
    let broken = server.post(PATH, &body(["task", "minutes"], json!({"model": "triage", "max_tokens": 40}))).await;
    assert!(broken.status == 500 || broken.status == 400, "{}", broken.body);
    assert_eq!(server.get("/v1/decisions").await.json()["data"], json!([]));
    // A question beside it is one.
    let question = json!({
        "model": "triage", "input": "Down.", "questions": [predicate("It is bad.")],
        "baton": {"radius": {"reach": "task", "reversibility": "minutes"}},
    });
    assert_eq!(server.post("/v1/decisions", &question).await.status, 200);
}
