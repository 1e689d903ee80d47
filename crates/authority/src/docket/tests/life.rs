//! The life of one decision, as a table: what is done on the left, where it then stands or why not on the right.

use super::*;

fn check(script: &str, expected: &str) {
    let mut desk = Desk::new("d");
    let stands: Vec<_> = script.split("; ").map(|line| desk.step(line)).collect();
    assert_eq!(stands.join(" "), expected, "{script}");
    assert_eq!(Docket::replay(&desk.events), Ok(desk.docket), "{script}");
}

#[test]
fn tier_1_is_released_and_final() {
    check("0 open release", "released");
    check("0 open release; 1 open release", "released !Known");
    check("0 open release; 1 approve eve 9; 1 refuse eve; 1 withdraw ann", "released !Stands !Stands !Stands");
    check("0 open release; 1 ok eve; 1 release; 999 expire", "released !Stands !Stands nothing");
    check("0 open release; 1 override ann no-why; 1 lower release", "released !Stands !Stands");
    check("0 open release; 1 correct eve; 2 correct ed", "released released !FoundWrong");
    check("0 open release; 1 correct ann; 1 correct otto", "released !OwnRequest !NotYourTwin");
}

#[test]
fn tier_2_is_released_and_ends_its_review_once() {
    check("0 open assume 100; 99 ok eve; 99 wrong ed", "in-review checked-ok !Stands");
    check("0 open assume 100; 99 wrong eve; 99 ok eve; 200 expire", "in-review checked-wrong !Stands nothing");
    check("0 open assume 100; 99 expire; 100 expire; 101 ok eve", "in-review nothing expired-unchecked !Stands");
    // Its time is over at the instant, also before anybody has noticed.
    check("0 open assume 100; 100 ok eve; 100 expire", "in-review !TooLate expired-unchecked");
    check("0 open assume 0", "!Limit");
    check("0 open assume 100; 1 ok ann; 1 ok otto; 1 ok eve", "in-review !OwnRequest !NotYourTwin checked-ok");
    check("0 open assume 100; 1 approve eve 9; 1 release; 1 withdraw ann", "in-review !Stands !Stands !Stands");
    check("0 open assume 100; 1 refuse eve; 1 correct eve", "in-review !Stands !NothingToCorrect");
    // An end of the review can be found wrong later, once.
    check("0 open assume 9; 1 ok eve; 2 correct ed; 3 correct ed", "in-review checked-ok checked-ok !FoundWrong");
    check("0 open assume 9; 1 wrong eve; 2 correct ed", "in-review checked-wrong !FoundWrong");
    check("0 open assume 9; 9 expire; 10 correct ed", "in-review expired-unchecked expired-unchecked");
}

#[test]
fn tier_3_is_held_approved_and_released_once() {
    check("0 open hold 100; 5 approve eve 60; 6 release", "held approved released");
    check("0 open hold 100; 5 release", "held !Stands");
    check("0 open hold 100; 5 approve eve 60; 5 approve ed 60", "held approved !Stands");
    check("0 open hold 100; 5 approve eve 60; 5 approve eve 60", "held approved !Stands");
    check("0 open hold 100; 5 approve eve 60; 6 release; 7 release", "held approved released !Stands");
    check("0 open hold 100; 5 approve eve 60; 6 release; 7 approve ed 99", "held approved released !Stands");
    check("0 open hold 100; 5 approve eve 60; 6 refuse ed", "held approved !Stands");
    check("0 open hold 100; 5 refuse eve; 6 approve ed 60; 6 release", "held refused !Stands !Stands");
    check("0 open hold 100; 5 approve eve 60; 6 release; 7 correct ed", "held approved released released");
    check("0 open hold 100; 5 correct eve", "held !NothingToCorrect");
    check("0 open hold 0", "!Limit");
    // The approval's own time counts from then on, and it may be longer than the holding.
    check("0 open hold 10; 9 approve eve 60; 20 expire; 59 release", "held approved nothing released");
}

#[test]
fn the_approver_is_somebody_else_who_answers_for_the_twin() {
    check("0 open hold 9; 1 approve ann 5; 1 refuse ann; 1 show ann", "held !OwnRequest !OwnRequest !OwnRequest");
    check("0 open hold 9; 1 approve otto 5; 1 refuse otto; 1 show otto", "held !NotYourTwin !NotYourTwin !NotYourTwin");
    check("0 open hold 9; 1 approve-other eve 5; 1 approve eve 5", "held !SawAnother approved");
    check("0 approve eve 5; 0 release; 0 show eve", "!Unknown !Unknown !Unknown");
    // Who may not approve learns nothing from the state and changes nothing by a changed digest.
    check("0 open hold 9; 1 change pack; 1 approve ann 5; 1 approve otto 5", "held nothing !OwnRequest !NotYourTwin");
}

#[test]
fn a_time_limit_is_over_at_its_instant() {
    check("0 open hold 9; 9 approve eve 20; 9 expire; 9 approve eve 20", "held !TooLate expired !Stands");
    check("0 open hold 9; 8 expire; 8 approve eve 20", "held nothing approved");
    check("0 open hold 9; 9 refuse eve; 9 show eve", "held !TooLate !TooLate");
    check("0 open hold 9; 9 override ann no-why", "held !TooLate");
    check("0 open hold 9; 5 approve eve 5; 5 approve eve 4", "held !Limit !Limit");
    check("0 open hold 9; 5 approve eve 7; 7 release; 7 expire; 7 release", "held approved !TooLate expired !Stands");
    check("0 open hold 9; 5 approve eve 7; 6 expire; 6 release", "held approved nothing released");
    // A clock that was set back brings nothing back.
    check("0 open hold 9; 9 expire; 3 approve eve 20", "held expired !Stands");
}

#[test]
fn who_asked_can_withdraw_until_it_is_released() {
    check("0 open hold 9; 1 withdraw ann; 2 approve eve 5; 2 withdraw ann", "held withdrawn !Stands !Stands");
    check("0 open hold 9; 1 approve eve 5; 2 withdraw ann; 3 release", "held approved withdrawn !Stands");
    check("0 open hold 9; 1 withdraw bob; 1 withdraw eve", "held !NotYours !NotYours");
    check("0 open hold 9; 1 approve eve 5; 2 release; 3 withdraw ann", "held approved released !Stands");
}

#[test]
fn any_changed_digest_voids_it() {
    for part in Part::ALL {
        check(&format!("0 open hold 9; 1 change {part}; 2 approve eve 5"), "held nothing voided");
        check(&format!("0 open hold 9; 1 approve eve 5; 2 change {part}; 3 release"), "held approved nothing voided");
        check(&format!("0 open hold 9; 1 change {part}; 2 recheck; 3 approve eve 5"), "held nothing voided !Stands");
        let lowered = format!("0 open hold 9; 1 override ann no-why; 1 change {part}; 2 lower release");
        check(&lowered, "held held nothing voided");
    }
    check("0 open hold 9; 2 recheck; 2 approve eve 5; 2 recheck", "held nothing approved nothing");
    check("0 open release; 1 change pack; 2 recheck", "released nothing !Stands");
    let mut desk = Desk::new("d");
    for line in ["0 open hold 9", "1 change model", "1 change rules", "2 recheck"] {
        desk.step(line);
    }
    let voided = desk.docket.get(&"d".parse().unwrap()).unwrap();
    assert_eq!(voided.changed(), [Part::Model, Part::Rules]);
    assert_eq!(voided.released(), None);
}

#[test]
fn overrides_count_for_one_request_of_their_conductor() {
    check("0 override ann no-why; 1 open release", "noted released");
    check("0 override ann no-why; 0 override ann no-why; 0 override ann stale-pack", "noted !Overridden noted");
    check("0 override ann no-why; 0 override bob stale-pack", "noted !NotYours");
    check("0 override bob no-why; 1 open release", "noted !NotYours");
    check("0 override ann secrets; 1 open-invariant hold 9", "noted !Invariant");
    check("0 open hold 9; 1 override bob no-why; 1 override ann other", "held !NotYours !NotFired");
    check("0 open hold 9; 1 override ann no-why; 2 override ann no-why", "held held !Overridden");
    check("0 open assume 9; 1 override ann no-why", "in-review !Stands");
    let mut desk = Desk::new("d");
    let blank = Override { reason: Words::erased(), ..overridden("d", "no-why", "ann", 0) };
    assert_eq!(desk.docket.override_default(blank), Err(Rejected::Words(WordsError::Blank)));
    assert_eq!(desk.step("0 override ann no-why"), "noted");
    let other = Override { request: digest("other"), ..overridden("d", "stale-pack", "ann", 0) };
    assert_eq!(desk.docket.override_default(other), Err(Rejected::OtherRequest));
    let mut opening = opening("d", "ann");
    opening.bound.request = digest("other");
    assert_eq!(desk.docket.open_decision(opening, Course::Release, time(1)), Err(Rejected::OtherRequest));
}

#[test]
fn only_an_override_while_it_is_held_lowers_a_tier() {
    check("0 open hold 9; 1 override ann no-why; 2 lower release; 3 release", "held held released !Stands");
    check("0 open hold 9; 1 override ann no-why; 2 lower assume 50; 3 ok eve", "held held in-review checked-ok");
    check("0 open hold 9; 1 lower release", "held !NotOverridden");
    check("0 override ann no-why; 0 open hold 9; 1 lower release", "noted held !NotOverridden");
    check("0 open hold 9; 1 override ann no-why; 2 lower hold 99", "held held !NotLess");
    check("0 open hold 9; 1 override ann no-why; 2 lower assume 2", "held held !Limit");
    check("0 open hold 9; 1 override ann no-why; 9 lower release", "held held !TooLate");
    check("0 open-invariant hold 9; 1 override ann no-why; 2 lower release", "held !NotByDefaults !Invariant");
    check("0 open-invariant hold 9; 1 override ann secrets", "held !Invariant");
    check("0 open hold 9; 1 override ann no-why; 2 approve eve 8; 3 lower release", "held held approved !Stands");
}

#[test]
fn overrides_leave_what_is_asked_for_without_them() {
    // `stale-pack` asks for tier 3 and `no-why` for tier 2; nothing else asks for anything.
    check("0 open-asks release; 0 open-asks assume 9", "!Asks !Asks");
    check(
        "0 open-asks hold 9; 1 override ann no-why; 2 lower release; 3 override ann stale-pack; 4 lower release",
        "held held !Asks held released",
    );
    check(
        "0 open-asks hold 9; 1 override ann stale-pack; 2 lower release; 2 lower assume 50; 3 lower release",
        "held held !Asks in-review !Stands",
    );
    // Caller, twin, pack and blast radius.
    check("0 open-assume release; 0 open-assume assume 9", "!Least in-review");
    check(
        "0 open-assume hold 9; 1 override ann no-why; 2 lower release; 2 lower assume 50",
        "held held !Least in-review",
    );
    check("0 open-check-first hold 9; 1 override ann no-why; 2 lower assume 50", "held !NotByDefaults !Least");
    // A record that does not say what else asks.
    check(
        "0 open-old hold 9; 1 override ann no-why; 2 approve eve 9; 3 release",
        "held !NotByDefaults approved released",
    );
}

#[test]
fn it_is_said_what_can_be_overridden() {
    let overridable = |script: &str| {
        let mut desk = Desk::new("d");
        script.split("; ").for_each(|line| drop(desk.step(line)));
        let decision = desk.docket.get(&"d".parse().unwrap()).unwrap().clone();
        let names: Vec<_> = decision.overridable().map(ToString::to_string).collect();
        format!("{} {:?}", names.join(" "), decision.left().map(Tier::number))
    };
    assert_eq!(overridable("0 open-asks hold 9"), "no-why stale-pack Some(3)");
    assert_eq!(overridable("0 open-asks hold 9; 1 override ann stale-pack"), "no-why Some(2)");
    assert_eq!(overridable("0 open-soft deny"), "frozen None");
    assert_eq!(overridable("0 open-check-first hold 9"), " Some(3)");
    assert_eq!(overridable("0 open-hard deny"), " None");
    assert_eq!(overridable("0 open-asks hold 9; 1 approve eve 9"), " Some(3)");
}

#[test]
fn what_is_denied_is_released_only_if_a_default_denied_it_and_was_overridden() {
    check("0 open deny; 1 approve eve 9; 1 release; 1 correct eve", "denied !Stands !Stands !NothingToCorrect");
    check("0 open deny; 1 withdraw ann; 1 recheck; 999 expire", "denied !Stands !Stands nothing");
    check("0 open-soft release; 0 open-soft assume 9; 0 open-soft hold 9", "!Denies !Denies !Denies");
    check("0 override ann frozen; 1 open-soft release", "noted released");
    check("0 open-soft deny; 1 override ann frozen; 2 lower release", "denied denied released");
    check("0 open-soft deny; 1 override ann frozen; 2 lower deny", "denied denied !NotLess");
    check("0 open-soft deny; 1 override ann no-why; 2 lower release", "denied denied !Denies");
    check("0 open-soft deny; 1 lower release", "denied !Denies");
    check("0 open deny; 1 lower release", "denied !NotOverridden");
    check("0 open-soft deny; 1 override bob frozen; 1 override ann secrets", "denied !NotYours !NotFired");
    let changed = "0 open-soft deny; 1 override ann frozen; 2 change pack; 3 lower release; 4 recheck";
    check(changed, "denied denied nothing !Changed !Stands");
    let held = "0 open-soft deny; 1 override ann frozen; 2 lower hold 9; 3 lower release; 3 override ann no-why";
    check(&format!("{held}; 4 lower release"), "denied denied held !NotOverridden held released");
    check(
        "0 open-soft deny; 1 override ann frozen; 2 lower hold 9; 3 approve eve 8; 4 release",
        "denied denied held approved released",
    );
}

#[test]
fn what_an_invariant_asks_for_stands_whatever_is_overridden() {
    check("0 open-invariant release; 0 open-invariant assume 9", "!Invariant !Invariant");
    check("0 open-invariant hold 9; 1 approve eve 8; 2 release", "held approved released");
    check(
        "0 open-invariant deny; 1 override ann no-why; 2 lower release; 2 lower hold 9",
        "denied denied !Invariant held",
    );
    check("0 open-hard release; 0 open-hard assume 9; 0 open-hard hold 9", "!Invariant !Invariant !Invariant");
    check("0 open-hard deny; 1 override ann secrets; 1 approve eve 9", "denied !Invariant !Stands");
    check(
        "0 open-hard deny; 1 override ann no-why; 2 lower release; 2 lower hold 9",
        "denied !NotByDefaults !Invariant !Invariant",
    );
    check("0 override ann no-why; 0 override ann stale-pack; 1 open-hard hold 9", "noted noted !Invariant");
}
