//! Records that do not fit, queues, expiry, and letting go.

use super::*;

fn names(decisions: &[&Decision]) -> String {
    decisions.iter().map(|one| one.id().as_str()).collect::<Vec<_>>().join(" ")
}

/// Opens one decision a row: id, conductor, twin, course, second.
fn desk(rows: &[(&str, &str, &str, Course, i64)]) -> Docket {
    let mut docket = Docket::default();
    for (id, conductor, twin, course, at) in rows {
        let opening = Opening { twin: twin.parse().unwrap(), ..opening(id, conductor) };
        docket.apply(&docket.open_decision(opening, course.clone(), time(*at)).unwrap()).unwrap();
    }
    docket
}

fn hold(expires: i64) -> Course {
    Course::Hold { expires: time(expires) }
}

fn assume(review_by: i64) -> Course {
    Course::Assume { assumption: words("nobody reads it"), review_by: time(review_by) }
}

#[test]
fn a_record_that_leaves_out_or_bends_a_step_is_refused() {
    let mut desk = Desk::new("d");
    for line in ["0 open hold 100", "5 approve eve 60", "6 release"] {
        desk.step(line);
    }
    let [opened, approved, released] = &desk.events[..] else { panic!("{:?}", desk.events) };
    let Event::Approved(approval) = approved else { panic!("{approved:?}") };
    let bent = |bend: &dyn Fn(&mut Approval)| {
        let mut approval = approval.clone();
        bend(&mut approval);
        Event::Approved(approval)
    };
    let id = || "d".parse::<DecisionId>().unwrap();
    let other_answer = Event::Released { id: id(), answer: digest("other"), at: time(6) };
    let own = bent(&|approval| approval.by = "ann".parse().unwrap());
    let late = bent(&|approval| approval.at = time(100));
    let dead = bent(&|approval| approval.expires = approval.at);
    let unbound = bent(&|approval| approval.bound.pack = digest("other"));
    let rows = [
        (vec![released.clone()], Rejected::Unknown(id())),
        (vec![opened.clone(), released.clone()], Rejected::Stands(Standing::Held)),
        (vec![opened.clone(), opened.clone()], Rejected::Known(id())),
        (vec![opened.clone(), approved.clone(), approved.clone()], Rejected::Stands(Standing::Approved)),
        (vec![opened.clone(), own], Rejected::OwnRequest),
        (vec![opened.clone(), late], Rejected::TooLate(time(100))),
        (vec![opened.clone(), dead], Rejected::Limit(time(5))),
        (vec![opened.clone(), unbound], Rejected::Changed(vec![Part::Pack])),
        (vec![opened.clone(), approved.clone(), other_answer], Rejected::Changed(vec![Part::Answer])),
        (vec![opened.clone(), Event::Expired { id: id(), at: time(99) }], Rejected::TooEarly(time(100))),
        (vec![opened.clone(), Event::Voided { id: id(), changed: vec![], at: time(1) }], Rejected::Unchanged),
    ];
    for (events, cause) in rows {
        let misfit = Docket::replay(&events).unwrap_err();
        assert_eq!(misfit.cause, cause, "{events:?}");
        // What does not fit changes nothing.
        let (last, before) = events.split_last().unwrap();
        let mut docket = Docket::replay(before).unwrap();
        docket.apply(last).unwrap_err();
        assert_eq!(docket, Docket::replay(before).unwrap());
    }
    let misfit = Docket::replay([opened, released]).unwrap_err().to_string();
    let expected = "the record says that decision `d` was released at 2027-01-15T08:00:06Z, which cannot be: the decision \
                    is held already. The ledger is damaged, or a newer build wrote it; `baton ledger verify` tells which";
    assert_eq!(misfit, expected);
}

#[test]
fn erased_texts_are_read_back_but_cannot_be_commanded() {
    let mut desk = Desk::new("d");
    for line in ["0 override ann no-why", "0 open assume 9", "1 wrong eve"] {
        desk.step(line);
    }
    for event in &mut desk.events {
        match event {
            Event::Overridden(one) => one.reason = Words::erased(),
            Event::CheckedWrong(one) => one.words = Words::erased(),
            Event::Opened(one) => one.course = Course::Assume { assumption: Words::erased(), review_by: time(9) },
            other => panic!("{other:?}"),
        }
    }
    let docket = Docket::replay(&desk.events).unwrap();
    assert_eq!(docket.get(&"d".parse().unwrap()).unwrap().standing(), Standing::CheckedWrong);
    let course = Course::Assume { assumption: Words::erased(), review_by: time(9) };
    let refused = docket.open_decision(opening("e", "ann"), course, time(0));
    assert_eq!(refused, Err(Rejected::Words(WordsError::Blank)));
}

#[test]
fn queues_are_ordered_by_age_and_leave_out_what_one_may_not_answer() {
    let docket = desk(&[
        ("d4", "ann", "security", hold(100), 3),
        ("d3", "bob", "security", assume(50), 1),
        ("d2", "eve", "security", hold(90), 1),
        ("d1", "bob", "payments", hold(80), 2),
        ("d0", "ann", "ux", assume(60), 2),
        ("d5", "ann", "ux", Course::Release, 0),
    ]);
    let rows = [("eve", "d1 d4", "d3"), ("ed", "d2 d1 d4", "d3"), ("otto", "", "d0")];
    for (name, pending, review) in rows {
        let expert = expert(name);
        assert_eq!(names(&docket.pending(&expert)), pending, "{name}");
        assert_eq!(names(&docket.review_queue(&expert)), review, "{name}");
    }
    assert_eq!(names(&docket.of(&"ann".parse().unwrap())), "d4 d0 d5");
    assert_eq!(names(&docket.of(&"nobody".parse().unwrap())), "");
    assert_eq!(names(&docket.waiting_for_people()), "d2 d3 d0 d1 d4");
    assert_eq!(names(&docket.approved()), "");
}

#[test]
fn what_is_over_expires_in_the_order_of_its_limits() {
    let rows = [("a", "ann", "ux", hold(30), 0), ("b", "ann", "ux", assume(20), 0), ("c", "ann", "ux", hold(40), 0)];
    let mut docket = desk(&rows);
    assert_eq!(docket.next_expiry(), Some(time(20)));
    assert_eq!(docket.expire(time(19)), []);
    let events = docket.expire(time(30));
    assert_eq!(events.iter().map(|event| event.id().as_str()).collect::<Vec<_>>(), ["b", "a"]);
    for event in &events {
        docket.apply(event).unwrap();
    }
    assert_eq!(docket.expire(time(30)), []);
    assert_eq!(docket.next_expiry(), Some(time(40)));
}

#[test]
fn what_ended_can_be_let_go_and_what_is_open_cannot() {
    let mut docket = desk(&[
        ("old", "ann", "ux", Course::Release, 0),
        ("held", "ann", "ux", hold(100), 0),
        ("new", "bob", "ux", Course::Release, 10),
    ]);
    docket.apply(&docket.override_default(overridden("never", "no-why", "ann", 5)).unwrap()).unwrap();
    assert_eq!(docket.forget(time(10)), 1);
    assert_eq!(names(&docket.decisions().collect::<Vec<_>>()), "held new");
    assert_eq!(names(&docket.of(&"ann".parse().unwrap())), "held");
    // The announced override is gone too, so another conductor's does not meet it.
    assert!(docket.override_default(overridden("never", "no-why", "bob", 20)).is_ok());
}

#[test]
fn a_decision_tells_how_long_it_waited_and_was_looked_at() {
    let mut one = Desk::new("d");
    for line in ["0 open hold 100", "10 show eve", "11 show ed", "12 show eve", "14 approve eve 60", "20 release"] {
        one.step(line);
    }
    let decision = one.docket.get(&"d".parse().unwrap()).unwrap();
    assert_eq!(decision.looked_at().map(|time| time.as_secs()), Some(4));
    assert_eq!(decision.waited(time(99)).map(|time| time.as_secs()), Some(20));
    assert_eq!(decision.shown().len(), 2);
    let mut unseen = Desk::new("d");
    for line in ["0 open hold 100", "30 approve eve 60"] {
        unseen.step(line);
    }
    let decision = unseen.docket.get(&"d".parse().unwrap()).unwrap();
    assert_eq!(decision.looked_at().map(|time| time.as_secs()), Some(30));
    assert_eq!(decision.waited(time(40)).map(|time| time.as_secs()), Some(40), "it is not released yet");
    assert_eq!(desk(&[("d", "ann", "ux", assume(9), 0)]).get(&"d".parse().unwrap()).unwrap().waited(time(5)), None);
}

#[test]
fn words_are_read_back_as_they_are_written() {
    assert!(Standing::ALL.iter().all(|one| Standing::from_word(one.as_str()) == Some(*one)));
    assert!(Part::ALL.iter().all(|one| Part::from_word(one.as_str()) == Some(*one)));
    assert_eq!(RuleKind::from_word("invariant"), Some(RuleKind::Invariant));
    assert_eq!(RuleKind::from_word("default"), Some(RuleKind::Default));
    assert_eq!((Standing::from_word("Held"), Part::from_word(""), RuleKind::from_word("soft")), (None, None, None));
}
