//! Texts are erased where an operator asks for it with a reason, and where they were kept for long enough.

use baton_ledger::{ERASURE, Filter, Retention};
use baton_server::ServerConfig;
use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::{judge, predicate};
use super::fixture::{
    ADA_EXPERT, EVE, Fixture, MIA, NAT, OLI, REX, chat_body, key_of, request, says, serve, serve_keeping,
};

const PATH: &str = "/v1/ledger/erasures";

async fn erase(server: &Fixture, body: &Value) -> Reply {
    server.post_as(&key_of(OLI), PATH, body).await
}

/// Asks what is held, and returns its id.
async fn held(server: &Fixture) -> String {
    let body = json!({
        "model": "ux", "input": "The form has nine fields.", "questions": [predicate("It is long.")],
        "metadata": {"why": "people give up"}, "baton": {"radius": {"reach": "outside", "reversibility": "never"}},
    });
    let reply = server.post("/v1/decisions", &body).await.json();
    reply["baton"]["decision"]["id"].as_str().unwrap().to_owned()
}

async fn read(server: &Fixture, id: &str) -> Value {
    let mut client = server.client().await;
    client.send(&request("GET", &format!("/v1/decisions/{id}"), &key_of(MIA), "")).await;
    client.reply().await.json()
}

/// Everything that can still be read in the ledger, but the reasons of erasures.
fn readable(server: &Fixture) -> Vec<String> {
    let page = server.ledger.reader().unwrap().find(&Filter { limit: 10_000, ..Filter::default() }).unwrap();
    let kept = page.records.iter().filter(|record| record.kind != ERASURE);
    kept.flat_map(|record| record.texts.values()).filter_map(|text| text.readable().map(str::to_owned)).collect()
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_ledger_and_from_what_the_server_remembers() {
    let server = serve(judge(&[])).await;
    let id = held(&server).await;
    let refuse = format!("/v1/decisions/{id}/refuse");
    assert_eq!(server.post_as(&key_of(EVE), &refuse, &json!({"reason": "Ask Peter Miller."})).await.status, 200);
    let before = read(&server, &id).await;
    assert_eq!(before["refused"]["text"], "Ask Peter Miller.");
    assert_eq!(before["request"]["input"], "The form has nine fields.");

    let reply = erase(&server, &json!({"subject": id, "reason": "request 4711"})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = reply.json();
    assert_eq!((&body["object"], &body["scrubbed"]), (&json!("ledger.erasure"), &json!(true)));
    assert!(body["texts"].as_u64() >= Some(3), "{body}");
    let after = read(&server, &id).await;
    assert_eq!((&after["refused"]["text"], after.get("request"), after.get("answer")), (&Value::Null, None, None));
    assert_eq!((&after["standing"], &after["id"]), (&json!("refused"), &json!(id)), "the decision stays");
    let row = server.ledger.reader().unwrap().entry(body["entries"][0]["index"].as_u64().unwrap()).unwrap();
    assert_eq!((row.actor.as_str(), row.text("reason")), ("oli", Some("request 4711")));

    let again = erase(&server, &json!({"subject": id, "reason": "request 4711"})).await;
    assert_eq!((again.status, &again.json()["error"]["code"]), (409, &json!("conflict")));
    let nothing = erase(&server, &json!({"entries": [999], "reason": "x"})).await;
    assert_eq!((nothing.status, &nothing.json()["error"]["code"]), (404, &json!("entry_not_found")));
    let empty = erase(&server, &json!({"entries": [0], "reason": "  "})).await;
    assert_eq!((empty.status, &empty.json()["error"]["param"]), (400, &json!("reason")));
}

#[tokio::test]
async fn all_that_a_conductor_said_can_be_erased_at_once() {
    let server = serve(judge(&[])).await;
    held(&server).await;
    let said = readable(&server);
    assert!(said.iter().any(|text| text.contains("nine fields")), "{said:?}");
    let reply = erase(&server, &json!({"conductor": "ada", "reason": "they have left"})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let left = readable(&server);
    assert!(!left.iter().any(|text| text.contains("nine fields") || text.contains("people give up")), "{left:?}");
    let nobody = erase(&server, &json!({"conductor": "nobody", "reason": "x"})).await;
    assert_eq!(nobody.status, 409);
}

#[tokio::test]
async fn only_an_operator_erases() {
    let server = serve(judge(&[])).await;
    let body = json!({"subject": held(&server).await, "reason": "x"});
    for key in [ADA_EXPERT, EVE, MIA, REX, NAT] {
        let reply = server.post_as(&key_of(key), PATH, &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (403, &json!("not_allowed")), "{key}");
    }
    assert_eq!(server.post(PATH, &body).await.status, 403, "nor a conductor");
    assert_eq!(erase(&server, &body).await.status, 200);
}

#[tokio::test]
async fn what_was_kept_for_long_enough_is_erased_at_the_start_and_nothing_else() {
    let start = "2026-01-02T00:00:00Z".parse().unwrap();
    let config = || ServerConfig { retention: Some(Retention::SIX_MONTHS), ..ServerConfig::default() };
    let mut folder = tempfile::tempdir().unwrap();
    // Two answers, four months apart.
    for (at, said) in [(start, "the older one"), ("2026-05-02T00:00:00Z".parse().unwrap(), "the newer one")] {
        let mut server = serve_keeping(folder, says(said), at, config()).await;
        assert_eq!(server.chat(json!({})).await.status, 200);
        server.stop();
        folder = server.over().await;
    }
    let late = "2026-07-10T00:00:00Z".parse().unwrap();
    let server = serve_keeping(folder, says("x"), late, config()).await;
    loop {
        let kept = readable(&server);
        if !kept.contains(&"the older one".to_owned()) {
            assert!(kept.contains(&"the newer one".to_owned()), "{kept:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    let filter = Filter { kinds: vec![ERASURE.to_owned()], ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&filter).unwrap().records;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.actor.as_str(), row.at), ("baton", late));
    assert!(row.body.contains(r#""cause":"retention""#) && row.body.contains(r#""retention":"six-months""#));
    assert_eq!(server.post("/v1/chat/completions", &chat_body(json!({}))).await.status, 200, "and it goes on");
}
