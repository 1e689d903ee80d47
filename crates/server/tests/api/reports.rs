//! What the reports say, and to whom.

use baton_authority::docket::{Bound, Course, Docket, Fired, Opening, Override, RuleKind, Subject, TextRow, Words};
use baton_contract::{Digest, Tier};
use baton_register::Register;
use baton_server::ServerConfig;
use expect_test::expect;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::judge;
use super::fixture::{EVE, FAY, Fixture, MIA, NAT, REX, key_of, ledger, request, serve_on};

const PATH: &str = "/v1/reports";

/// The time at which servers of these tests stand still.
fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

/// So many minutes before now.
pub(super) fn before(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// A decision of `ux` in which one default fired.
pub(super) fn opening(id: &str, conductor: &str) -> Opening {
    let of = |what: &str| Digest::of(what.as_bytes());
    let bound = Bound {
        request: of("request"),
        answer: of("answer"),
        pack: of("pack"),
        model: of("model"),
        adapter: None,
        rules: of("rules"),
    };
    Opening {
        id: id.parse().unwrap(),
        conductor: conductor.parse().unwrap(),
        twin: "ux".parse().unwrap(),
        why: false,
        product: Some(format!("product-{conductor}")),
        process: Some("copy".to_owned()),
        subject: Some(Subject { key: "long-form".parse().unwrap(), answer: "no".to_owned() }),
        fired: vec![Fired { rule: "no-why".parse().unwrap(), kind: RuleKind::Default, denies: false, asks: None }],
        least: Some(Tier::Decide),
        bound,
        text: TextRow(0),
    }
}

/// A server with a past: a default that was overridden again and again, and a decision that is held.
pub(super) async fn served() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(ledger(folder.path()), |_| ()).unwrap();
    for number in 0..24 {
        let (id, conductor) = (format!("dec-{number}"), ["ada", "bob", "nat"][number % 3]);
        let at = before(1000 - i64::try_from(number).unwrap());
        let opening = opening(&id, conductor);
        let wish = Override {
            id: opening.id.clone(),
            request: opening.bound.request,
            rule: "no-why".parse().unwrap(),
            by: opening.conductor.clone(),
            reason: Words::new("a drill").unwrap(),
            at,
        };
        register.act(|docket: &Docket| docket.override_default(wish)).unwrap();
        register.act(|docket| docket.open_decision(opening, Course::Release, at)).unwrap();
    }
    let waiting = Opening { fired: Vec::new(), subject: None, ..opening("dec-held", "ada") };
    let hold = Course::Hold { expires: before(-1000) };
    register.act(|docket| docket.open_decision(waiting, hold, before(60))).unwrap();
    drop(register);
    serve_on(folder, judge(&[]), ServerConfig::default(), |_| {}).await
}

async fn get(server: &Fixture, key: &str, path: &str) -> Reply {
    let mut client = server.client().await;
    client.send(&request("GET", path, key, "")).await;
    client.reply().await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "most of them are what is expected")]
async fn reports_tell_what_waits_and_what_could_change() {
    let server = served().await;
    let reply = get(&server, &key_of(REX), PATH).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut reports = reply.json();
    // All of them, which is long.
    let looked_at = reports["proposals"]["demote"][0]["evidence"]["decisions"].take();
    assert_eq!(looked_at.as_array().unwrap().len(), 24);
    reports["proposals"]["promote"][0]["evidence"]["decisions"].take();
    expect![[r#"
        {
          "object": "reports",
          "proposals": {
            "demote": [
              {
                "id": "prop-31fe9952b27b5ab1",
                "words": "let go of the default `no-why`: overridden 24 of 24 times, by 3 conductors; the true share is above 86 %",
                "rule": "no-why",
                "evidence": {
                  "decisions": null,
                  "supporting": 24,
                  "lower_bound": 0.8620194241710247,
                  "conductors": 3,
                  "products": 3,
                  "seen_by_people": 0,
                  "first": "2026-01-01T07:20:00Z",
                  "last": "2026-01-01T07:43:00Z"
                }
              }
            ],
            "promote": [
              {
                "id": "prop-ce18a3e3b14edaca",
                "words": "make `no` the shared answer of `ux` to `long-form`: answered so 24 of 24 times, by 3 conductors for 3 products; the true share is above 86 %",
                "twin": "ux",
                "key": "long-form",
                "answer": "no",
                "evidence": {
                  "decisions": null,
                  "supporting": 24,
                  "lower_bound": 0.8620194241710247,
                  "conductors": 3,
                  "products": 3,
                  "seen_by_people": 0,
                  "first": "2026-01-01T07:20:00Z",
                  "last": "2026-01-01T07:43:00Z"
                }
              }
            ],
            "shrink": []
          },
          "tax": {
            "since": "2025-10-04T00:00:00Z",
            "now": "2026-01-02T00:00:00Z",
            "shares": [
              {
                "name": "nobody waited",
                "part": 24,
                "of": 25,
                "rate": 0.96
              },
              {
                "name": "asked without a why",
                "part": 25,
                "of": 25,
                "rate": 1.0
              },
              {
                "name": "approved by rubber stamp",
                "part": 0,
                "of": 0,
                "rate": null
              },
              {
                "name": "found wrong after release",
                "part": 0,
                "of": 24,
                "rate": 0.0
              },
              {
                "name": "found wrong in review",
                "part": 0,
                "of": 0,
                "rate": null
              },
              {
                "name": "found wrong after approval",
                "part": 0,
                "of": 0,
                "rate": null
              },
              {
                "name": "reviews that nobody did",
                "part": 0,
                "of": 0,
                "rate": null
              }
            ],
            "waits": [
              {
                "by": "all",
                "name": "all",
                "decisions": 25,
                "held": 1,
                "waiting": 1,
                "p50_seconds": 3600.0,
                "p95_seconds": 3600.0,
                "sum_seconds": 3600.0
              },
              {
                "by": "tier",
                "name": "tier 1",
                "decisions": 24,
                "held": 0,
                "waiting": 0,
                "p50_seconds": 0.0,
                "p95_seconds": 0.0,
                "sum_seconds": 0.0
              },
              {
                "by": "tier",
                "name": "tier 3",
                "decisions": 1,
                "held": 1,
                "waiting": 1,
                "p50_seconds": 3600.0,
                "p95_seconds": 3600.0,
                "sum_seconds": 3600.0
              },
              {
                "by": "conductor",
                "name": "ada",
                "decisions": 9,
                "held": 1,
                "waiting": 1,
                "p50_seconds": 3600.0,
                "p95_seconds": 3600.0,
                "sum_seconds": 3600.0
              },
              {
                "by": "conductor",
                "name": "bob",
                "decisions": 8,
                "held": 0,
                "waiting": 0,
                "p50_seconds": 0.0,
                "p95_seconds": 0.0,
                "sum_seconds": 0.0
              },
              {
                "by": "conductor",
                "name": "nat",
                "decisions": 8,
                "held": 0,
                "waiting": 0,
                "p50_seconds": 0.0,
                "p95_seconds": 0.0,
                "sum_seconds": 0.0
              },
              {
                "by": "process",
                "name": "copy",
                "decisions": 25,
                "held": 1,
                "waiting": 1,
                "p50_seconds": 3600.0,
                "p95_seconds": 3600.0,
                "sum_seconds": 3600.0
              },
              {
                "by": "twin",
                "name": "ux",
                "decisions": 25,
                "held": 1,
                "waiting": 1,
                "p50_seconds": 3600.0,
                "p95_seconds": 3600.0,
                "sum_seconds": 3600.0
              }
            ],
            "rules": [
              {
                "rule": "no-why",
                "kind": "default",
                "fired": 24,
                "overridden": 24
              }
            ],
            "queues": [
              {
                "waits_for": "approval",
                "twin": "ux",
                "decisions": 1,
                "p50_seconds": 3600.0,
                "oldest_seconds": 3600.0
              }
            ]
          }
        }"#]].assert_eq(&serde_json::to_string_pretty(&reports).unwrap());
}

#[tokio::test]
async fn experts_read_about_their_own_twins_and_conductors_nothing() {
    let server = served().await;
    let counted = |reply: &Reply| reply.json()["tax"]["waits"][0]["decisions"].as_u64();
    for (key, status, decisions) in [
        (server.ada.clone(), 403, None),
        (key_of(NAT), 403, None),
        (key_of(EVE), 200, Some(25)),
        // She is an expert for another twin.
        (key_of(FAY), 200, None),
        (key_of(MIA), 200, Some(25)),
        (key_of(REX), 200, Some(25)),
    ] {
        let reply = get(&server, &key, PATH).await;
        assert_eq!((reply.status, counted(&reply)), (status, decisions), "{}", reply.body);
    }
    for query in ["days=0", "days=3651", "days=x", "day=1"] {
        assert_eq!(get(&server, &key_of(REX), &format!("{PATH}?{query}")).await.status, 400, "{query}");
    }
    let reply = get(&server, &key_of(REX), &format!("{PATH}?days=1")).await.json();
    assert_eq!(reply["tax"]["since"], json!("2026-01-01T00:00:00Z"));
}

#[tokio::test]
async fn the_tax_is_measured_for_prometheus_too() {
    let server = served().await;
    let text = get(&server, &key_of(MIA), "/metrics").await.body;
    assert_eq!(text.matches("# EOF").count(), 1);
    // A conductor does not learn from it what others do.
    let own = server.get("/metrics").await.body;
    assert!(own.contains("vllm:") && own.ends_with("# EOF\n"), "{own}");
    assert!(
        ["baton_tax", "baton_rule", "baton_queue_d", "name=\"nat\""].iter().all(|name| !own.contains(name)),
        "{own}"
    );
    let names = ["baton_tax", "baton_rule", "baton_queue_d", "baton_queue_o", "baton_ledger"];
    let mut lines: Vec<&str> = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
    lines.sort_unstable();
    expect![[r#"
        baton_ledger_available 1.0
        baton_queue_decisions{waits_for="approval",twin="ux"} 1.0
        baton_queue_oldest_seconds{waits_for="approval",twin="ux"} 3600.0
        baton_rule_fired{rule="no-why"} 24.0
        baton_rule_overridden{rule="no-why"} 24.0
        baton_tax_decisions{by="all",name="all"} 25.0
        baton_tax_decisions{by="conductor",name="ada"} 9.0
        baton_tax_decisions{by="conductor",name="bob"} 8.0
        baton_tax_decisions{by="conductor",name="nat"} 8.0
        baton_tax_decisions{by="process",name="copy"} 25.0
        baton_tax_decisions{by="tier",name="tier 1"} 24.0
        baton_tax_decisions{by="tier",name="tier 3"} 1.0
        baton_tax_decisions{by="twin",name="ux"} 25.0
        baton_tax_held{by="all",name="all"} 1.0
        baton_tax_held{by="conductor",name="ada"} 1.0
        baton_tax_held{by="conductor",name="bob"} 0.0
        baton_tax_held{by="conductor",name="nat"} 0.0
        baton_tax_held{by="process",name="copy"} 1.0
        baton_tax_held{by="tier",name="tier 1"} 0.0
        baton_tax_held{by="tier",name="tier 3"} 1.0
        baton_tax_held{by="twin",name="ux"} 1.0
        baton_tax_share{share="asked without a why"} 1.0
        baton_tax_share{share="found wrong after release"} 0.0
        baton_tax_share{share="nobody waited"} 0.96
        baton_tax_waited_seconds{by="all",name="all"} 3600.0
        baton_tax_waited_seconds{by="conductor",name="ada"} 3600.0
        baton_tax_waited_seconds{by="conductor",name="bob"} 0.0
        baton_tax_waited_seconds{by="conductor",name="nat"} 0.0
        baton_tax_waited_seconds{by="process",name="copy"} 3600.0
        baton_tax_waited_seconds{by="tier",name="tier 1"} 0.0
        baton_tax_waited_seconds{by="tier",name="tier 3"} 3600.0
        baton_tax_waited_seconds{by="twin",name="ux"} 3600.0"#]]
    .assert_eq(&lines.join("\n"));
    let reports: Value = get(&server, &key_of(REX), PATH).await.json();
    assert_eq!(reports["tax"]["shares"][0]["rate"], json!(0.96));
}
