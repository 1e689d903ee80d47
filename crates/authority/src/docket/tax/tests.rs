//! The tax of a small made-up day.

use expect_test::expect;

use super::*;
use crate::docket::tests::{expert, fired, opening, overridden, time, words};
use crate::docket::{Approve, Course, Docket, Event, Fired, Opening, Override, Rejected, Verdict};

const HOUR: i64 = 3_600;

fn act(docket: &mut Docket, command: impl FnOnce(&Docket) -> Result<Event, Rejected>) {
    let event = command(docket).unwrap();
    docket.apply(&event).unwrap();
}

fn open(docket: &mut Docket, opening: Opening, course: Course, at: i64) {
    act(docket, |docket| docket.open_decision(opening, course, time(at)));
}

/// Holds a decision at `at`, lets eve approve it after `look` seconds and releases it one second later.
fn approved(docket: &mut Docket, (id, conductor): (&str, &str), at: i64, look: i64) {
    let opening = opening(id, conductor);
    let (id, current) = (opening.id.clone(), opening.bound.clone());
    open(docket, opening, Course::Hold { expires: time(at + 48 * HOUR) }, at);
    let (expert, expires) = (expert("eve"), time(at + look + 60));
    let wish = Approve { id: &id, expert: &expert, seen: current.answer, current: &current, expires };
    act(docket, |docket| docket.approve(&wish, time(at + look)));
    act(docket, |docket| docket.release(&id, &current, time(at + look + 1)));
}

fn day() -> Docket {
    let mut docket = Docket::default();
    let assume = |at: i64| Course::Assume { assumption: words("nobody outside"), review_by: time(at + HOUR) };
    open(&mut docket, Opening { why: false, ..opening("a1", "ann") }, Course::Release, 0);
    open(&mut docket, Opening { process: None, ..opening("a2", "bob") }, Course::Release, 1);
    // Three reviews: right, wrong, and nobody's; a fourth waits.
    for (id, at) in [("b1", 10), ("b2", 20), ("b3", 30), ("b4", 9 * HOUR)] {
        open(&mut docket, opening(id, "ann"), assume(at), at);
    }
    act(&mut docket, |docket| docket.review(&"b1".parse().unwrap(), &expert("eve"), Verdict::Ok, time(99)));
    let wrong = Verdict::Wrong(words("ask first"));
    act(&mut docket, |docket| docket.review(&"b2".parse().unwrap(), &expert("eve"), wrong, time(99)));
    for event in docket.expire(time(2 * HOUR)) {
        docket.apply(&event).unwrap();
    }
    // Held: a rubber stamp, one looked at and corrected later, one that waits.
    approved(&mut docket, ("c1", "ann"), 100, 4);
    approved(&mut docket, ("c2", "bob"), 100, 3 * HOUR);
    act(&mut docket, |docket| docket.correct(&"c2".parse().unwrap(), &expert("ed"), words("no"), time(5 * HOUR)));
    open(&mut docket, Opening { twin: "ux".parse().unwrap(), ..opening("c3", "ann") }, hold(), 8 * HOUR);
    // Overridden and so released; and denied.
    let wish = Override { at: time(200), ..overridden("d1", "no-why", "bob", 0) };
    act(&mut docket, |docket| docket.override_default(wish));
    open(&mut docket, opening("d1", "bob"), Course::Release, 201);
    let secrets = Fired { denies: true, ..fired("secrets", RuleKind::Invariant) };
    open(&mut docket, Opening { fired: vec![secrets], ..opening("d2", "bob") }, Course::Deny, 202);
    docket
}

fn hold() -> Course {
    Course::Hold { expires: time(30 * HOUR) }
}

fn tax() -> Tax {
    Tax::measure(day().decisions(), time(10 * HOUR), &TaxSettings::since(time(0)))
}

#[test]
fn the_table_says_it_all() {
    expect![[r"
        Waiting for people, 2027-01-15T08:00:00Z to 2027-01-15T18:00:00Z

        nobody waited               8 of 11, 72.7 %
        asked without a why          1 of 11, 9.1 %
        approved by rubber stamp     1 of 2, 50.0 %
        found wrong after release    2 of 9, 22.2 %
        found wrong in review        1 of 2, 50.0 %
        found wrong after approval   1 of 2, 50.0 %
        reviews that nobody did      1 of 3, 33.3 %

        waited for people   decisions  held  waiting    p50    p95    sum
        all                        11     3        1  2.0 h  3.0 h  5.0 h
        denied                      1     0        0      –      –      –
        tier 1                      3     0        0      –      –      –
        tier 2                      4     0        0      –      –      –
        tier 3                      3     3        1  2.0 h  3.0 h  5.0 h
        conductor bob               4     1        0  3.0 h  3.0 h  3.0 h
        conductor ann               7     2        1  5.0 s  2.0 h  2.0 h
        process support            10     3        1  2.0 h  3.0 h  5.0 h
        process none given          1     0        0      –      –      –
        twin security              10     2        0  5.0 s  3.0 h  3.0 h
        twin ux                     1     1        1  2.0 h  2.0 h  2.0 h

        rules               fired  overridden   share
        default no-why         10           1  10.0 %
        invariant secrets       1           0   0.0 %
        default stale-pack     10           0   0.0 %

        waits now for       decisions    p50  oldest
        approval of ux              1  2.0 h   2.0 h
        review of security          1  1.0 h   1.0 h
    "]]
    .assert_eq(&tax().table());
}

#[test]
fn shares_count_what_they_say() {
    let tax = tax();
    let share = |part, of| Share { part, of };
    assert_eq!(tax.without_wait, share(8, 11));
    assert_eq!(tax.missing_whys, share(1, 11));
    assert_eq!(tax.rubber_stamps, share(1, 2));
    assert_eq!(tax.reversals, share(2, 9));
    assert_eq!(tax.wrong_in_review, share(1, 2));
    assert_eq!(tax.wrong_after_approval, share(1, 2));
    assert_eq!(tax.unchecked, share(1, 3));
    assert_eq!(Share::default().rate(), None);
}

#[test]
fn what_came_before_is_left_out_but_queues_are_as_they_are() {
    let tax = Tax::measure(day().decisions(), time(10 * HOUR), &TaxSettings::since(time(9 * HOUR)));
    assert_eq!(tax.without_wait, Share { part: 1, of: 1 });
    let queues: Vec<_> = tax.queues.iter().map(|one| (one.waits_for.as_str(), one.twin.as_str(), one.length)).collect();
    assert_eq!(queues, [("approval", "ux", 1), ("review", "security", 1)]);
    assert_eq!(tax.queues[0].oldest, SignedDuration::from_hours(2));
}

#[test]
fn percentiles_are_of_nearest_rank() {
    let mut docket = Docket::default();
    for (index, name) in (1..=20).map(|index| (index, format!("d{index}"))) {
        approved(&mut docket, (&name, "ann"), 0, index * 10 - 1);
    }
    let tax = Tax::measure(docket.decisions(), time(HOUR), &TaxSettings::since(time(0)));
    let all = tax.waits_by(By::All).next().unwrap();
    assert_eq!([all.p50, all.p95, all.sum].map(|time| time.as_secs()), [100, 190, 2_100]);
}

#[test]
fn durations_are_short() {
    let rows = [(0, "0 s"), (5, "5.0 s"), (59, "59 s"), (60, "1.0 min"), (599, "10 min"), (5_400, "1.5 h")];
    for (seconds, expected) in rows.into_iter().chain([(86_400, "1.0 d"), (8_640_000, "100 d")]) {
        assert_eq!(in_words(SignedDuration::from_secs(seconds)), expected);
    }
}

#[test]
fn the_picture_has_every_bar_and_no_markup_from_names() {
    let mut docket = day();
    let name = "<script>alert(1)</script> & more of it";
    let process = Some(name.to_owned());
    open(&mut docket, Opening { process, ..opening("x", "zoe") }, hold(), 9 * HOUR);
    for index in 0..12 {
        let conductor = format!("conductor-{index}");
        open(&mut docket, opening(&format!("y{index}"), &conductor), hold(), 9 * HOUR);
    }
    let picture = Tax::measure(docket.decisions(), time(10 * HOUR), &TaxSettings::since(time(0))).plot();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert!(!picture.contains("<script") && picture.contains("&lt;script&gt;alert(1)&lt;/scr…"), "{picture}");
    assert!(picture.contains(">and 5 more<") && picture.contains(">security<") && picture.contains(">ann<"));
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
    // Ten of fifteen conductors, two twins, two processes, twice; and one rule.
    assert_eq!(picture.matches("<rect class=\"p95\"").count(), 10 + 2 + 2);
    assert_eq!(picture.matches("<rect class=\"p50\"").count(), 10 + 2 + 2 + 1);
}

#[test]
fn nothing_gives_an_empty_table_and_picture() {
    let tax = Tax::measure([], time(0), &TaxSettings::since(time(0)));
    assert_eq!(tax.table().lines().count(), 9);
    let picture = tax.plot();
    assert_eq!(picture.matches(">nothing<").count(), 4);
    assert!(!picture.contains("NaN"), "{picture}");
}
