//! Each proposal at its thresholds.

use baton_contract::{BlastRadius, Reach, Reversibility};
use jiff::SignedDuration;

use super::*;
use crate::docket::tests::{change, expert, fired, opening, overridden, words};
use crate::docket::{
    Approve, Course, Docket, Event, Opening, Override, Rejected, RuleId, RuleKind, Subject, Words, WordsError,
};

const NOW: i64 = 1_000;

/// The start of a day, counted from any.
fn day(day: i64) -> Timestamp {
    crate::docket::tests::time(day * 86_400)
}

fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time + SignedDuration::from_secs(seconds)
}

fn act(docket: &mut Docket, command: impl FnOnce(&Docket) -> Result<Event, Rejected>) {
    let event = command(docket).unwrap();
    docket.apply(&event).unwrap();
}

fn propose(proposals: &[Proposal]) -> Vec<String> {
    proposals.iter().map(ToString::to_string).collect()
}

/// Adds decisions in which `no-why` fired: conductor, how many of them overrode it, of how many, on which day.
fn firings(docket: &mut Docket, rows: &[(&str, usize, usize, i64)]) {
    for (conductor, overrode, of, on) in rows {
        for index in 0..*of {
            let id = format!("{conductor}-{on}-{index}");
            if index < *overrode {
                let wish = Override { at: day(*on), ..overridden(&id, "no-why", conductor, 0) };
                act(docket, |docket| docket.override_default(wish));
            }
            act(docket, |docket| docket.open_decision(opening(&id, conductor), Course::Release, day(*on)));
        }
    }
}

/// A conductor, how often they overrode the default, how often it fired for them, and when.
type Firing<'a> = (&'a str, usize, usize, i64);

#[test]
fn a_default_is_let_go_when_it_is_overridden_again_and_again() {
    let expected = ["let go of the default `no-why`: overridden 15 of 20 times, by 3 conductors; the true \
                     share is above 53 %"];
    let rows: &[(&[Firing<'_>], &[&str])] = &[
        (&[("ann", 5, 7, NOW), ("bob", 5, 7, NOW - 1), ("cid", 5, 6, NOW - 90)], &expected),
        // 14 of 20: the lower bound is 0.48.
        (&[("ann", 5, 7, NOW), ("bob", 5, 7, NOW), ("cid", 4, 6, NOW)], &[]),
        // 19 firings are too few, whatever came of them.
        (&[("ann", 7, 7, NOW), ("bob", 7, 7, NOW), ("cid", 5, 5, NOW)], &[]),
        // Two conductors overrode it; the third met it.
        (&[("ann", 10, 10, NOW), ("bob", 10, 10, NOW), ("cid", 0, 1, NOW)], &[]),
        // What is older than 90 days, or not yet, does not count.
        (&[("ann", 5, 7, NOW), ("bob", 5, 7, NOW), ("cid", 5, 6, NOW - 91)], &[]),
        (&[("ann", 5, 7, NOW), ("bob", 5, 7, NOW), ("cid", 5, 6, NOW + 1)], &[]),
    ];
    for (rows, expected) in rows {
        let mut docket = Docket::default();
        firings(&mut docket, rows);
        let proposals = demotions(docket.decisions(), day(NOW), &LineSettings::default());
        assert_eq!(propose(&proposals), *expected, "{rows:?}");
    }
}

#[test]
fn an_invariant_is_never_let_go_as_a_default() {
    let mut docket = Docket::default();
    for index in 0..100 {
        let id = format!("d{index}");
        let secrets = vec![fired("no-why", RuleKind::Invariant)];
        let opening = Opening { fired: secrets, ..opening(&id, ["ann", "bob", "cid"][index % 3]) };
        act(&mut docket, |docket| docket.open_decision(opening, Course::Hold { expires: day(NOW + 1) }, day(NOW)));
    }
    assert_eq!(demotions(docket.decisions(), day(NOW), &LineSettings::default()), []);
}

/// Adds one typed decision of tier 1: id, conductor, product, key, answer.
fn typed(docket: &mut Docket, (id, conductor, product, key, answer): (&str, &str, &str, &str, &str)) {
    let subject = Subject { key: key.parse().unwrap(), answer: answer.to_owned() };
    let product = (!product.is_empty()).then(|| product.to_owned());
    let opening = Opening { product, subject: Some(subject), ..opening(id, conductor) };
    act(docket, |docket| docket.open_decision(opening, Course::Release, day(NOW)));
}

#[test]
fn an_answer_is_shared_when_it_recurs() {
    type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);
    let three: [Row<'_>; 3] = [
        ("d1", "ann", "atlas", "retry", "yes"),
        ("d2", "bob", "borea", "retry", "yes"),
        ("d3", "cid", "ceres", "retry", "yes"),
    ];
    let with = |more: &[Row<'static>]| [&three[..], more].concat();
    let replaced = |index: usize, row: Row<'static>| {
        let mut rows = three;
        rows[index] = row;
        rows.to_vec()
    };
    let rows = [
        (with(&[]), Some(3)),
        (replaced(2, ("d3", "ann", "ceres", "retry", "yes")), None),
        (replaced(2, ("d3", "cid", "atlas", "retry", "yes")), None),
        (replaced(2, ("d3", "cid", "", "retry", "yes")), None),
        (replaced(2, ("d3", "cid", "ceres", "other", "yes")), None),
        // One in four disagrees, one in five may.
        (with(&[("d4", "dan", "dione", "retry", "no")]), None),
        (with(&[("d4", "dan", "dione", "retry", "no"), ("d5", "eli", "atlas", "retry", "yes")]), Some(4)),
    ];
    for (rows, supporting) in rows {
        let mut docket = Docket::default();
        for row in &rows {
            typed(&mut docket, *row);
        }
        let proposals = promotions(docket.decisions(), day(NOW), &LineSettings::default(), |_, _| 0.0);
        assert_eq!(proposals.first().map(|one| one.evidence.supporting), supporting, "{rows:?}");
        assert!(proposals.len() <= 1);
    }
    let mut docket = Docket::default();
    for row in three {
        typed(&mut docket, row);
    }
    let settings = LineSettings::default();
    assert_eq!(promotions(docket.decisions(), day(NOW + 366), &settings, |_, _| 0.0), [], "a year later");
    act(&mut docket, |docket| docket.correct(&"d2".parse().unwrap(), &expert("eve"), words("never"), day(NOW)));
    assert_eq!(promotions(docket.decisions(), day(NOW), &settings, |_, _| 0.0), [], "one was found wrong");
}

#[test]
fn similar_questions_are_one_and_other_twins_are_not() {
    let mut docket = Docket::default();
    typed(&mut docket, ("d1", "ann", "atlas", "retry", "yes"));
    typed(&mut docket, ("d2", "bob", "borea", "try-again", "yes"));
    typed(&mut docket, ("d3", "cid", "ceres", "retry", "yes"));
    let settings = LineSettings::default();
    let find = |docket: &Docket, similar: bool| {
        propose(&promotions(docket.decisions(), day(NOW), &settings, |one, other| {
            assert_eq!(one.opening().twin, other.opening().twin);
            if similar { 0.8 } else { 0.79 }
        }))
    };
    assert!(find(&docket, false).is_empty());
    let expected = "make `yes` the shared answer of `security` to `retry`: answered so 3 of 3 times, by 3 conductors for 3 \
                    products; the true share is above 44 %";
    assert_eq!(find(&docket, true), [expected]);
    let all = promotions(docket.decisions(), day(NOW), &settings, |_, _| 1.0);
    assert_eq!(all[0].evidence.alike, ["try-again".parse().unwrap()]);
    // Another twin's decision is another question, whatever its key.
    let subject = Subject { key: "retry".parse().unwrap(), answer: "no".to_owned() };
    let other = Opening { twin: "ux".parse().unwrap(), subject: Some(subject), ..opening("d4", "dan") };
    act(&mut docket, |docket| docket.open_decision(other, Course::Release, day(NOW)));
    assert_eq!(find(&docket, true), [expected]);
}

/// Holds `count` decisions by the invariant `outside`, evenly over the `days` before [`NOW`], and answers them: `refused` of
/// them by a refusal, `hasty` by an approval after 4 seconds, all others by one after 5.
fn holds(count: i64, days: i64, refused: i64, hasty: i64) -> Docket {
    let mut docket = Docket::default();
    for index in 0..count {
        let at = day(NOW - days + days * index / (count - 1).max(1));
        let name = format!("d{index}");
        let mut opening = opening(&name, ["ann", "bob", "cid", "dan", "eli"][usize::try_from(index % 5).unwrap()]);
        opening.fired.push(fired("outside", RuleKind::Invariant));
        let current = opening.bound.clone();
        let id = opening.id.clone();
        act(&mut docket, |docket| docket.open_decision(opening, Course::Hold { expires: after(at, 600) }, at));
        let expert = expert(["eve", "ed", "eva"][usize::try_from(index % 3).unwrap()]);
        if index < refused {
            act(&mut docket, |docket| docket.refuse(&id, &expert, words("no"), after(at, 9)));
            continue;
        }
        let then = after(at, if index < refused + hasty { 4 } else { 5 });
        let expires = after(then, 60);
        let wish = Approve { id: &id, expert: &expert, seen: current.answer, current: &current, expires };
        act(&mut docket, |docket| docket.approve(&wish, then));
        act(&mut docket, |docket| docket.release(&id, &current, after(then, 1)));
    }
    docket
}

#[test]
fn the_core_shrinks_only_on_long_and_considered_approval() {
    let rows = [
        (100, 300, 0, 0, true),
        (99, 300, 0, 0, false),
        // One in a hundred was refused, or approved in a hurry; one in 150 may.
        (100, 300, 1, 0, false),
        (100, 300, 0, 1, false),
        (149, 300, 1, 0, true),
        (150, 300, 0, 1, true),
        (1_000, 300, 0, 1_000, false),
        // The time from the first to the last.
        (100, 179, 0, 0, false),
        (100, 180, 0, 0, true),
        // Half of them are older than a year.
        (150, 730, 0, 0, false),
    ];
    for (count, days, refused, hasty, expected) in rows {
        let docket = holds(count, days, refused, hasty);
        let proposals = shrinkings(docket.decisions(), day(NOW), &LineSettings::default());
        assert_eq!(!proposals.is_empty(), expected, "{count} holds, {days} days, {refused} refused, {hasty} hasty");
    }
}

#[test]
fn the_core_does_not_shrink_where_one_was_wrong_or_two_rules_held() {
    let settings = LineSettings::default();
    let mut docket = holds(150, 300, 0, 0);
    let found = shrinkings(docket.decisions(), day(NOW), &settings);
    assert_eq!(found[0].change, Change::Shrink("outside".parse().unwrap()));
    assert_eq!((found[0].evidence.seen_by_people, found[0].evidence.conductors), (150, 5));
    let fewer = |wanted: ShrinkSettings| {
        shrinkings(docket.decisions(), day(NOW), &LineSettings { shrink: wanted, ..settings.clone() }).is_empty()
    };
    assert!(fewer(ShrinkSettings { conductors: 6, ..settings.shrink.clone() }));
    assert!(fewer(ShrinkSettings { approvers: 4, ..settings.shrink.clone() }));
    act(&mut docket, |docket| docket.correct(&"d7".parse().unwrap(), &expert("eve"), words("no"), day(NOW)));
    assert_eq!(shrinkings(docket.decisions(), day(NOW), &settings), []);
    // With another invariant beside it, an approval says nothing about this one; nor does a hold that nobody answered.
    let mut docket = holds(99, 300, 0, 0);
    for (id, other) in [("other", Some(fired("secrets", RuleKind::Invariant))), ("void", None), ("late", None)] {
        let mut opening = opening(id, "ann");
        opening.fired.push(fired("outside", RuleKind::Invariant));
        opening.fired.extend(other);
        let (id, mut current) = (opening.id.clone(), opening.bound.clone());
        act(&mut docket, |docket| docket.open_decision(opening, Course::Hold { expires: day(NOW) }, day(NOW - 1)));
        if id.as_str() == "void" {
            change(&mut current, crate::docket::Part::Model);
        }
        if id.as_str() != "late" {
            let (expert, expires, seen) = (expert("eve"), day(NOW), docket.get(&id).unwrap().opening().bound.answer);
            let wish = Approve { id: &id, expert: &expert, seen, current: &current, expires };
            act(&mut docket, |docket| docket.approve(&wish, after(day(NOW - 1), 60)));
        }
        if id.as_str() == "other" {
            act(&mut docket, |docket| docket.release(&id, &current, after(day(NOW - 1), 61)));
        }
    }
    assert_eq!(shrinkings(docket.decisions(), day(NOW), &settings), []);
}

#[test]
fn a_ruled_proposal_is_made_again_only_on_new_evidence() {
    let settings = LineSettings::default();
    let mut docket = Docket::default();
    firings(&mut docket, &[("ann", 8, 8, NOW), ("bob", 6, 6, NOW), ("cid", 6, 6, NOW)]);
    let demoted = |docket: &Docket| demotions(docket.decisions(), day(NOW), &settings);
    let mut rulings = Rulings::default();
    let found = rulings.open(demoted(&docket), &settings);
    let (amy, reason) = ("amy".parse().unwrap(), words("the form asks for it now"));
    let blank = rulings.rule(&found[0], false, (&amy, Words::erased()), day(NOW), &settings);
    assert_eq!(blank, Err(NotRuled::Reason(WordsError::Blank)));
    let ruling = rulings.rule(&found[0], false, (&amy, reason.clone()), day(NOW), &settings).unwrap();
    assert_eq!((ruling.accepted, ruling.decisions.len()), (false, 20));
    rulings.apply(&ruling);
    // The second of two architects is told who was first.
    let second = rulings.rule(&found[0], true, (&"ash".parse().unwrap(), reason.clone()), day(NOW), &settings);
    assert_eq!(second, Err(NotRuled::Ruled { by: amy.clone(), at: day(NOW) }));

    firings(&mut docket, &[("dan", 9, 9, NOW)]);
    assert_eq!(rulings.open(demoted(&docket), &settings), [], "9 are less than half of 20");
    firings(&mut docket, &[("eli", 1, 1, NOW)]);
    let again = rulings.open(demoted(&docket), &settings);
    assert_eq!(again[0].evidence.decisions.len(), 30);
    let accepted = rulings.rule(&again[0], true, (&amy, reason), day(NOW), &settings).unwrap();
    rulings.apply(&accepted);
    assert_eq!(rulings.open(demoted(&docket), &settings), [], "what was accepted is not proposed again either");
    assert_eq!(rulings.all().map(|one| one.accepted).collect::<Vec<_>>(), [true]);
    let mut replayed = Rulings::default();
    for one in [ruling, accepted] {
        replayed.apply(&one);
    }
    assert_eq!(replayed, rulings);
}

#[test]
fn each_change_has_a_name_and_a_promotion_a_draft() {
    let rule = |name: &str| name.parse::<RuleId>().unwrap();
    let ids =
        [Change::Demote(rule("a")), Change::Demote(rule("b")), Change::Shrink(rule("a"))].map(|change| change.id());
    assert!(ids.iter().all(|id| id.len() == 21 && id.starts_with("prop-")), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[0] != ids[2]);
    assert_eq!(ids[0], Change::Demote(rule("a")).id());

    let mut docket = Docket::default();
    for row in [
        ("d1", "ann", "atlas", "Retry: 3\u{d7}?", "yes \"now\""),
        ("d2", "bob", "borea", "Retry: 3\u{d7}?", "yes \"now\""),
        ("d3", "cid", "cere\"s", "Retry: 3\u{d7}?", "yes \"now\""),
        ("d4", "cid", "dione", "Retry: 3\u{d7}?", "no"),
    ] {
        typed(&mut docket, row);
    }
    let settings = LineSettings {
        promote: PromoteSettings { agreement: 0.7, ..LineSettings::default().promote },
        ..LineSettings::default()
    };
    let found = promotions(docket.decisions(), day(NOW), &settings, |_, _| 0.0);
    let until = jiff::civil::date(2027, 1, 1);
    let decisions = &found[0].evidence.decisions;
    let draft = space_draft(&found[0].change, decisions, &docket, until, |_| None).unwrap();
    expect_test::expect![[r#"
        # make `yes "now"` the shared answer of `security` to `Retry: 3×?`
        [[space]]
        key = "retry-3"
        products = ["atlas", "borea", 'cere"s']
        # The gravest of the decisions that it comes from; choose less if a mistake could cost more.
        reach = "product"
        reversibility = "costly"
        until = 2027-01-01
        note = '`Retry: 3×?`: the answer is `yes "now"`; decide so without asking.'
    "#]]
    .assert_eq(&draft);
    assert!(draft.parse::<toml::Table>().is_ok());
    // The gravest of what is known, fact by fact, and never more than can be handed over.
    let radius = |reach, reversibility| Some(BlastRadius { reach, reversibility });
    let (small, wide) = (radius(Reach::Task, Reversibility::Costly), radius(Reach::Outside, Reversibility::Minutes));
    let drafted = |of: &dyn Fn(&Opening) -> Option<BlastRadius>| {
        let draft = space_draft(&found[0].change, decisions, &docket, until, of).unwrap();
        let table: toml::Table = draft.parse().unwrap();
        let space = &table["space"][0];
        (space["reach"].as_str().unwrap().to_owned(), space["reversibility"].as_str().unwrap().to_owned())
    };
    let words = |reach: &str, undo: &str| (reach.to_owned(), undo.to_owned());
    assert_eq!(drafted(&|_| radius(Reach::Task, Reversibility::Minutes)), words("task", "minutes"));
    assert_eq!(drafted(&|one| if one.id.as_str() == "d1" { wide } else { small }), words("product", "costly"));
    assert_eq!(drafted(&|_| radius(Reach::Task, Reversibility::Never)), words("task", "costly"));
    assert_eq!(space_draft(&Change::Demote(rule("a")), decisions, &docket, until, |_| None), None);
    let unknown = space_draft(&found[0].change, decisions, &Docket::default(), until, |_| None);
    assert_eq!(unknown, None, "nothing is known of them");
}

#[test]
fn a_promotion_that_was_refused_does_not_come_back_under_a_similar_key() {
    let settings = LineSettings::default();
    let mut docket = Docket::default();
    for row in [
        ("d1", "ann", "atlas", "retry", "yes"),
        ("d2", "bob", "borea", "try-again", "yes"),
        ("d3", "cid", "ceres", "try-again", "yes"),
        ("d4", "dan", "dione", "try-again", "yes"),
    ] {
        typed(&mut docket, row);
    }
    let find = |all: bool| {
        let seen = docket.decisions().filter(|one| all || one.id().as_str() != "d1");
        promotions(seen, day(NOW), &settings, |_, _| 1.0)
    };
    let keys = |proposals: &[Proposal]| match &proposals[0].change {
        Change::Promote { key, .. } => key.to_string(),
        other => panic!("{other}"),
    };
    let (whole, rest) = (find(true), find(false));
    assert_eq!((keys(&whole), keys(&rest)), ("retry".to_owned(), "try-again".to_owned()));
    let mut rulings = Rulings::default();
    let amy = "amy".parse().unwrap();
    let ruling = rulings.rule(&whole[0], false, (&amy, words("it depends")), day(NOW), &settings).unwrap();
    rulings.apply(&ruling);
    assert_eq!(rulings.open(rest, &settings), []);
}
