//! A default that is overridden after its decision was held: one reason, logged before it counts, for that one only.

use baton_ledger::Filter;
use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::{judge, predicate};
use super::fixture::{EVE, Fixture, World, key_of, request, serve_in, serve_twins};

const PATH: &str = "/v1/decisions";

async fn served() -> Fixture {
    serve_twins(judge(&[]), &["ux", "security", "ops"]).await
}

/// A question to `ops`, with why and product unless `silent`.
fn question(radius: [&str; 2], touches: &[&str], silent: bool) -> Value {
    json!({
        "model": "ops", "input": "An invoice is open.", "questions": [predicate("It is paid.")],
        "metadata": if silent { json!({}) } else { json!({"why": "it is late", "product": "shop"}) },
        "baton": {"radius": {"reach": radius[0], "reversibility": radius[1]}, "touches": touches},
    })
}

/// Asks, and returns what became of the decision.
async fn ask(server: &Fixture, body: &Value) -> Value {
    let reply = server.post(PATH, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["baton"]["decision"].clone()
}

fn id_of(decision: &Value) -> String {
    decision["id"].as_str().unwrap().to_owned()
}

async fn status(server: &Fixture, id: &str) -> Value {
    let mut client = server.client().await;
    client.send(&request("GET", &format!("{PATH}/{id}"), &server.ada, "")).await;
    client.reply().await.json()
}

async fn over(server: &Fixture, key: &str, id: &str, rule: &str, reason: &str) -> Reply {
    let body = json!({"rule": rule, "reason": reason});
    server.post_as(key, &format!("{PATH}/{id}/override"), &body).await
}

/// The refusal's status and code.
fn refused(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn one_reason_releases_what_only_a_default_held_and_as_it_was_held() {
    let server = served().await;
    let held = ask(&server, &question(["task", "minutes"], &["money"], false)).await;
    assert_eq!((&held["outcome"], &held["overridable"]), (&json!("held"), &json!(["ops/money"])));
    let id = id_of(&held);
    let before = status(&server, &id).await;
    assert_eq!((&before["overridable"], before.get("answer")), (&json!(["ops/money"]), None));
    let reply = over(&server, &server.ada, &id, "ops/money", " it is a test account ").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let released = reply.json();
    assert_eq!((&released["standing"], &released["tier"]), (&json!("released"), &json!(1)));
    assert_eq!(released["answer"][0]["type"], "predicate");
    assert_eq!(released["answer_digest"], before["answer_digest"], "nothing was computed again");
    let said = &released["overrides"][0];
    assert_eq!((&said["by"], &said["text"]), (&json!("ada"), &json!("it is a test account")));
    // First the reason, then what follows from it.
    let about = Filter { subject: Some(id.clone()), ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&about).unwrap().records;
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["cue", "decision", "override", "decision"]);
    assert!(rows[3].body.contains("\"event\":\"lowered\""), "{}", rows[3].body);
    // Once, and for that one only.
    assert_eq!(refused(&over(&server, &server.ada, &id, "ops/money", "again").await).0, 409);
    assert_eq!(ask(&server, &question(["task", "minutes"], &["money"], false)).await["outcome"], "held");
}

#[tokio::test]
async fn what_else_asks_for_checking_stays() {
    let server = served().await;
    // Without a why an assumption is left, and somebody looks at it.
    let silent = id_of(&ask(&server, &question(["task", "minutes"], &["money"], true)).await);
    let reply = over(&server, &server.ada, &silent, "ops/money", "a test account").await.json();
    assert_eq!((&reply["standing"], &reply["tier"]), (&json!("in-review"), &json!(2)));
    assert!(reply["assumption"].as_str().unwrap().contains("`ops/money`"), "{reply}");
    assert_eq!(reply["due"], json!("2026-01-09T00:00:00Z"), "the pack's seven days");
    // So it is with what the caller states.
    let stated = id_of(&ask(&server, &question(["product", "costly"], &["money"], false)).await);
    assert_eq!(over(&server, &server.ada, &stated, "ops/money", "small").await.json()["standing"], "in-review");
    // One of two that hold: the other one does so yet.
    let both = ask(&server, &question(["task", "minutes"], &["money", "personal-data"], false)).await;
    assert_eq!(both["overridable"], json!(["out-of-scope", "ops/money"]));
    let both = id_of(&both);
    let reply = over(&server, &server.ada, &both, "ops/money", "small").await.json();
    assert_eq!((&reply["standing"], &reply["overridable"]), (&json!("held"), &json!(["out-of-scope"])));
    assert_eq!(reply.get("answer"), None);
    assert_eq!(over(&server, &server.ada, &both, "out-of-scope", "I know").await.json()["standing"], "released");
    // What a default denies waits for nobody but who asked.
    let mut frozen = question(["task", "minutes"], &["money"], false);
    frozen["metadata"]["process"] = json!("rollout");
    let frozen = id_of(&ask(&server, &frozen).await);
    assert_eq!(over(&server, &server.ada, &frozen, "ops/frozen", "a hotfix").await.json()["standing"], "held");
    assert_eq!(over(&server, &server.ada, &frozen, "ops/money", "a refund").await.json()["standing"], "released");
}

#[tokio::test]
async fn nothing_else_than_a_default_gives_way() {
    let server = served().await;
    let by_radius = id_of(&ask(&server, &question(["outside", "never"], &["money"], false)).await);
    let by_core = id_of(&ask(&server, &question(["task", "minutes"], &["data-migration"], false)).await);
    let secret = id_of(&ask(&server, &question(["task", "minutes"], &["secrets"], false)).await);
    let free = id_of(&ask(&server, &question(["task", "minutes"], &["money"], false)).await);
    let mut payout = question(["task", "minutes"], &[], false);
    payout["baton"]["topic"] = json!("payout");
    let by_pack = id_of(&ask(&server, &payout).await);
    let (ada, bob, eve) = (server.ada.clone(), server.bob.clone(), key_of(EVE));
    for (key, id, rule, reason, expected) in [
        (&ada, &by_radius, "ops/money", "small", (409, "conflict")),
        (&ada, &by_pack, "ops/money", "small", (409, "conflict")),
        (&ada, &by_core, "data-migration", "I am sure", (403, "not_allowed")),
        (&ada, &by_core, "ops/money", "small", (409, "conflict")),
        (&ada, &secret, "secrets", "it is old", (403, "not_allowed")),
        (&ada, &secret, "out-of-scope", "I know", (409, "conflict")),
        (&ada, &free, "no-why", "a drill", (409, "conflict")),
        (&ada, &free, "nothing", "a drill", (409, "conflict")),
        (&ada, &free, "ops/money", "  ", (400, "invalid_value")),
        (&ada, &free, "ops/money", "two\nlines", (400, "invalid_value")),
        (&ada, &free, "No Rule", "a drill", (400, "invalid_value")),
        (&bob, &free, "ops/money", "small", (403, "not_allowed")),
        (&eve, &free, "ops/money", "small", (403, "not_allowed")),
        (&ada, &"dec-0".to_owned(), "ops/money", "small", (404, "decision_not_found")),
    ] {
        let reply = over(&server, key, id, rule, reason).await;
        assert_eq!(refused(&reply), (expected.0, expected.1.to_owned()), "{rule} {reason}: {}", reply.body);
    }
    for body in
        [json!({"rule": "ops/money"}), json!({"reason": "x"}), json!({"rule": "ops/money", "reason": "x", "tier": 1})]
    {
        assert_eq!(server.post(&format!("{PATH}/{free}/override"), &body).await.status, 400, "{body}");
    }
    for id in [by_radius, by_pack, by_core, free] {
        let status = status(&server, &id).await;
        assert_eq!((&status["standing"], &status["overrides"]), (&json!("held"), &json!([])), "{status}");
    }
}

#[tokio::test]
async fn of_two_overrides_at_once_one_counts() {
    let server = served().await;
    let id = id_of(&ask(&server, &question(["task", "minutes"], &["money"], false)).await);
    let (one, other) = tokio::join!(
        over(&server, &server.ada, &id, "ops/money", "one"),
        over(&server, &server.ada, &id, "ops/money", "other"),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.body, other.body);
    assert_eq!(status(&server, &id).await["overrides"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn without_the_ledger_it_stays_held() {
    let server = served().await;
    let id = id_of(&ask(&server, &question(["task", "minutes"], &["money"], false)).await);
    server.ledger.close().await.unwrap();
    let reply = over(&server, &server.ada, &id, "ops/money", "small").await;
    assert_eq!(refused(&reply), (503, "ledger_unavailable".to_owned()));
}

#[tokio::test]
async fn after_a_restart_it_is_the_same_answer_or_none() {
    let mut server = served().await;
    let body = question(["task", "minutes"], &["money"], false);
    let (kept, erased) = (id_of(&ask(&server, &body).await), id_of(&ask(&server, &body).await));
    let digest = status(&server, &kept).await["answer_digest"].clone();
    server.stop();
    let folder = server.over().await;
    // Asked now, the model would say something else.
    let server = serve_in(folder, judge(&[("It is", "No")]), World::of(&["ux", "security", "ops"])).await;
    let released = over(&server, &server.ada, &kept, "ops/money", "small").await.json();
    assert_eq!((&released["standing"], &released["answer_digest"]), (&json!("released"), &digest));
    assert!(released["answer"][0]["probability"].as_f64().unwrap() > 0.5, "{released}");
    let erasure = baton_ledger::Erasure::of_subject(&erased, jiff::Timestamp::UNIX_EPOCH, "op", "a request").unwrap();
    server.ledger.erase(erasure).await.unwrap();
    let voided = over(&server, &server.ada, &erased, "ops/money", "small").await.json();
    assert_eq!((&voided["standing"], voided.get("answer")), (&json!("voided"), None));
}
