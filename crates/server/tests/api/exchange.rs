//! Other versions of twins while the server serves.

use baton_ledger::Filter;
use serde_json::{Value, json};

use super::decisions::{judge, predicate};
use super::fixture::{Fixture, World, alphabet, chat_body, offer, request, serve};

/// The digest of the pack that is served as `ux`.
async fn served(server: &Fixture) -> Value {
    server.get("/v1/models/ux").await.json()["baton"]["pack_digest"].clone()
}

fn edited() -> World {
    World { edited: true, ..World::usual() }
}

#[tokio::test]
async fn what_has_begun_ends_with_the_pack_that_it_began_with() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    let old = served(&server).await;
    server.control.hold();
    let body = chat_body(json!({"model": "ux", "max_tokens": 5}));
    let mut client = server.client().await;
    client.send(&request("POST", "/v1/chat/completions", &server.ada, &body.to_string())).await;
    let control = server.control.clone();
    tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
    let exchange = server.exchange.clone();
    tokio::task::spawn_blocking(move || exchange.serve(offer(&edited()))).await.unwrap().unwrap();
    let new = served(&server).await;
    assert_ne!(old, new);
    server.control.release();
    assert_eq!(client.reply().await.json()["baton"]["twin"]["pack_digest"], old);
    assert_eq!(server.post("/v1/chat/completions", &body).await.json()["baton"]["twin"]["pack_digest"], new);
    // The ledger says since when.
    let filter = Filter { kinds: vec!["pack".to_owned()], subject: Some("ux".to_owned()), ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&filter).unwrap().records;
    let digest = |body: &str| serde_json::from_str::<Value>(body).unwrap()["digest"].clone();
    let digests: Vec<Value> = rows.iter().map(|row| digest(&row.body)).collect();
    assert_eq!(digests, [old, new]);
}

#[tokio::test]
async fn what_is_held_is_voided_and_what_is_on_trial_is_checked() {
    let server = serve(judge(&[])).await;
    let ask = async |reach: &str, reversibility: &str| {
        let body = json!({
            "model": "ux", "input": "The form has nine fields.", "questions": [predicate("It is long.")],
            "metadata": {"why": "people give up"}, "baton": {"radius": {"reach": reach, "reversibility": reversibility}},
        });
        server.post("/v1/decisions", &body).await.json()["baton"]["decision"].clone()
    };
    let held = ask("outside", "never").await;
    assert_eq!((&held["outcome"], &ask("task", "minutes").await["tier"]), (&json!("held"), &json!(1)));
    let world = World { on_trial: vec!["ux".to_owned()], ..edited() };
    server.exchange.serve(offer(&world)).unwrap();
    let status = server.get(&format!("/v1/decisions/{}", held["id"].as_str().unwrap())).await.json();
    assert_eq!((&status["standing"], &status["changed"][0]), (&json!("voided"), &json!("pack")), "{status}");
    assert_eq!(ask("task", "minutes").await["tier"], 2);
}

#[tokio::test]
async fn what_cannot_be_served_leaves_everything_as_it_was() {
    let server = serve(judge(&[])).await;
    let old = served(&server).await;
    let mut twice = offer(&edited());
    twice.packs.push(twice.packs[0].clone());
    let refused = server.exchange.serve(twice).unwrap_err();
    assert!(!refused.to_string().is_empty());
    assert_eq!(served(&server).await, old);
}
