//! Waiting for people as a stream of events.

use serde_json::{Value, json};

use super::client::Client;
use super::decisions::{judge, predicate};
use super::fixture::{EVE, Fixture, key_of, request, serve, serve_with};
use baton_server::ServerConfig;

const PATH: &str = "/v1/decisions";

async fn held(server: &Fixture) -> String {
    let body = json!({
        "model": "ux", "input": "The form has nine fields.", "questions": [predicate("It is long.")],
        "metadata": {"why": "people give up"},
        "baton": {"radius": {"reach": "outside", "reversibility": "never"}},
    });
    let reply = server.post(PATH, &body).await.json();
    reply["baton"]["decision"]["id"].as_str().unwrap().to_owned()
}

async fn listen(server: &Fixture, key: &str, id: &str) -> Client {
    let mut client = server.client().await;
    client.send(&request("GET", &format!("{PATH}/{id}?stream=true"), key, "")).await;
    client
}

/// The next event's data.
async fn next(client: &mut Client) -> Value {
    let text = client.read_until("\n\n").await;
    let data = text.rsplit_once("data: ").unwrap_or_else(|| panic!("no event: {text:?}")).1;
    serde_json::from_str(data.trim()).unwrap()
}

async fn act(server: &Fixture, id: &str, deed: &str, body: Value) {
    let reply = server.post_as(&key_of(EVE), &format!("{PATH}/{id}/{deed}"), &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn who_asked_hears_of_the_release_and_reads_the_answer() {
    let server = serve(judge(&[])).await;
    let id = held(&server).await;
    let mut client = listen(&server, &server.ada, &id).await;
    let first = next(&mut client).await;
    assert_eq!((&first["standing"], first.get("answer")), (&json!("held"), None));
    act(&server, &id, "approve", json!({"answer_digest": first["answer_digest"]})).await;
    // Approval and release are one act, so whether the first is seen by itself is a matter of chance.
    let mut last = next(&mut client).await;
    if last["standing"] == "approved" {
        last = next(&mut client).await;
    }
    assert_eq!((&last["standing"], &last["answer"][0]["type"]), (&json!("released"), &json!("predicate")));
    assert_eq!(client.read_until("\n\n").await.lines().find(|line| line.starts_with("data")), Some("data: [DONE]"));
}

#[tokio::test]
async fn a_refusal_ends_it_and_so_does_the_past() {
    let server = serve(judge(&[])).await;
    let id = held(&server).await;
    let mut client = listen(&server, &server.ada, &id).await;
    next(&mut client).await;
    act(&server, &id, "refuse", json!({"reason": "ask legal"})).await;
    assert_eq!(next(&mut client).await["refused"]["text"], "ask legal");
    // What is over already is told at once, and others are told nothing.
    let mut late = listen(&server, &server.ada, &id).await;
    let reply = late.reply().await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    assert_eq!((events.len(), events[1].trim()), (2, "[DONE]"));
    assert_eq!(listen(&server, &server.bob, &id).await.reply().await.status, 404);
    for query in ["stream=yes", "stream=true&wait=3"] {
        assert_eq!(server.get(&format!("{PATH}/{id}?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(server.get(&format!("{PATH}/{id}?stream=false")).await.json()["standing"], "refused");
}

#[tokio::test]
async fn what_was_erased_is_voided_and_told() {
    let server = serve(judge(&[])).await;
    let id = held(&server).await;
    let mut client = listen(&server, &server.ada, &id).await;
    let first = next(&mut client).await;
    let erasure = baton_ledger::Erasure::of_subject(&id, jiff::Timestamp::UNIX_EPOCH, "op", "a request").unwrap();
    server.ledger.erase(erasure).await.unwrap();
    act(&server, &id, "approve", json!({"answer_digest": first["answer_digest"]})).await;
    assert_eq!(next(&mut client).await["standing"], "voided");
}

#[tokio::test]
async fn silence_is_kept_alive_and_the_end_of_the_server_lets_go() {
    let config = ServerConfig { keep_alive: std::time::Duration::from_millis(20), ..ServerConfig::default() };
    let mut server = serve_with(judge(&[]), config, |_| {}).await;
    let id = held(&server).await;
    let (mut client, mut gone) = (listen(&server, &server.ada, &id).await, listen(&server, &server.ada, &id).await);
    let waiting = {
        let (address, wait) = (server.address, request("GET", &format!("{PATH}/{id}?wait=300"), &server.ada, ""));
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            client.send(&wait).await;
            client.reply().await.json()
        })
    };
    next(&mut gone).await;
    drop(gone);
    next(&mut client).await;
    client.read_until(": still working\n\n").await;
    // Nobody waits for the drain limit, neither those who are there nor who has left.
    server.stop();
    let rest = client.read_to_end().await;
    assert!(!rest.contains("[DONE]"), "{rest}");
    assert_eq!(waiting.await.unwrap()["standing"], "held");
    server.over().await;
}

#[tokio::test]
async fn what_expires_ends_the_stream() {
    let config = ServerConfig { expiry_check: std::time::Duration::from_millis(5), ..ServerConfig::default() };
    let server = serve_with(judge(&[]), config, |_| {}).await;
    let id = held(&server).await;
    let mut client = listen(&server, &server.ada, &id).await;
    assert_eq!(next(&mut client).await["standing"], "held");
    server.time.fetch_add(365 * 24 * 3600, std::sync::atomic::Ordering::Relaxed);
    let last = next(&mut client).await;
    assert_eq!((&last["standing"], last.get("answer")), (&json!("expired"), None));
    assert_eq!(client.read_until("\n\n").await.lines().find(|line| line.starts_with("data")), Some("data: [DONE]"));
}

#[tokio::test]
async fn a_conductor_waits_for_so_many_decisions_at_once() {
    let config = ServerConfig { max_waits: 2, ..ServerConfig::default() };
    let server = serve_with(judge(&[]), config, |_| {}).await;
    let id = held(&server).await;
    let (mut one, mut other) = (listen(&server, &server.ada, &id).await, listen(&server, &server.ada, &id).await);
    next(&mut one).await;
    next(&mut other).await;
    for query in ["stream=true", "wait=1"] {
        let refused = server.get(&format!("{PATH}/{id}?{query}")).await;
        let error = refused.json()["error"].clone();
        assert_eq!((refused.status, &error["code"]), (429, &json!("rate_limit_exceeded")), "{query}");
        assert_eq!((&error["type"], refused.header("retry-after")), (&json!("rate_limit_error"), Some("1")));
    }
    // Looking is no waiting, and others have places of their own.
    assert_eq!(server.get(&format!("{PATH}/{id}")).await.status, 200);
    let mut eve = listen(&server, &key_of(EVE), &id).await;
    next(&mut eve).await;
    // Who leaves gives the place back.
    drop(one);
    while server.get(&format!("{PATH}/{id}?wait=0")).await.status == 429 {
        tokio::task::yield_now().await;
    }
}
