//! Architects accept and refuse proposals, and an accepted one changes what it names.

use std::collections::BTreeSet;

use baton_authority::docket::{Approve, Course, Expert, Fired, Opening, RuleKind, Subject};
use baton_ledger::Filter;
use baton_register::Register;
use baton_server::ServerConfig;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::{judge, predicate};
use super::fixture::{EVE, Fixture, MIA, REX, World, key_of, ledger, request, serve_in, serve_on};
use super::reports::{before, opening, served};

const PATH: &str = "/v1/proposals";

async fn get(server: &Fixture, key: &str, path: &str) -> Value {
    let mut client = server.client().await;
    client.send(&request("GET", path, key, "")).await;
    let reply = client.reply().await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// What is proposed: its id, by its word for the change.
async fn proposed(server: &Fixture, change: &str) -> Option<String> {
    let reports = get(server, &key_of(REX), "/v1/reports").await;
    reports["proposals"][change][0]["id"].as_str().map(str::to_owned)
}

async fn rule(server: &Fixture, key: &str, id: &str, verdict: &str, reason: &str) -> Reply {
    server.post_as(key, &format!("{PATH}/{id}/{verdict}"), &json!({"reason": reason})).await
}

/// A question to `ux` without a why; what became of it.
async fn ask(server: &Fixture, own: Value) -> Value {
    let mut stated = json!({"radius": {"reach": "task", "reversibility": "minutes"}});
    let Value::Object(own) = own else { panic!("what is stated is an object") };
    stated.as_object_mut().unwrap().extend(own);
    let body = json!({
        "model": "ux", "input": "The form has nine fields.", "questions": [predicate("It is long.")], "baton": stated,
    });
    let reply = server.post("/v1/decisions", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["baton"]["decision"].clone()
}

async fn rules(server: &Fixture) -> (String, Vec<(String, String)>) {
    let rules = get(server, &server.ada, "/v1/rules").await;
    let each = |rule: &Value| (rule["id"].as_str().unwrap().to_owned(), rule["kind"].as_str().unwrap().to_owned());
    (rules["digest"].to_string(), rules["data"].as_array().unwrap().iter().map(each).collect())
}

async fn again(mut server: Fixture) -> Fixture {
    server.stop();
    let folder = server.over().await;
    serve_on(folder, judge(&[]), ServerConfig::default(), |_| {}).await
}

#[tokio::test]
async fn a_default_that_is_demoted_stands_no_more_also_after_a_restart() {
    let server = served().await;
    let (digest, all) = rules(&server).await;
    let held = ask(&server, json!({"radius": {"reach": "outside", "reversibility": "never"}})).await;
    assert_eq!(ask(&server, json!({})).await["tier"], 2, "without a why");
    let id = proposed(&server, "demote").await.unwrap();
    let ruled = rule(&server, &key_of(REX), &id, "accept", "everybody overrides it").await;
    assert_eq!(ruled.status, 200, "{}", ruled.body);
    let ruled = ruled.json();
    assert_eq!((&ruled["id"], &ruled["accepted"], &ruled["by"]), (&json!(id), &json!(true), &json!("rex")));
    assert_eq!(ruled["effect"], "`no-why` stands on no decision any more");
    // What waits was judged by other rules.
    let path = format!("/v1/decisions/{}", held["id"].as_str().unwrap());
    let voided = get(&server, &server.ada, &path).await;
    assert_eq!((&voided["standing"], &voided["changed"]), (&json!("voided"), &json!(["rules"])));
    let about = Filter { subject: Some(id.clone()), ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&about).unwrap().records;
    assert_eq!((rows.len(), rows[0].kind.as_str(), rows[0].actor.as_str()), (1, "proposal", "rex"));
    assert_eq!(rows[0].text("reason"), Some("everybody overrides it"));
    let in_force = Filter { kinds: vec!["rules".to_owned()], ..Filter::default() };
    assert_eq!(server.ledger.reader().unwrap().find(&in_force).unwrap().records.len(), 2);

    let mut server = server;
    for restarted in [false, true] {
        if restarted {
            server = again(server).await;
        }
        let decision = ask(&server, json!({})).await;
        assert_eq!((&decision["tier"], &decision["overridable"]), (&json!(1), &json!([])), "{decision}");
        let (now, left) = rules(&server).await;
        assert!(now != digest && decision["rules"].is_string());
        let gone: Vec<_> = all.iter().filter(|rule| !left.contains(rule)).map(|(id, _)| id.as_str()).collect();
        assert_eq!(gone, ["no-why"], "and nothing else");
        assert_eq!(proposed(&server, "demote").await, None);
        assert_eq!(rule(&server, &key_of(REX), &id, "accept", "again").await.status, 409);
        let list = get(&server, &key_of(MIA), PATH).await;
        assert_eq!((&list["rulings"][0]["change"], list["rulings"].as_array().unwrap().len()), (&json!("demote"), 1));
    }
}

#[tokio::test]
async fn what_was_demoted_is_brought_back_with_a_reason() {
    let server = served().await;
    let before = rules(&server).await;
    let id = proposed(&server, "demote").await.unwrap();
    assert_eq!(rule(&server, &key_of(REX), &id, "restore", "too soon").await.status, 409, "nothing to take back");
    assert_eq!(rule(&server, &key_of(REX), &id, "accept", "everybody overrides it").await.status, 200);
    assert_eq!(ask(&server, json!({})).await["tier"], 1);
    for (key, reason, status) in [(&key_of(EVE), "missed", 403), (&key_of(REX), " ", 400)] {
        assert_eq!(rule(&server, key, &id, "restore", reason).await.status, status);
    }
    let restored = rule(&server, &key_of(REX), &id, "restore", "nobody says why any more").await;
    assert_eq!(restored.status, 200, "{}", restored.body);
    let restored = restored.json();
    assert_eq!((&restored["accepted"], &restored["restored"]), (&json!(false), &json!(true)));
    assert_eq!(restored["effect"], "`no-why` stands again, as a default");
    let server = again(server).await;
    assert_eq!(rules(&server).await, before, "also after a restart");
    assert_eq!(ask(&server, json!({})).await["tier"], 2);
    assert_eq!(proposed(&server, "demote").await, None, "nothing new speaks for it");
    let rows = Filter { subject: Some(id), ..Filter::default() };
    let rows = server.ledger.reader().unwrap().find(&rows).unwrap().records;
    assert_eq!((rows.len(), rows[1].text("reason")), (2, Some("nobody says why any more")));
}

#[tokio::test]
async fn a_refused_proposal_changes_nothing_and_is_not_made_again() {
    let server = served().await;
    let before = rules(&server).await;
    let id = proposed(&server, "demote").await.unwrap();
    for (key, verdict, reason, status) in [
        (&server.ada, "refuse", "no", 403),
        (&key_of(EVE), "refuse", "no", 403),
        (&key_of(MIA), "accept", "yes", 403),
        (&key_of(REX), "refuse", " ", 400),
        (&key_of(REX), "postpone", "later", 404),
    ] {
        let reply = rule(&server, key, &id, verdict, reason).await;
        assert_eq!(reply.status, status, "{verdict} {reason}: {}", reply.body);
    }
    let unknown = rule(&server, &key_of(REX), "prop-0", "accept", "yes").await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("proposal_not_found")));
    assert_eq!(server.post_as(&key_of(REX), &format!("{PATH}/{id}/accept"), &json!({})).await.status, 400);
    assert_eq!(server.get(PATH).await.status, 403);
    let open = get(&server, &key_of(EVE), PATH).await;
    assert_eq!((open["data"].as_array().unwrap().len(), &open["rulings"]), (2, &json!([])));

    let refused = rule(&server, &key_of(REX), &id, "refuse", "the form asks for it now").await.json();
    assert_eq!((&refused["accepted"], &refused["effect"]), (&json!(false), &json!("everything stays as it is")));
    let server = again(server).await;
    assert_eq!((rules(&server).await, proposed(&server, "demote").await), (before, None));
    assert_eq!(ask(&server, json!({})).await["tier"], 2);
    let listed = get(&server, &key_of(EVE), PATH).await;
    assert_eq!(listed["rulings"][0]["reason"], "the form asks for it now");
}

#[tokio::test]
async fn a_promotion_is_a_draft_for_the_expert() {
    let server = served().await;
    let before = rules(&server).await;
    let id = proposed(&server, "promote").await.unwrap();
    let ruled = rule(&server, &key_of(REX), &id, "accept", "it recurs").await.json();
    let draft = ruled["draft"].as_str().unwrap();
    assert!(draft.contains("[[space]]") && draft.contains("until = 2026-07-01"), "{draft}");
    assert!(draft.contains(r#"products = ["product-ada", "product-bob", "product-nat"]"#), "{draft}");
    assert!(ruled["effect"].as_str().unwrap().starts_with("nothing yet"), "{ruled}");
    assert_eq!(get(&server, &server.ada, "/v1/spaces").await["data"], json!([]));
    assert_eq!((rules(&server).await, proposed(&server, "promote").await), (before, None));
    // The expert finds it there, also later.
    let server = again(server).await;
    assert_eq!(get(&server, &key_of(EVE), PATH).await["rulings"][0]["draft"], ruled["draft"]);
}

#[tokio::test]
async fn keys_that_mean_the_same_are_one_question_where_a_model_tells_so() {
    for embeds in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let register = Register::open(ledger(folder.path()), |_| ()).unwrap();
        for (number, (conductor, key)) in
            (0_i64..).zip([("ada", "long-form"), ("bob", "form_long"), ("nat", "longform"), ("nat", "table-view")])
        {
            let subject = Subject { key: key.parse().unwrap(), answer: "no".to_owned() };
            let opening = Opening { subject: Some(subject), ..opening(&format!("dec-{number}"), conductor) };
            register.act(|docket| docket.open_decision(opening, Course::Release, before(100 - number))).unwrap();
        }
        drop(register);
        let server = serve_in(folder, judge(&[]), World { embeds, ..World::usual() }).await;
        let reports = get(&server, &key_of(REX), "/v1/reports").await;
        let promote = &reports["proposals"]["promote"];
        assert_eq!(promote.as_array().unwrap().len(), usize::from(embeds), "only equal keys are one without a model");
        if embeds {
            assert_eq!(promote[0]["key"], "long-form");
            assert_eq!(promote[0]["evidence"]["alike"], json!(["form_long", "longform"]));
            let id = promote[0]["id"].as_str().unwrap();
            let ruled = rule(&server, &key_of(REX), id, "accept", "it recurs").await;
            assert_eq!(ruled.status, 200, "{}", ruled.body);
            assert_eq!(proposed(&server, "promote").await, None);
        }
    }
}

/// Decisions of most of a year that `public-api` held, all approved after a look.
fn approved(register: &Register) {
    for number in 0..100_i64 {
        let at = before((100 - number) * 3 * 24 * 60);
        let conductor = ["ada", "bob", "cid", "dan", "eli"][usize::try_from(number % 5).unwrap()];
        let fired = vec![Fired {
            rule: "public-api".parse().unwrap(),
            kind: RuleKind::Invariant,
            denies: false,
            asks: Some(baton_contract::Tier::CheckFirst),
        }];
        let opening = Opening { fired, subject: None, ..opening(&format!("dec-{number}"), conductor) };
        let (id, current) = (opening.id.clone(), opening.bound.clone());
        let expires = at + SignedDuration::from_hours(1);
        register.act(|docket| docket.open_decision(opening, Course::Hold { expires }, at)).unwrap();
        let name = ["eve", "fay", "gus"][usize::try_from(number % 3).unwrap()];
        let expert = Expert { id: name.parse().unwrap(), twins: BTreeSet::from(["ux".parse().unwrap()]) };
        let then = at + SignedDuration::from_secs(60);
        let wish = Approve { id: &id, expert: &expert, seen: current.answer, current: &current, expires };
        register.act(|docket| docket.approve(&wish, then)).unwrap();
        register.act(|docket| docket.release(&id, &current, then)).unwrap();
    }
}

#[tokio::test]
async fn an_invariant_that_shrinks_gives_way_to_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(ledger(folder.path()), |_| ()).unwrap();
    approved(&register);
    drop(register);
    let server = serve_on(folder, judge(&[]), ServerConfig::default(), |_| {}).await;
    let touching = || json!({"touches": ["public-api"]});
    let over =
        |rule: &str| json!({"touches": ["public-api"], "overrides": [{"rule": rule, "reason": "nobody uses it"}]});
    let held = ask(&server, touching()).await;
    assert_eq!((&held["outcome"], &held["overridable"]), (&json!("held"), &json!(["no-why"])));
    let id = proposed(&server, "shrink").await.unwrap();
    let ruled = rule(&server, &key_of(REX), &id, "accept", "always approved").await;
    assert_eq!(ruled.status, 200, "{}", ruled.body);
    let server = again(server).await;
    let held = ask(&server, touching()).await;
    assert_eq!((&held["outcome"], &held["overridable"]), (&json!("held"), &json!(["public-api", "no-why"])));
    let released = ask(&server, over("public-api")).await;
    assert_eq!((&released["outcome"], &released["tier"]), (&json!("released"), &json!(2)));
    assert!(rules(&server).await.1.contains(&("secrets".to_owned(), "invariant".to_owned())));
}

#[tokio::test]
async fn of_two_architects_one_rules_and_without_the_ledger_none() {
    let server = served().await;
    let (demote, promote) = (proposed(&server, "demote").await.unwrap(), proposed(&server, "promote").await.unwrap());
    let rex = key_of(REX);
    let (one, other) =
        tokio::join!(rule(&server, &rex, &promote, "accept", "yes"), rule(&server, &rex, &promote, "refuse", "no"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.body, other.body);
    server.ledger.close().await.unwrap();
    let refused = rule(&server, &rex, &demote, "accept", "yes").await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("ledger_unavailable")));
    assert!(rules(&server).await.1.contains(&("no-why".to_owned(), "default".to_owned())));
}
