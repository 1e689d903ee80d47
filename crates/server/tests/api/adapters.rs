//! Twins with adapters while the server serves: other versions, refused ones, withdrawn ones.

use std::sync::{Arc, Weak};
use std::time::Duration;

use baton_contract::{Adapter, Digest};
use baton_pack::Pack;
use baton_server::Offer;
use serde_json::{Value, json};

use super::fixture::{Fixture, World, alphabet, chat_body, offer, pack_with, request, serve};

/// Version `number` of the twin `ux`, with its adapter; and who can tell whether anybody still has its weights.
fn version(number: u8) -> (Offer, Adapter, Weak<u8>) {
    let weights = Arc::new(number);
    let alive = Arc::downgrade(&weights);
    let adapter = Adapter::new(Digest::of(&[number]), weights);
    let mut offer = offer(&World::usual());
    offer.packs.retain(|pack| pack.id().as_str() != "ux");
    offer.packs.push(pack(number));
    offer.adapters.insert("ux".parse().unwrap(), adapter.clone());
    (offer, adapter, alive)
}

/// A pack whose files of an adapter say nothing but which one it is; the server does not read them.
fn pack(number: u8) -> Pack {
    pack_with("ux", |folder| {
        let manifest = std::fs::read_to_string(folder.join("twin.toml")).unwrap();
        let model = Digest::of(b"weights");
        let manifest = manifest.replace("format = 1", "format = 2") + &format!("\n[adapter]\nmodel = \"{model}\"\n");
        std::fs::write(folder.join("twin.toml"), manifest).unwrap();
        std::fs::create_dir(folder.join("adapter")).unwrap();
        std::fs::write(folder.join("adapter/adapter_config.json"), "{}").unwrap();
        std::fs::write(folder.join("adapter/adapter_model.safetensors"), [number]).unwrap();
    })
}

async fn exchange(server: &Fixture, offer: Offer) -> Result<(), baton_server::Error> {
    let exchange = server.exchange.clone();
    tokio::task::spawn_blocking(move || exchange.serve(offer)).await.unwrap()
}

fn ask() -> Value {
    chat_body(json!({"model": "ux", "max_tokens": 5}))
}

/// The adapter that an answer was computed with.
async fn answered_with(server: &Fixture) -> Value {
    let reply = server.post("/v1/chat/completions", &ask()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["baton"]["twin"]["adapter_digest"].clone()
}

/// Waits until nobody has an adapter's weights any more: whoever was answered lets go behind the answer.
async fn gone(weights: &Weak<u8>) {
    let gone = async {
        while weights.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone)
        .await
        .expect("nobody needs the weights, and somebody keeps them");
}

#[tokio::test]
async fn an_answer_ends_with_the_adapter_that_it_began_with_and_what_nobody_serves_is_let_go() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    let (first, one, first_alive) = version(1);
    exchange(&server, first).await.unwrap();
    let one = {
        let digest = json!(one.digest().to_string());
        drop(one);
        digest
    };
    assert_eq!(answered_with(&server).await, one);

    // Another version goes live amid an answer.
    server.quiet().await;
    server.control.hold();
    let mut client = server.client().await;
    client.send(&request("POST", "/v1/chat/completions", &server.ada, &ask().to_string())).await;
    let control = server.control.clone();
    tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
    let (second, two, second_alive) = version(2);
    exchange(&server, second).await.unwrap();
    assert!(first_alive.upgrade().is_some(), "an answer in progress has it");
    server.control.release();
    assert_eq!(client.reply().await.json()["baton"]["twin"]["adapter_digest"], one);
    assert_eq!(answered_with(&server).await, json!(two.digest().to_string()));
    gone(&first_alive).await;

    // What cannot be served changes nothing, whoever is at fault.
    let (mut without, ..) = version(3);
    without.adapters.clear();
    let refused = exchange(&server, without).await.unwrap_err().to_string();
    assert_eq!(refused, "the pack of `ux` and its adapter were not handed over together");
    let (mut foreign, ..) = version(4);
    foreign.packs.retain(|pack| pack.id().as_str() != "ux");
    foreign.packs.push(pack_with("ux", |_| ()));
    assert!(exchange(&server, foreign).await.is_err(), "an adapter of a pack that has none");
    assert_eq!(answered_with(&server).await, json!(two.digest().to_string()));

    // A twin that is withdrawn takes its adapter along.
    drop(two);
    let mut withdrawn = offer(&World::usual());
    withdrawn.packs.retain(|pack| pack.id().as_str() != "ux");
    exchange(&server, withdrawn).await.unwrap();
    assert_eq!(server.post("/v1/chat/completions", &ask()).await.status, 404);
    gone(&second_alive).await;
}
