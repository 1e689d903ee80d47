//! A decision found wrong, as a case.

use expect_test::expect;

use super::*;

fn corrected(id: &str, fix: &str) -> Docket {
    let mut docket = Docket::default();
    let open = docket.open_decision(opening(id, "ann"), Course::Release, time(0)).unwrap();
    docket.apply(&open).unwrap();
    let wrong = docket.correct(&id.parse().unwrap(), &expert("eve"), words(fix), time(1)).unwrap();
    docket.apply(&wrong).unwrap();
    docket
}

fn draft(fix: &str, asked: Asked<'_>) -> CaseDraft {
    let docket = corrected("d1", fix);
    CaseDraft::of(docket.get(&"d1".parse().unwrap()).unwrap(), asked).unwrap()
}

const ASKED: Asked<'static> = Asked {
    what: "A key was pushed to our private repository.\nAre we \"done\"?",
    why: Some("Nobody can read it."),
    answer: "Yes: the repository is private.",
    choices: &[],
};

#[test]
fn a_case_is_written_as_packs_have_it() {
    let text = draft("No.\nRotate the key today, and read the access log.", ASKED).to_toml();
    expect![[r#"
        # No.
        # Rotate the key today, and read the access log.
        [[case]]
        name = "found-wrong-d1"
        what = """
        A key was pushed to our private repository.
        Are we "done"?"""
        why = "Nobody can read it."
        checks = [
          { contains_any = ["rotate", "today", "access"] },
        ]
    "#]]
    .assert_eq(&text);
    let read: toml::Table = text.parse().unwrap();
    let case = &read["case"][0];
    assert_eq!(case["what"].as_str(), Some(ASKED.what));
    assert_eq!(case["why"].as_str(), ASKED.why);
}

#[test]
fn the_fix_suggests_the_checks() {
    let choices = ["approve".to_owned(), "approve with changes".to_owned(), "stop".to_owned()];
    let choice = Asked { answer: "approve", choices: &choices, ..ASKED };
    let rows = [
        (ASKED, "say `rotate` and “read the log”", r#"{ contains = "rotate" } { contains = "read the log" }"#),
        (ASKED, "the key must be REVOKED, revoked", r#"{ contains_any = ["must", "revoked"] }"#),
        (ASKED, "no", r#"{ contains = "no" }"#),
        (ASKED, "an open ` says nothing", r#"{ contains_any = ["open", "says", "nothing"] }"#),
        (
            choice,
            "Stop: it is in the history.",
            r#"{ choice = { of = ["approve", "approve with changes", "stop"], right = "stop", at_least = 0.5 } }"#,
        ),
        (choice, "neither `stop` nor approve with changes", r#"{ contains = "stop" }"#),
        (choice, "stopping is not a choice", r#"{ contains_any = ["stopping", "choice"] }"#),
    ];
    for (asked, fix, expected) in rows {
        let checks: Vec<_> = draft(fix, asked).checks.iter().map(ToString::to_string).collect();
        assert_eq!(checks.join(" "), expected, "{fix}");
    }
}

#[test]
fn hostile_texts_stay_inside_their_strings() {
    let what = "x\"\"\"\n[[case]]\nname = 'y'\u{7}\\";
    let fix = "# a\r[[case]] \u{0} `'\"]}`";
    let text = draft(fix, Asked { what, why: Some("'''"), ..ASKED }).to_toml();
    let read: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    let cases = read["case"].as_array().unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0]["what"].as_str(), Some(what));
    assert_eq!(cases[0]["checks"][0]["contains"].as_str(), Some("'\"]}"));
}

#[test]
fn only_a_fix_makes_a_case() {
    let mut desk = Desk::new("d");
    desk.step("0 open assume 9");
    let id: DecisionId = "d".parse().unwrap();
    let of = |docket: &Docket, asked| CaseDraft::of(docket.get(&id).unwrap(), asked);
    assert_eq!(of(&desk.docket, ASKED), Err(NoCase::NotWrong(Standing::InReview)));
    desk.step("1 wrong eve");
    assert_eq!(of(&desk.docket, ASKED).map(|case| case.name), Ok("found-wrong-d".to_owned()));
    let long = "x".repeat(4_001);
    for asked in [Asked { what: " ", ..ASKED }, Asked { what: &long, ..ASKED }, Asked { why: Some(&long), ..ASKED }] {
        assert_eq!(of(&desk.docket, asked), Err(NoCase::Question));
    }
    assert_eq!(of(&desk.docket, Asked { why: Some(" "), ..ASKED }).map(|case| case.why), Ok(None));
    if let Some(Event::CheckedWrong(answered)) = desk.events.last_mut() {
        answered.words = Words::erased();
    }
    assert_eq!(of(&Docket::replay(&desk.events).unwrap(), ASKED), Err(NoCase::Erased));
}
