//! Known-good cases of decisions that were found wrong.

use baton_ledger::Filter;
use baton_pack::Pack;
use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::judge;
use super::fixture::{EVE, FAY, Fixture, MIA, REX, key_of, serve_twins};

const PATH: &str = "/v1/decisions";

/// A decision that was released on an assumption and found wrong; its id.
async fn found_wrong(server: &Fixture, twin: &str, fix: &str) -> String {
    let body = json!({
        "model": twin, "input": "The disk is full.", "metadata": {"why": "the shop is down"},
        "questions": [{
            "type": "choice", "name": "next", "instructions": "What first?",
            "choices": [{"value": "delete logs"}, {"value": "add a disk"}],
        }],
        "baton": {"radius": {"reach": "product", "reversibility": "costly"}},
    });
    let reply = server.post(PATH, &body).await.json();
    let id = reply["baton"]["decision"]["id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
    let verdict = json!({"verdict": "wrong", "fix": fix});
    let key = key_of(if twin == "security" { FAY } else { EVE });
    let review = server.post_as(&key, &format!("{PATH}/{id}/review"), &verdict).await;
    assert_eq!(review.status, 200, "{}", review.body);
    id
}

async fn make(server: &Fixture, key: &str, id: &str, body: Value) -> Reply {
    server.post_as(key, &format!("{PATH}/{id}/case"), &body).await
}

#[tokio::test]
async fn what_was_found_wrong_becomes_a_case_of_the_pack_once() {
    let server =
        serve_twins(judge(&[("Is it about something", "Yes"), ("What first?", "delete logs")]), &["ux", "ops"]).await;
    let id = found_wrong(&server, "ops", "Add a disk first.").await;
    for (key, status) in [(server.ada.clone(), 403), (key_of(FAY), 403), (key_of(MIA), 403)] {
        assert_eq!(make(&server, &key, &id, json!({})).await.status, status);
    }
    assert_eq!(make(&server, &key_of(EVE), &id, json!({"question": "other"})).await.status, 400);
    let made = make(&server, &key_of(EVE), &id, json!({})).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let made = made.json();
    let name = format!("found-wrong-{id}");
    assert_eq!((&made["name"], &made["file"]), (&json!(name), &json!(format!("cases/{name}.toml"))));
    let pack = Pack::load(&server.folder.path().join("packs/ops")).unwrap();
    let case = pack.cases().iter().find(|case| case.name == name).unwrap();
    assert_eq!(
        (case.what.as_str(), case.why.as_deref()),
        ("The disk is full.\n\nWhat first?", Some("the shop is down"))
    );
    assert_eq!(case.checks[0].kind(), "choice");
    let about = Filter { subject: Some(id.clone()), kinds: vec!["case".to_owned()], ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&about).unwrap().records;
    assert_eq!((rows.len(), rows[0].actor.as_str(), rows[0].text("case")), (1, "eve", made["case"].as_str()));
    // Once; an architect is told so too, and nothing more is written.
    assert_eq!(make(&server, &key_of(REX), &id, json!({})).await.status, 409);
    assert_eq!(server.ledger.reader().unwrap().find(&about).unwrap().records.len(), 1);
}

#[tokio::test]
async fn only_a_fix_makes_a_case_and_only_one_that_the_pack_takes() {
    let server =
        serve_twins(judge(&[("Is it about something", "Yes"), ("What first?", "delete logs")]), &["ux", "ops"]).await;
    let question = json!({
        "model": "ops", "input": "A disk.", "questions": [super::decisions::predicate("It is full.")],
        "metadata": {"why": "x"}, "baton": {"radius": {"reach": "task", "reversibility": "minutes"}},
    });
    let right = server.post(PATH, &question).await.json()["baton"]["decision"]["id"].as_str().unwrap().to_owned();
    let refused = make(&server, &key_of(EVE), &right, json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    // A pack of format 1 has no checks on choices.
    let old = found_wrong(&server, "ux", "Add a disk first.").await;
    let refused = make(&server, &key_of(EVE), &old, json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(Pack::load(&server.folder.path().join("packs/ux")).is_ok(), "it is as it was");
    let text = found_wrong(&server, "ux", "Say \"add a disk\" and \"add two\" first.").await;
    assert_eq!(make(&server, &key_of(EVE), "dec-0", json!({})).await.status, 404);
    let erasure = baton_ledger::Erasure::of_subject(&text, jiff::Timestamp::UNIX_EPOCH, "op", "a request").unwrap();
    server.ledger.erase(erasure).await.unwrap();
    assert_eq!(make(&server, &key_of(EVE), &text, json!({})).await.status, 409);
    server.ledger.close().await.unwrap();
    let other = make(&server, &key_of(EVE), &old, json!({})).await;
    assert!(other.status == 409 || other.status == 503, "{}", other.body);
}
