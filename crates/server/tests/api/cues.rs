//! `POST /v1/cues`: whole replies, streams, deadlines and refusals.

use baton_testkit::Fault;
use serde_json::{Value, json};

use super::fixture::{Fixture, alphabet, masked, parrot, request, says, serve};

/// A cue to both twins, with these fields beside the usual ones.
fn cue(fields: Value) -> Value {
    let mut body = json!({"twins": ["ux", "security"], "what": "Rotate the signing key?", "why": "It leaked."});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

async fn ask(server: &Fixture, fields: Value) -> Value {
    let reply = server.post("/v1/cues", &cue(fields)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

#[tokio::test]
async fn a_whole_reply() {
    let server = serve(parrot()).await;
    let reply = ask(&server, json!({"seed": 7, "product": "shop"})).await;
    expect_test::expect_file!["snapshots/cues_whole.json"].assert_eq(&masked(reply));
    // Two prompts, each with its pack and its intent, as a chat with the same twin would be.
    let intent = json!({"why": "It leaked.", "product": "shop"});
    for twin in ["ux", "security"] {
        let body = json!({"model": twin, "seed": 7, "metadata": intent,
            "messages": [{"role": "user", "content": "Rotate the signing key?"}]});
        let chat = server.post("/v1/chat/completions", &body).await.json();
        let cued = ask(&server, json!({"seed": 7, "product": "shop"})).await;
        let answers = cued["answers"].as_array().unwrap();
        let answer = answers.iter().find(|answer| answer["twin"] == twin).unwrap();
        assert_eq!(answer["usage"]["prompt_tokens"], chat["usage"]["prompt_tokens"]);
        assert_eq!(answer["baton"], chat["baton"]);
    }
}

#[tokio::test]
async fn answers_run_in_one_batch_and_stream_as_they_come() {
    let server = serve(says("Rotate the key.")).await;
    let reply = server.post("/v1/cues", &cue(json!({"stream": true, "seed": 7}))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")));
    let events = reply.events();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let events: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event["created"] == events[0]["created"]));
    for twin in ["ux", "security"] {
        let said = events.iter().filter(|event| event["object"] == "cue.delta" && event["twin"] == twin);
        let text: String = said.map(|event| event["delta"].as_str().unwrap()).collect();
        assert_eq!(text, "Rotate the key.");
        let ends: Vec<_> = events.iter().filter(|event| event["answer"]["twin"] == twin).collect();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0]["object"], "cue.answer");
        assert_eq!(ends[0]["answer"]["content"], "Rotate the key.");
    }
    let mut joined = events.last().unwrap().clone();
    let mut whole = ask(&server, json!({"seed": 7})).await;
    for reply in [&mut joined, &mut whole] {
        reply["id"] = Value::Null;
        // The second time the packs are there already.
        reply["usage"]["prompt_tokens_details"] = Value::Null;
        reply["answers"].as_array_mut().unwrap().iter_mut().for_each(|answer| {
            answer["usage"]["prompt_tokens_details"] = Value::Null;
        });
    }
    assert_eq!(joined, whole);
    let together =
        server.control.plans().iter().filter(|plan| plan.spans.iter().filter(|span| span.draws).count() == 2).count();
    assert!(together > 0, "the answers were not drawn side by side");
}

#[tokio::test]
async fn the_deadline_gives_what_there_is() {
    for stream in [false, true] {
        let server = serve(alphabet()).await;
        server.quiet().await;
        // Enough for both packs and for some letters of the answers.
        server.control.allow(20);
        let fields = json!({"deadline_seconds": 1.5, "max_tokens": 40, "stream": stream});
        let reply = server.post("/v1/cues", &cue(fields)).await;
        let joined = if stream {
            let events = reply.events();
            serde_json::from_str(&events[events.len() - 2]).unwrap()
        } else {
            reply.json()
        };
        assert_eq!((reply.status, &joined["deadline_reached"]), (200, &json!(true)), "{joined}");
        for answer in joined["answers"].as_array().unwrap() {
            let content = answer["content"].as_str().unwrap();
            assert!(content.len() < 40 && ('a'..='z').cycle().zip(content.chars()).all(|(one, other)| one == other));
            // A machine that is busy with other tests may not have come to the first word.
            assert_eq!(answer["status"], if content.is_empty() { "missing" } else { "partial" });
            assert_eq!((&answer["finish_reason"], &answer["usage"]), (&Value::Null, &Value::Null));
        }
        server.control.release();
        server.quiet().await;
        assert_eq!(server.engine.status().counters.cancelled, 2);
    }
}

#[tokio::test]
async fn before_the_first_word_an_answer_is_missing() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    server.control.hold();
    let joined = ask(&server, json!({"deadline_seconds": 0.05})).await;
    let states: Vec<_> = joined["answers"].as_array().unwrap().iter().map(|answer| &answer["status"]).collect();
    assert_eq!(states, ["missing", "missing"]);
    server.control.release();
    server.quiet().await;
}

#[tokio::test]
async fn one_twins_fault_is_not_the_others() {
    let server = serve(says("Rotate the key.")).await;
    server.quiet().await;
    server.control.hold();
    let body = cue(json!({}));
    let mut client = server.client().await;
    client.send(&request("POST", "/v1/cues", &server.ada, &body.to_string())).await;
    let control = server.control.clone();
    let step = tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
    // One of those that are in fails at its first draw, whenever that is.
    let failing = server.engine.status().scheduler.usage.keys().max().copied().unwrap();
    for step in step..step + 20 {
        server.control.fault(step, Fault::Draw(failing));
    }
    server.control.release();
    let joined = client.reply().await.json();
    let answers = joined["answers"].as_array().unwrap();
    let of = |status: &str| answers.iter().filter(|answer| answer["status"] == status).collect::<Vec<_>>();
    let (complete, failed) = (of("complete"), of("failed"));
    assert_eq!((complete.len(), failed.len()), (1, 1), "{joined}");
    assert_eq!((&complete[0]["content"], &complete[0]["error"]), (&json!("Rotate the key."), &Value::Null));
    assert!(failed[0]["error"].is_string() && failed[0]["usage"].is_null());
    assert_eq!(joined["deadline_reached"], false);
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_nothing_is_left_behind() {
    let server = serve(says("Yes.")).await;
    let rows = [
        (json!({"twins": ["ux", "nobody"]}), 404, json!("twins[1]")),
        (json!({"twins": ["byte-model"]}), 400, json!("twins[0]")),
        (json!({"twins": ["ux"], "stop": 1}), 400, json!("stop")),
        (json!({"messages": []}), 400, json!("messages")),
    ];
    for (fields, status, param) in rows {
        let reply = server.post("/v1/cues", &cue(fields.clone())).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (status, &param), "{fields}: {}", reply.body);
    }
    // Bob may cue `ux` only, two at once.
    let denied = server.post_as(&server.bob, "/v1/cues", &cue(json!({}))).await;
    assert_eq!(denied.status, 403);
    let allowed = server.post_as(&server.bob, "/v1/cues", &cue(json!({"twins": ["ux"]}))).await;
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    server.quiet().await;
}
