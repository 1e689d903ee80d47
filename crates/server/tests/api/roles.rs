//! Every route by every role: what a key may do, as a status.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::decisions::{judge, predicate};
use super::fixture::{BASE, EVE, FAY, Fixture, MIA, OLI, REX, key_of, request, serve_twins};

const DECISIONS: &str = "/v1/decisions";

/// How far a decision has come before somebody does something to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Held,
    /// A default holds it.
    ByDefault,
    InReview,
    Released,
    FoundWrong,
}

/// A decision of `ops` that Ada asked for; its id and its answer's digest.
async fn decision(server: &Fixture, stands: Stands) -> (String, Value) {
    let (reach, undo, touches): (_, _, &[&str]) = match stands {
        Stands::Held => ("outside", "never", &[]),
        Stands::ByDefault => ("task", "minutes", &["money"]),
        Stands::InReview | Stands::FoundWrong => ("product", "costly", &[]),
        Stands::Released => ("task", "minutes", &[]),
    };
    let body = json!({
        "model": "ops", "input": "The disk is full.", "questions": [predicate("It is.")],
        "metadata": {"why": "the shop is down"},
        "baton": {"radius": {"reach": reach, "reversibility": undo}, "touches": touches},
    });
    let reply = server.post(DECISIONS, &body).await.json();
    let id = reply["baton"]["decision"]["id"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
    if stands == Stands::FoundWrong {
        let verdict = json!({"verdict": "wrong", "fix": "No, it is not."});
        server.post_as(&key_of(REX), &format!("{DECISIONS}/{id}/review"), &verdict).await;
    }
    let status = server.get(&format!("{DECISIONS}/{id}")).await.json();
    (id, status["answer_digest"].clone())
}

async fn status(server: &Fixture, key: &str, method: &str, path: &str, body: &Value) -> u16 {
    let mut client = server.client().await;
    let text = if method == "GET" { String::new() } else { body.to_string() };
    client.send(&request(method, path, key, &text)).await;
    client.reply().await.status
}

/// Routes that are about no decision, with what they are sent.
fn routes() -> Vec<(&'static str, &'static str, Value)> {
    let small = json!({"radius": {"reach": "task", "reversibility": "minutes"}});
    let said = json!([{"role": "user", "content": "Hi"}]);
    vec![
        ("GET", "/health", Value::Null),
        ("GET", "/metrics", Value::Null),
        ("GET", "/v1/models", Value::Null),
        ("GET", "/v1/rules", Value::Null),
        ("GET", "/v1/spaces", Value::Null),
        ("GET", "/v1/reports", Value::Null),
        ("GET", "/v1/proposals", Value::Null),
        ("GET", "/v1/twins", Value::Null),
        ("POST", "/v1/ledger/erasures", json!({"entries": [0], "reason": "there is nothing to erase"})),
        ("POST", "/v1/proposals/prop-0/accept", json!({"reason": "it recurs"})),
        ("POST", "/v1/proposals/prop-0/refuse", json!({"reason": "it does not"})),
        ("POST", "/v1/proposals/prop-0/restore", json!({"reason": "it is missed"})),
        ("POST", "/v1/completions", json!({"model": BASE, "prompt": "Hi", "max_tokens": 1})),
        ("POST", "/v1/chat/completions", json!({"model": "ops", "messages": said, "max_tokens": 1})),
        ("POST", "/v1/responses", json!({"model": "ops", "input": "Hi", "max_output_tokens": 1})),
        ("GET", "/v1/responses/resp_1", Value::Null),
        ("GET", "/v1/responses/resp_1/input_items", Value::Null),
        ("POST", "/v1/responses/resp_1/cancel", json!({})),
        ("DELETE", "/v1/responses/resp_1", Value::Null),
        ("POST", "/tokenize", json!({"model": "ops", "messages": said})),
        ("POST", "/detokenize", json!({"model": "ops", "tokens": [72]})),
        ("POST", "/v1/embeddings", json!({"model": "letters", "input": "Hi"})),
        ("POST", "/v1/cues", json!({"twins": ["ops"], "what": "Hi", "max_tokens": 1})),
        ("POST", DECISIONS, json!({"model": "ops", "input": "Hi", "questions": [predicate("It is.")], "baton": small})),
        ("GET", DECISIONS, Value::Null),
        ("GET", "/v1/decisions?queue=held", Value::Null),
    ]
}

/// Routes that are about a decision.
fn deeds() -> Vec<(&'static str, Stands, Value)> {
    vec![
        ("approve", Stands::Held, json!({})),
        ("refuse", Stands::Held, json!({"reason": "ask legal"})),
        ("withdraw", Stands::Held, json!({})),
        ("override", Stands::ByDefault, json!({"rule": "ops/money", "reason": "a test account"})),
        ("review", Stands::InReview, json!({"verdict": "ok"})),
        ("correct", Stands::Released, json!({"fix": "No, it is not."})),
        ("case", Stands::FoundWrong, json!({})),
    ]
}

#[tokio::test]
async fn every_route_by_every_role() {
    let server = serve_twins(judge(&[]), &["ops"]).await;
    let keys = [
        // Who asked for the decisions, another conductor, an expert for the twin, one for another.
        ("asker", server.ada.clone()),
        ("conductor", server.bob.clone()),
        ("expert", key_of(EVE)),
        ("other", key_of(FAY)),
        ("architect", key_of(REX)),
        ("auditor", key_of(MIA)),
        ("operator", key_of(OLI)),
        ("nobody", "baton_x".to_owned()),
    ];
    let mut table = format!("{:36}", "");
    for (role, _) in &keys {
        write!(table, " {role:9}").unwrap();
    }
    for (method, path, body) in routes() {
        write!(table, "\n{:36}", format!("{method} {path}")).unwrap();
        for (_, key) in &keys {
            write!(table, " {:<9}", status(&server, key, method, path, &body).await).unwrap();
        }
    }
    write!(table, "\n{:36}", "GET /v1/decisions/…").unwrap();
    for (_, key) in &keys {
        let (id, _) = decision(&server, Stands::Held).await;
        write!(table, " {:<9}", status(&server, key, "GET", &format!("{DECISIONS}/{id}"), &Value::Null).await).unwrap();
    }
    for (deed, stands, body) in deeds() {
        write!(table, "\n{:36}", format!("POST /v1/decisions/…/{deed}")).unwrap();
        for (_, key) in &keys {
            let (id, digest) = decision(&server, stands).await;
            let mut body = body.clone();
            if deed == "approve" {
                body["answer_digest"] = digest;
            }
            let path = format!("{DECISIONS}/{id}/{deed}");
            write!(table, " {:<9}", status(&server, key, "POST", &path, &body).await).unwrap();
        }
    }
    let table: String = table.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    expect![[r"
                                             asker     conductor expert    other     architect auditor   operator  nobody
        GET /health                          200       200       200       200       200       200       200       200
        GET /metrics                         200       200       200       200       200       200       200       401
        GET /v1/models                       200       200       200       200       200       200       200       401
        GET /v1/rules                        200       200       200       200       200       200       200       401
        GET /v1/spaces                       200       200       200       200       200       200       200       401
        GET /v1/reports                      403       403       200       403       200       200       403       401
        GET /v1/proposals                    403       403       200       403       200       200       403       401
        GET /v1/twins                        403       403       200       403       200       200       403       401
        POST /v1/ledger/erasures             403       403       403       403       403       403       409       401
        POST /v1/proposals/prop-0/accept     403       403       403       403       404       403       403       401
        POST /v1/proposals/prop-0/refuse     403       403       403       403       404       403       403       401
        POST /v1/proposals/prop-0/restore    403       403       403       403       409       403       403       401
        POST /v1/completions                 200       403       403       403       403       403       403       401
        POST /v1/chat/completions            200       403       200       403       403       403       403       401
        POST /v1/responses                   200       403       200       403       403       403       403       401
        GET /v1/responses/resp_1             404       404       404       404       404       404       404       401
        GET /v1/responses/resp_1/input_items 404       404       404       404       404       404       404       401
        POST /v1/responses/resp_1/cancel     404       404       404       404       404       404       404       401
        DELETE /v1/responses/resp_1          404       404       404       404       404       404       404       401
        POST /tokenize                       200       403       200       403       403       403       403       401
        POST /detokenize                     200       403       200       403       403       403       403       401
        POST /v1/embeddings                  200       403       403       403       403       403       403       401
        POST /v1/cues                        200       403       200       403       403       403       403       401
        POST /v1/decisions                   200       403       200       403       403       403       403       401
        GET /v1/decisions                    200       200       200       200       200       200       200       401
        GET /v1/decisions?queue=held         200       200       200       200       200       200       200       401
        GET /v1/decisions/…                  200       404       200       404       200       200       404       401
        POST /v1/decisions/…/approve         403       403       200       403       200       403       403       401
        POST /v1/decisions/…/refuse          403       403       200       403       200       403       403       401
        POST /v1/decisions/…/withdraw        200       403       403       403       403       403       403       401
        POST /v1/decisions/…/override        200       403       403       403       403       403       403       401
        POST /v1/decisions/…/review          403       403       200       403       200       403       403       401
        POST /v1/decisions/…/correct         403       403       200       403       200       403       403       401
        POST /v1/decisions/…/case            403       403       200       403       200       403       403       401
    "]].assert_eq(&table);
}
