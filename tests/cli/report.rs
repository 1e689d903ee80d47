//! What `baton report` says about a ledger.

use std::fs;

use baton_authority::docket::{Bound, Course, Fired, Opening, RuleKind, TextRow};
use baton_contract::{Digest, Tier};
use baton_register::{Gap, Register};
use expect_test::expect;
use jiff::{SignedDuration, Timestamp};

use super::ledger::open;
use super::support::Home;

/// Two decisions of an hour ago: one that nobody waited for, and one that is held.
fn home() -> Home {
    let home = Home::new();
    let register = Register::open(open(&home), |_| ()).unwrap();
    let at = Timestamp::now() - SignedDuration::from_hours(1);
    let digest = Digest::of(b"x");
    let bound = Bound { request: digest, answer: digest, pack: digest, model: digest, adapter: None, rules: digest };
    let hold = Course::Hold { expires: at + SignedDuration::from_hours(50) };
    for (id, course, rule) in [("dec-1", Course::Release, None), ("dec-2", hold, Some("public-api"))] {
        let fired = rule.map(|rule| Fired {
            rule: rule.parse().unwrap(),
            kind: RuleKind::Invariant,
            denies: false,
            asks: None,
        });
        let opening = Opening {
            id: id.parse().unwrap(),
            conductor: "ada".parse().unwrap(),
            twin: "law".parse().unwrap(),
            why: true,
            product: None,
            process: None,
            subject: None,
            fired: fired.into_iter().collect(),
            least: Some(Tier::Decide),
            bound: bound.clone(),
            text: TextRow(0),
        };
        register.act(|docket| docket.open_decision(opening, course, at)).unwrap();
    }
    home
}

#[test]
fn the_tax_is_told_and_drawn() {
    let home = home();
    let run = home.baton(&["report", "--svg", "tax.svg"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(run.code == Some(0) && lines[0].starts_with("Waiting for people, "), "{}", run.report());
    expect![[r"

        nobody waited               1 of 2, 50.0 %
        asked without a why          0 of 2, 0.0 %
        approved by rubber stamp                 –
        found wrong after release    0 of 1, 0.0 %
        found wrong in review                    –
        found wrong after approval               –
        reviews that nobody did                  –

        waited for people   decisions  held  waiting    p50    p95    sum
        all                         2     1        1  1.0 h  1.0 h  1.0 h
        tier 1                      1     0        0      –      –      –
        tier 3                      1     1        1  1.0 h  1.0 h  1.0 h
        conductor ada               2     1        1  1.0 h  1.0 h  1.0 h
        process none given          2     1        1  1.0 h  1.0 h  1.0 h
        twin law                    2     1        1  1.0 h  1.0 h  1.0 h

        rules                 fired  overridden  share
        invariant public-api      1           0  0.0 %

        waits now for    decisions    p50  oldest
        approval of law          1  1.0 h   1.0 h

        Nothing is proposed: no rule and no answer has enough that speaks for a change."]]
    .assert_eq(&lines[1..].join("\n"));
    assert_eq!(run.stderr, "The plot is in tax.svg\n");
    let plot = fs::read_to_string(home.path("tax.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("law"), "{plot}");
    let none = home.baton(&["report", "--days", "4000"]);
    assert!(none.code == Some(2) && none.stderr.contains("1..=3650"), "{}", none.report());
}

#[test]
fn without_a_ledger_there_is_nothing_to_report() {
    let run = Home::new().baton(&["report"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("error: there is no ledger in HOME/.local/share/baton\nhint: "), "{}", run.stderr);
}

#[test]
fn answers_that_the_ledger_does_not_have_are_told() {
    let home = home();
    let at = |minutes: i64| Timestamp::now() - SignedDuration::from_mins(minutes);
    let ledger = open(&home);
    for (answers, from) in [(3, 50), (4, 20)] {
        let gap = Gap { answers, from: at(from), until: at(from - 5) };
        ledger.append(gap.entry("baton", at(from - 6)).unwrap()).wait().unwrap();
    }
    drop(ledger);
    let told = home.baton(&["report"]).stdout;
    let head = "\nAnswers of tier 1 that went out unrecorded, the ledger could not be written: 7\n  3 between ";
    assert!(told.contains(head) && told.contains("\n  4 between "), "{told}");
    let rows = home.baton(&["ledger", "show", "--kind", "gap"]).stdout;
    assert!(rows.contains("3 answers went unrecorded between ") && rows.contains("4 answers went"), "{rows}");
}
