//! Whatever happens to decisions is in the ledger before it counts, and a restart finds it all again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use baton_authority::docket::line::{Change as Line, NotRuled, Ruling};
use baton_authority::docket::{
    Approve, Bound, Course, Decision, DecisionId, Docket, Event, Expert, Fired, Opening, Override, Rejected, RuleKind,
    Standing, Subject, TextRow, Verdict, Words, WordsError,
};
use baton_contract::{Digest, Sampling, Tier};
use baton_ledger::{Erasure, Filter, Ledger, NewEntry, Options, Secret, Signer};
use baton_register::{
    Change, Cue, Drawn, Ended, Error, Held, Published, Register, entry_of, event_of, record, rulings_of,
};
use jiff::{SignedDuration, Timestamp};

fn ledger(folder: &Path) -> Ledger {
    let drawn = AtomicUsize::new(1);
    let random = Arc::new(move |bytes: &mut [u8]| {
        let draw = drawn.fetch_add(1, Ordering::Relaxed);
        let name = folder_of(bytes.len(), draw);
        bytes.iter_mut().zip(name.as_bytes().iter().cycle()).for_each(|(byte, other)| *byte = *other);
        Ok(())
    });
    let path = folder.join("ledger.db");
    Ledger::open(Options { path, secret: Secret::new(&[7; 32]), signer: Signer::from_seed(&[9; 32]), random }).unwrap()
}

/// Bytes that differ from draw to draw and from process to process.
fn folder_of(length: usize, draw: usize) -> Digest {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    Digest::of(format!("{length} {draw} {time}").as_bytes())
}

fn open(folder: &Path) -> Register {
    Register::open(ledger(folder), |_| ()).unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(30_000_000 + minute)
}

fn id(name: &str) -> DecisionId {
    name.parse().unwrap()
}

fn words(text: &str) -> Words {
    Words::new(text).unwrap()
}

fn expert(name: &str) -> Expert {
    Expert { id: name.parse().unwrap(), twins: BTreeSet::from(["ux".parse().unwrap()]) }
}

fn bound(name: &str) -> Bound {
    let of = |what: &str| Digest::of(format!("{what} of {name}").as_bytes());
    Bound {
        request: of("request"),
        answer: of("answer"),
        pack: of("pack"),
        model: of("model"),
        adapter: Some(of("adapter")),
        rules: of("rules"),
    }
}

fn opening(name: &str) -> Opening {
    let asks = |rule: &str| (rule == "no-why").then_some(Tier::Assume);
    let fired = |rule: &str, kind| Fired { rule: rule.parse().unwrap(), kind, denies: false, asks: asks(rule) };
    Opening {
        id: id(name),
        conductor: "ada".parse().unwrap(),
        twin: "ux".parse().unwrap(),
        why: true,
        product: Some("shop \"é\"".to_owned()),
        process: None,
        subject: Some(Subject { key: "rename-column".parse().unwrap(), answer: "no".to_owned() }),
        fired: vec![fired("no-why", RuleKind::Default), fired("stale", RuleKind::Default)],
        least: Some(Tier::Decide),
        bound: bound(name),
        text: TextRow(0),
    }
}

/// One on which an invariant stands.
fn core(name: &str) -> Opening {
    let rule = "data-migration".parse().unwrap();
    let fired = vec![Fired { rule, kind: RuleKind::Invariant, denies: false, asks: None }];
    Opening { fired, product: None, subject: None, ..opening(name) }
}

fn assume() -> Course {
    Course::Assume { assumption: words("nobody reads the column"), review_by: at(1000) }
}

fn act(register: &Register, command: impl FnOnce(&Docket) -> Result<Event, Rejected>) -> Event {
    register.act(command).unwrap()
}

fn decisions(register: &Register) -> Vec<Decision> {
    register.look(|docket| docket.decisions().cloned().collect())
}

/// Decisions that have met every kind of event, each at a minute of its own.
fn live(register: &Register) {
    let hold = || Course::Hold { expires: at(500) };
    let wish = Override {
        id: id("over"),
        request: bound("over").request,
        rule: "no-why".parse().unwrap(),
        by: "ada".parse().unwrap(),
        reason: words("a drill"),
        at: at(1),
    };
    act(register, |docket| docket.override_default(wish));
    for (minute, (name, course)) in (2..).zip([
        ("over", Course::Release),
        ("ok", assume()),
        ("wrong", assume()),
        ("unchecked", assume()),
        ("given", hold()),
        ("refused", hold()),
        ("back", hold()),
        ("void", hold()),
        ("late", hold()),
        ("denied", Course::Deny),
    ]) {
        let opening = if matches!(course, Course::Hold { .. }) { core(name) } else { opening(name) };
        act(register, |docket| docket.open_decision(opening, course, at(minute)));
    }
    let (bob, cyd) = (expert("bob"), expert("cyd"));
    act(register, |docket| docket.correct(&id("over"), &bob, words("it was not"), at(20)));
    act(register, |docket| docket.review(&id("ok"), &bob, Verdict::Ok, at(21)));
    act(register, |docket| docket.review(&id("wrong"), &cyd, Verdict::Wrong(words("yes")), at(22)));
    let shown = register.act_if(|docket| docket.show(&id("given"), &bob, at(23))).unwrap();
    assert!(shown.is_some());
    assert_eq!(register.act_if(|docket| docket.show(&id("given"), &bob, at(24))).unwrap(), None);
    let current = bound("given");
    let wish = Approve { id: &id("given"), expert: &bob, seen: current.answer, current: &current, expires: at(90) };
    act(register, |docket| docket.approve(&wish, at(25)));
    act(register, |docket| docket.release(&id("given"), &current, at(26)));
    act(register, |docket| docket.refuse(&id("refused"), &cyd, words("ask legal"), at(27)));
    act(register, |docket| docket.withdraw(&id("back"), &"ada".parse().unwrap(), at(28)));
    let changed = Bound { pack: Digest::of(b"new"), adapter: None, ..bound("void") };
    act(register, |docket| Ok(docket.recheck(&id("void"), &changed, at(29))?.expect("it has changed")));
    assert_eq!(register.expire(at(500)).unwrap(), 1, "what was held too long");
    assert_eq!(register.expire(at(1000)).unwrap(), 1, "what nobody checked");
}

#[test]
fn a_restart_finds_the_same_docket() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    live(&register);
    let before = decisions(&register);
    let standings: BTreeSet<Standing> = before.iter().map(Decision::standing).collect();
    assert!(standings.len() >= 9, "{standings:?}");
    drop(register);
    assert_eq!(decisions(&open(folder.path())), before);
}

#[test]
fn rows_name_who_and_keep_what_people_wrote_apart() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    live(&register);
    let reader = register.ledger().reader().unwrap();
    let mut rows = Vec::new();
    reader
        .scan(0, true, |record| {
            rows.push(record);
            std::ops::ControlFlow::<()>::Continue(())
        })
        .unwrap();
    for record in &rows {
        let event = event_of(record).unwrap();
        let decision = register.look(|docket| docket.status(event.id()).cloned());
        let again = entry_of(&event, decision.as_ref()).unwrap();
        assert!(format!("{again:?}").contains(&record.kind));
        for said in ["a drill", "shop", "rename-column", "nobody reads", "ask legal", "yes", "it was not"] {
            assert!(!record.body.contains(said), "{said} stands in {}", record.body);
        }
    }
    let row = |kind: &str, word: &str| {
        let found = rows.iter().find(|row| row.kind == kind && row.body.contains(&format!("\"event\":\"{word}\"")));
        let found = found.unwrap_or_else(|| panic!("no {kind} {word}"));
        (found.actor.clone(), found.texts.keys().cloned().collect::<Vec<_>>().join(" "))
    };
    let rows = [
        ("override", "overridden", "ada", "reason"),
        ("decision", "opened", "ada", "answer-name key product"),
        ("approval", "shown", "bob", ""),
        ("approval", "approved", "bob", ""),
        ("decision", "released", "baton", ""),
        ("approval", "refused", "cyd", "reason"),
        ("decision", "withdrawn", "ada", ""),
        ("decision", "voided", "baton", ""),
        ("decision", "expired", "baton", ""),
        ("review", "checked-ok", "bob", ""),
        ("review", "checked-wrong", "cyd", "fix"),
        ("review", "corrected", "bob", "fix"),
    ];
    for (kind, word, actor, texts) in rows {
        assert_eq!(row(kind, word), (actor.to_owned(), texts.to_owned()), "{word}");
    }
}

#[test]
fn erased_words_are_gone_and_the_decisions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    live(&register);
    let before = decisions(&register);
    let erasure = Erasure::of_subject("wrong", at(2000), "op", "a data subject asked").unwrap();
    register.ledger().erase(erasure).wait().unwrap();
    drop(register);
    let register = open(folder.path());
    let after = decisions(&register);
    assert_eq!(after.len(), before.len());
    let wrong = register.look(|docket| docket.status(&id("wrong")).cloned()).unwrap();
    assert_eq!(wrong.standing(), Standing::CheckedWrong);
    assert_eq!((wrong.opening().product.as_deref(), wrong.found_wrong().unwrap().words.text()), (None, None));
    let same = |decisions: &[Decision]| -> Vec<Decision> {
        decisions.iter().filter(|decision| decision.id().as_str() != "wrong").cloned().collect()
    };
    assert_eq!(same(&after), same(&before));
}

#[test]
fn without_the_ledger_nothing_happens() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    act(&register, |docket| docket.open_decision(opening("held"), Course::Hold { expires: at(500) }, at(1)));
    register.ledger().close().wait().unwrap();
    let before = decisions(&register);
    let opened = register.act(|docket| docket.open_decision(opening("other"), assume(), at(2)));
    assert!(matches!(opened, Err(Error::Ledger(_))), "{opened:?}");
    assert!(register.expire(at(900)).is_err());
    assert_eq!(decisions(&register), before);
}

#[test]
fn of_many_approvals_at_once_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let register =
        Arc::new(Register::open(ledger(folder.path()), move |_| _ = count.fetch_add(1, Ordering::Relaxed)).unwrap());
    act(&register, |docket| docket.open_decision(opening("held"), Course::Hold { expires: at(500) }, at(1)));
    let approvals = (0..8).map(|number| {
        let register = Arc::clone(&register);
        std::thread::spawn(move || {
            let (expert, current) = (expert(&format!("expert-{number}")), bound("held"));
            let (id, seen, expires) = (id("held"), current.answer, at(90));
            let wish = Approve { id: &id, expert: &expert, seen, current: &current, expires };
            register.act(|docket| docket.approve(&wish, at(2)))?;
            register.act(|docket| docket.release(&id, &current, at(3)))
        })
    });
    let outcomes: Vec<_> = approvals.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let rejected = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Rejected(_)))).count();
    assert_eq!((rejected, told.load(Ordering::Relaxed)), (7, 3));
    let released = register.look(|docket| docket.status(&id("held")).map(Decision::standing));
    assert_eq!(released, Some(Standing::Released));
}

/// As builds wrote it that did not say what else asked for checking.
#[test]
fn decisions_of_version_1_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let digest = Digest::of(b"x").to_string();
    let body = format!(
        r#"{{"event":"opened","v":1,"twin":"ux","why":true,"fired":[{{"rule":"no-why","kind":"default","denies":false}}],
            "bound":{{"request":"{digest}","answer":"{digest}","pack":"{digest}","model":"{digest}","rules":"{digest}"}},
            "text_row":0,"course":{{"course":"hold","expires":"2030-01-01T00:00:00Z"}}}}"#
    );
    let entry = NewEntry::new("decision", at(1), "ada").unwrap().about("d").unwrap().body(&body).unwrap();
    ledger.append(entry).wait().unwrap();
    let register = Register::open(ledger, |_| ()).unwrap();
    let [decision] = &decisions(&register)[..] else { panic!("one decision") };
    assert_eq!((decision.standing(), decision.opening().least, decision.can_be_less()), (Standing::Held, None, false));
}

#[test]
fn what_architects_say_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    let ruling = |change, accepted, minute| Ruling {
        change,
        accepted,
        restores: false,
        by: "rex".parse().unwrap(),
        reason: words("people keep overriding it"),
        decisions: (0..3000).map(|number| id(&format!("dec-{number}"))).collect(),
        at: at(minute),
    };
    let rule = || Line::Demote("no-why".parse().unwrap());
    let shared =
        Line::Promote { twin: "ux".parse().unwrap(), key: "rename-column".parse().unwrap(), answer: "no".to_owned() };
    let shrunk = Line::Shrink("public-api".parse().unwrap());
    for ruling in
        [ruling(rule(), false, 1), ruling(shrunk, true, 2), ruling(shared.clone(), true, 3), ruling(rule(), true, 4)]
    {
        register.rule(|_, _| Ok::<_, Error>(ruling)).unwrap();
    }
    // What is in force can be taken back, and nothing else.
    let take_back = |change: &Line| {
        register.rule(|_, rulings| {
            let by = ("rex".parse().unwrap(), words("it is missed"));
            rulings.restore(&change.id(), (&by.0, by.1), at(5)).map_err(Error::from)
        })
    };
    let shrunk = Line::Shrink("public-api".parse().unwrap());
    take_back(&shrunk).unwrap();
    for change in [&shrunk, &shared, &Line::Demote("stale".parse().unwrap())] {
        let refused = take_back(change);
        assert!(matches!(refused, Err(Error::NotRuled(NotRuled::NotInForce(_)))), "{refused:?}");
    }
    let rows = register.ledger().reader().unwrap();
    let taken = rows.find(&Filter { subject: Some(shrunk.id()), ..Filter::default() }).unwrap().records;
    assert!(taken[1].body.contains(r#""event":"restored""#), "{}", taken[1].body);
    let refused = register.rule(|_, _| Err::<Ruling, _>(Error::from(NotRuled::Reason(WordsError::Blank))));
    assert!(matches!(refused, Err(Error::NotRuled(_))), "{refused:?}");
    let before = register.rulings(Clone::clone);
    let accepted: Vec<_> = before.accepted().iter().map(|ruling| ruling.change.word()).collect();
    assert_eq!(accepted, ["promote", "demote"], "the last word on each, in the order of time");
    drop(register);
    let register = open(folder.path());
    assert_eq!(register.rulings(Clone::clone), before);
    assert_eq!(rulings_of(&register.ledger().reader().unwrap()).unwrap(), before);
    let about = Filter { subject: Some(shared.id()), ..Filter::default() };
    let row = register.ledger().reader().unwrap().find(&about).unwrap().records.remove(0);
    assert_eq!((row.kind.as_str(), row.actor.as_str()), ("proposal", "rex"));
    assert!(!row.body.contains("rename-column") && !row.body.contains("keep overriding"), "{}", row.body);
    // What is erased of a promotion is no ruling any more; a rule's name is nobody's words.
    for change in [rule(), shared] {
        let erasure = Erasure::of_subject(&change.id(), at(9), "op", "a request").unwrap();
        register.ledger().erase(erasure).wait().unwrap();
    }
    drop(register);
    let register = open(folder.path());
    let left = register.rulings(|rulings| {
        rulings.all().map(|one| (one.change.word(), one.reason.text().is_some())).collect::<Vec<_>>()
    });
    assert_eq!(left, [("demote", false), ("shrink", true)]);
}

#[test]
fn two_things_in_turn_are_one_act() {
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let register = Register::open(ledger(folder.path()), move |_| _ = count.fetch_add(1, Ordering::Relaxed)).unwrap();
    act(&register, |docket| docket.open_decision(opening("held"), Course::Hold { expires: at(500) }, at(1)));
    let wish = Override {
        id: id("held"),
        request: bound("held").request,
        rule: "no-why".parse().unwrap(),
        by: "ada".parse().unwrap(),
        reason: words("a drill"),
        at: at(2),
    };
    let lower = |docket: &Docket| docket.lower(&id("held"), Course::Release, &bound("held"), at(2)).map(Some);
    register.act_in_turn(|docket| docket.override_default(wish.clone()).map(Some), lower).unwrap();
    assert_eq!((decisions(&register)[0].standing(), told.load(Ordering::Relaxed)), (Standing::Released, 2));
    // What the first one rejects, the second one is not asked about.
    let again = register.act_in_turn(|docket| docket.override_default(wish).map(Some), |_| panic!("asked"));
    assert!(matches!(again, Err(Error::Rejected(Rejected::Stands(_)))), "{again:?}");
    register.act_in_turn(|_| Ok(None), |_| Ok(None)).unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[test]
fn rows_that_do_not_make_a_docket_are_refused() {
    let rows = [
        (r#"{"event":"opened","v":3}"#, "version 3"),
        (r#"{"event":"released","v":2}"#, "version 2"),
        (r#"{"event":"exploded","v":1}"#, "unknown variant"),
        (r#"{"event":"released","v":1,"answer":"x"}"#, "digest"),
        (r#"{"event":"expired","v":1,"more":1}"#, "unknown field"),
        (r#"{"event":"expired","v":1}"#, "there is no decision `d`"),
    ];
    for (body, problem) in rows {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let entry = NewEntry::new("decision", at(1), "ada").unwrap().about("d").unwrap().body(body).unwrap();
        ledger.append(entry).wait().unwrap();
        let error = Register::open(ledger, |_| ()).unwrap_err();
        let chain = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(chain.contains(problem) && !error.is_request_fault(), "{body}: {chain}");
    }
}

#[test]
fn a_cues_row_binds_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let register = open(folder.path());
    let cue = Cue {
        id: "dec-1".to_owned(),
        conductor: "ada".parse().unwrap(),
        key: "0123456789ab".parse().unwrap(),
        endpoint: "/v1/decisions",
        target: "ux".to_owned(),
        pack: Some(Digest::of(b"pack")),
        model: Digest::of(b"model"),
        adapter: None,
        rules: None,
        computed_by: "a test".to_owned(),
        calibration: None,
        seed: u64::MAX,
        drawn: None,
        passages: Vec::new(),
        why: false,
        tokens: (10, 2),
        ended: Ended::Complete,
        request: r#"{"model":"ux"}"#.to_owned(),
        answer: "[]".to_owned(),
        at: at(1),
    };
    let receipt = register.append(cue.entry().unwrap()).unwrap();
    let record = register.ledger().reader().unwrap().entry(receipt.index).unwrap();
    assert_eq!((record.kind.as_str(), record.actor.as_str(), record.subject.as_deref()), ("cue", "ada", Some("dec-1")));
    assert_eq!((record.text("request"), record.text("answer")), (Some(r#"{"model":"ux"}"#), Some("[]")));
    let body: serde_json::Value = serde_json::from_str(&record.body).unwrap();
    assert_eq!(body["seed"], u64::MAX.to_string());
    assert_eq!(body["answer"], cue.answer_digest().to_string());
    assert_eq!(body["request"], Digest::of(record.text("request").unwrap().as_bytes()).to_string());
    assert_eq!((&body["key"], body.get("drawn")), (&"0123456789ab".into(), None));
    let sampling = Sampling { temperature: 0.7, logit_bias: vec![(3, -1.0)], ..Sampling::default() };
    let drawn = Some(Drawn {
        sampling,
        max_tokens: 40,
        stopped: 2,
        at_length: 1,
        redrawn: 1,
        tokens: vec![vec![1, 2], vec![3]],
    });
    let receipt = register.append(Cue { drawn, ..cue.clone() }.entry_without_texts().unwrap()).unwrap();
    let record = register.ledger().reader().unwrap().entry(receipt.index).unwrap();
    assert_eq!(record.texts.len(), 0);
    let body: serde_json::Value = serde_json::from_str(&record.body).unwrap();
    assert_eq!(body["answer"], cue.answer_digest().to_string(), "the digests stay");
    assert_eq!(
        body["drawn"],
        serde_json::json!({
            "temperature": 0.7, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "biased_tokens": 1, "max_tokens": 40, "stopped": 2,
            "at_length": 1, "redrawn": 1, "lengths": [2, 1],
            "tokens": body["drawn"]["tokens"],
        })
    );
    assert_eq!(decisions(&register), []);
}

#[test]
fn what_holds_is_written_once_and_again_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let change = |what: Held, minute| Change { what, by: "operator".to_owned(), at: at(minute) };
    let key = || "0123456789ab".parse().unwrap();
    let made = || {
        let mandate = "products=shop".to_owned();
        change(Held::KeyMade { id: key(), conductor: "ada".parse().unwrap(), mandate }, 1)
    };
    let revoked = || change(Held::KeyRevoked { id: key() }, 2);
    let rules = |text: &[u8]| change(Held::Rules { digest: Digest::of(text) }, 3);
    let pack = |text: &[u8], rules: &[u8]| {
        let (twin, version) = ("ux".parse().unwrap(), "1.0".to_owned());
        change(Held::Pack { twin, version, digest: Digest::of(text), rules: Digest::of(rules) }, 4)
    };
    let steps = [
        (vec![made(), rules(b"a"), pack(b"p", b"a")], 3),
        (vec![made(), rules(b"a"), pack(b"p", b"a")], 0),
        (vec![made(), revoked(), rules(b"b"), pack(b"p", b"b")], 3),
        (vec![made(), revoked(), rules(b"b"), pack(b"p", b"b")], 0),
        // Back again is a change too.
        (vec![made(), revoked(), rules(b"a"), pack(b"q", b"a")], 2),
        (vec![], 0),
    ];
    for (step, (changes, written)) in steps.iter().enumerate() {
        assert_eq!(record(&ledger, changes).unwrap(), *written, "step {step}");
    }
    let reader = ledger.reader().unwrap();
    let row = reader.entry(0).unwrap();
    assert_eq!(
        (row.kind.as_str(), row.actor.as_str(), row.subject.as_deref()),
        ("key", "operator", Some("0123456789ab"))
    );
    assert_eq!(
        (row.body.as_str(), row.text("mandate")),
        (r#"{"conductor":"ada","event":"made","v":1}"#, Some("products=shop"))
    );
    assert_eq!(reader.entry(3).unwrap().body, r#"{"event":"revoked","v":1}"#);
    assert_eq!(reader.entry(7).unwrap().subject.as_deref(), Some("ux"));
    ledger.close().wait().unwrap();
    assert!(record(&ledger, &[rules(b"c")]).is_err());
    assert_eq!(record(&ledger, &[rules(b"a")]).unwrap(), 0, "nothing is to be written");
}

#[test]
fn what_went_live_is_written_once_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let published = |number, rolled_back, text: &[u8]| {
        let what = Held::Published(Published {
            twin: "ux".parse().unwrap(),
            number,
            rolled_back,
            version: "1.0.0".to_owned(),
            digest: Digest::of(text),
            model: Digest::of(b"weights"),
            embedding_model: rolled_back.then(|| Digest::of(b"an encoder")),
            passed: (9, 10),
            bar: 0.9,
            on_trial: false,
        });
        Change { what, by: "grace".to_owned(), at: at(5) }
    };
    let all = [published(1, false, b"a"), published(2, false, b"b"), published(3, true, b"a")];
    assert_eq!(record(&ledger, &all[..2]).unwrap(), 2);
    assert_eq!(record(&ledger, &all).unwrap(), 1);
    assert_eq!(record(&ledger, &all).unwrap(), 0);
    let row = ledger.reader().unwrap().entry(2).unwrap();
    assert_eq!((row.kind.as_str(), row.actor.as_str(), row.subject.as_deref()), ("publication", "grace", Some("ux")));
    let body: serde_json::Value = serde_json::from_str(&row.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "v": 2, "event": "rolled-back", "number": 3, "version": "1.0.0", "digest": Digest::of(b"a").to_string(),
            "model": Digest::of(b"weights").to_string(), "embedding_model": Digest::of(b"an encoder").to_string(),
            "passed": 9, "cases": 10, "bar": 0.9, "on_trial": false,
        })
    );
    // What looks nothing up has the row that it always had.
    let body = ledger.reader().unwrap().entry(0).unwrap().body;
    assert!(body.contains("\"v\":1,") && !body.contains("embedding"), "{body}");
}
