//! What was answered is asked for again, by the very routes, and held against what the ledger has.

use baton_ledger::Erasure;
use baton_register::{Again, CUE, Recorded, Unanswerable};
use baton_server::{ReplayError, Replayer, ServerConfig};
use baton_testkit::Script;
use serde_json::{Value, json};

use super::fixture::{Fixture, World, alphabet, chat_body, parrot, says, serve, serve_with, services};

/// The rows of cues, once there are so many.
async fn recorded(server: &Fixture, count: usize) -> Vec<Recorded> {
    let reader = server.ledger.reader().unwrap();
    loop {
        let mut rows = Vec::new();
        for index in 0..reader.size().unwrap() {
            let record = reader.entry(index).unwrap();
            if record.kind == CUE {
                rows.push(Recorded::read(&reader, &record).unwrap());
            }
        }
        if rows.len() >= count {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

/// Asks again for all of them, with another engine that answers by `script`.
async fn again(rows: &[Recorded], script: Script) -> Vec<Again> {
    let folder = tempfile::tempdir().unwrap();
    let (services, _control) = services(folder.path(), script, &World::of(&["ux", "security", "triage"]));
    let mut replayer = Replayer::new(services).unwrap();
    let mut all = Vec::new();
    for row in rows {
        let row_now = replayer.again(row).await.unwrap_or_else(|error| panic!("{}: {error}", row.endpoint));
        all.push(row.against(&row_now));
    }
    all
}

fn question() -> Value {
    super::decisions::predicate("It is safe.")
}

#[tokio::test]
async fn the_same_requests_give_the_same_answers() {
    let server = serve(parrot()).await;
    let bodies = [
        ("/v1/chat/completions", chat_body(json!({}))),
        (
            "/v1/chat/completions",
            chat_body(json!({"model": "ux", "n": 3, "stream": true, "metadata": {"why": "a test"}})),
        ),
        (
            "/v1/chat/completions",
            chat_body(json!({"model": "ux", "seed": -7, "stop": ["i"], "max_completion_tokens": 5})),
        ),
        ("/v1/completions", json!({"model": "byte-model", "prompt": ["ab", "c"], "n": 2})),
        ("/v1/cues", json!({"twins": ["ux", "security"], "what": "Hi", "deadline_seconds": 60, "stream": true})),
        (
            "/v1/decisions",
            json!({"model": "ux", "input": "x", "questions": [question()], "metadata": {"why": "a test"}}),
        ),
        ("/v1/decisions", json!({"model": "security", "input": "x", "questions": [question()]})),
        // A chat that is checked as a decision is, and held.
        (
            "/v1/chat/completions",
            chat_body(json!({"model": "ux", "baton": {"radius": {"reach": "outside", "reversibility": "never"}}})),
        ),
        ("/v1/decisions", json!({"model": "byte-model", "input": "x", "questions": [question()]})),
        ("/v1/embeddings", json!({"model": "letters", "input": ["abc", "d"], "dimensions": 3})),
    ];
    for (path, body) in &bodies {
        assert_eq!(server.post(path, body).await.status, 200, "{path} {body}");
    }
    // A mandate's limit holds again, though nobody's mandate does.
    let mine = chat_body(json!({"model": "ux", "messages": [{"role": "user", "content": "a".repeat(40)}]}));
    assert_eq!(server.post_as(&server.bob, "/v1/chat/completions", &mine).await.status, 200);
    let rows = recorded(&server, bodies.len() + 2).await;
    for (row, again) in rows.iter().zip(again(&rows, parrot()).await) {
        assert!(again.same && again.changed.is_empty(), "{row:?}: {again:?}");
        let words = match row.endpoint.as_str() {
            "/v1/decisions" => "all answers are the same",
            "/v1/embeddings" => "all vectors are the same",
            _ => "tokens are the same",
        };
        assert!(again.why.contains(words), "{again:?}");
    }
    for (row, again) in rows.iter().zip(again(&rows, says("Something else.")).await) {
        // A script that says something else has no other opinion on what is asked of its probabilities.
        let undrawn = ["/v1/decisions", "/v1/embeddings"].contains(&row.endpoint.as_str());
        assert!(!again.same || undrawn, "{row:?}: {again:?}");
    }
}

#[tokio::test]
async fn a_response_is_asked_again_with_all_that_it_went_on_from() {
    let server = serve(parrot()).await;
    let tool = json!({"type": "function", "name": "f"});
    let mut previous = Value::Null;
    for background in [false, true] {
        let body = json!({"model": "ux", "input": "two", "instructions": "Be brief.", "previous_response_id": previous,
            "background": background, "tools": [tool], "max_output_tokens": 9});
        let made = server.post("/v1/responses", &body).await.json();
        previous = made["id"].clone();
    }
    let rows = recorded(&server, 2).await;
    for again in again(&rows, parrot()).await {
        assert!(again.same && again.changed.is_empty(), "{again:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_left_is_the_same_as_far_as_it_came() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    server.control.allow(20);
    let body = json!({"twins": ["ux"], "what": "x", "max_tokens": 40, "deadline_seconds": 0.2});
    assert_eq!(server.post("/v1/cues", &body).await.status, 200);
    let rows = recorded(&server, 1).await;
    server.control.release();
    let again = again(&rows, alphabet()).await.remove(0);
    assert!(again.same && again.why.ends_with("as far as the recorded answer came"), "{again:?}");
}

#[tokio::test]
async fn what_was_erased_or_failed_or_is_no_answer_cannot_be_asked_again() {
    let server = serve(says("Yes.")).await;
    assert_eq!(server.chat(json!({})).await.status, 200);
    let row = recorded(&server, 1).await.remove(0);
    let at = "2026-11-23T08:00:00Z".parse().unwrap();
    server.ledger.erase(Erasure::of_entries(vec![row.index], at, "olga", "a request").unwrap()).await.unwrap();
    let reader = server.ledger.reader().unwrap();
    let read = |index: u64| Recorded::read(&reader, &reader.entry(index).unwrap()).unwrap_err();
    let erased = read(row.index);
    assert!(erased.is_request_fault());
    let by = reader.size().unwrap() - 1;
    let expected =
        format!("what was asked in entry {} was erased on 2026-11-23T08:00:00Z; entry {by} says why", row.index);
    assert_eq!(erased.to_string(), expected);
    assert!(matches!(read(by), Unanswerable::NotACue { .. }));
}

#[tokio::test]
async fn what_cannot_be_asked_any_more_is_said() {
    let server = serve_with(says("Yes."), ServerConfig::default(), |_| {}).await;
    assert_eq!(server.chat(json!({"model": "ux"})).await.status, 200);
    let row = recorded(&server, 1).await.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let (services, _control) = services(folder.path(), says("Yes."), &World::of(&["security"]));
    let mut replayer = Replayer::new(services).unwrap();
    let refused = replayer.again(&row).await.unwrap_err();
    assert!(refused.to_string().starts_with("the same request is refused now: "), "{refused}");
    let other = Recorded { endpoint: "/v1/images".to_owned(), ..row.clone() };
    assert_eq!(replayer.again(&other).await.unwrap_err(), ReplayError::Endpoint("/v1/images".to_owned()));
    let broken = Recorded { request: "[]".to_owned(), ..row };
    assert!(matches!(replayer.again(&broken).await.unwrap_err(), ReplayError::Request(_)));
}
