//! Random commands of several people on a few decisions, with a clock that mostly goes forward.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PEOPLE: [&str; 4] = ["ann", "eve", "ed", "otto"];
const DECISIONS: [&str; 3] = ["d0", "d1", "d2"];

/// One wish: what, who, about which decision, and how the clock moves before it.
type Wish = (usize, usize, usize, i64);

/// The commands' own view of a desk: what is loaded can change, one part a decision.
struct World {
    docket: Docket,
    events: Vec<Event>,
    current: BTreeMap<&'static str, Bound>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let current = DECISIONS.map(|id| (id, bound(id))).into();
        Self { docket: Docket::default(), events: Vec::new(), current, now: 0 }
    }

    fn act(&mut self, (what, who, which, step): Wish) {
        self.now += step;
        let (at, name, id_text) = (time(self.now), PEOPLE[who], DECISIONS[which]);
        let (expert, id) = (expert(name), id_text.parse::<DecisionId>().unwrap());
        let (docket, current, soon) = (&self.docket, &self.current[id_text], time(self.now + 40));
        let assume = || Course::Assume { assumption: words("it is internal"), review_by: soon };
        let turn = self.events.len() + who;
        let open = |course| {
            let mut opening = opening(id_text, name);
            opening.fired.extend(match turn % 6 {
                0 => Some(fired("outside", RuleKind::Invariant)),
                1 => Some(Fired { denies: true, ..fired("secrets", RuleKind::Invariant) }),
                2 => Some(Fired { denies: true, ..fired("frozen", RuleKind::Default) }),
                _ => None,
            });
            opening.least = Some([Tier::Decide, Tier::Assume, Tier::CheckFirst][turn % 3]);
            opening.fired[1].asks = turn.is_multiple_of(4).then_some(Tier::CheckFirst);
            docket.open_decision(opening, course, at).map(Some)
        };
        let checked = match what {
            0 => open(if self.now % 3 == 0 { Course::Release } else { assume() }),
            1 => open(Course::Deny),
            2 | 3 => open(Course::Hold { expires: soon }),
            4..=6 => {
                let seen = bound(id_text).answer;
                docket.approve(&Approve { id: &id, expert: &expert, seen, current, expires: soon }, at).map(Some)
            }
            7..=9 => docket.release(&id, current, at).map(Some),
            10 => docket.refuse(&id, &expert, words("no"), at).map(Some),
            11 => docket.withdraw(&id, &expert.id, at).map(Some),
            12 => docket.review(&id, &expert, Verdict::Ok, at).map(Some),
            13 => docket.review(&id, &expert, Verdict::Wrong(words("yes")), at).map(Some),
            14 => docket.correct(&id, &expert, words("yes"), at).map(Some),
            15 => {
                let rule = if turn.is_multiple_of(2) { "no-why" } else { "frozen" };
                docket.override_default(overridden(id_text, rule, name, self.now)).map(Some)
            }
            16 if turn.is_multiple_of(2) => docket.lower(&id, Course::Hold { expires: soon }, current, at).map(Some),
            16 => docket.lower(&id, assume(), current, at).map(Some),
            17 => docket.show(&id, &expert, at),
            18 => docket.recheck(&id, current, at),
            19 => {
                let part = Part::ALL[turn % Part::ALL.len()];
                change(self.current.get_mut(id_text).unwrap(), part);
                Ok(None)
            }
            _ => {
                for event in self.docket.expire(at) {
                    self.record(event);
                }
                Ok(None)
            }
        };
        if let Ok(Some(event)) = checked {
            self.record(event);
        }
    }

    fn record(&mut self, event: Event) {
        self.docket.apply(&event).expect("what was checked against this state fits it");
        self.events.push(event);
    }
}

/// What must hold whatever happened, read from the events alone where it can be.
fn check(world: &World) {
    for decision in world.docket.decisions() {
        let of_it: Vec<_> = world.events.iter().filter(|event| event.id() == decision.id()).collect();
        let count = |word| of_it.iter().filter(|event| event.word() == word).count();
        let requester = &decision.opening().conductor;
        let held = &decision.opening().bound;

        assert!(count("released") <= 1 && count("approved") <= 1 && count("lowered") <= 2, "{of_it:?}");
        let invariants = || decision.opening().fired.iter().filter(|fired| fired.kind == RuleKind::Invariant);
        assert!(decision.course().tier() >= decision.opening().least.unwrap(), "less than was asked for: {of_it:?}");
        if decision.released().is_some() {
            assert!(!invariants().any(|fired| fired.denies), "a hard deny is released: {of_it:?}");
            assert!(invariants().count() == 0 || count("approved") == 1, "nobody approved: {of_it:?}");
        }
        let opened = of_it.iter().find_map(|event| if let Event::Opened(one) = event { Some(one) } else { None });
        let strict = opened.is_some_and(|one| one.course.tier() == Tier::CheckFirst);
        if strict && decision.released().is_some() {
            // Either one approval by somebody else over what was held, or an override lowered it.
            if decision.tier() == Tier::CheckFirst {
                assert_eq!(count("released"), 1, "{of_it:?}");
                let approval = decision.approval().expect("what is released from tier 3 was approved");
                assert_eq!(count("approved"), 1);
                assert_ne!(approval.by, *requester);
                assert!(approval.bound.changed(held).is_empty() && decision.released() < Some(approval.expires));
            } else {
                assert!(count("overridden") > 0 && decision.tier() < Tier::CheckFirst);
            }
        }
        for event in &of_it {
            if let Event::Released { answer, .. } | Event::Lowered { answer, .. } = event {
                assert_eq!(*answer, held.answer, "what is released is what was held");
            }
        }
        // Every released decision of tier 2 is in the queue or has ended, in one way.
        if decision.tier() == Tier::Assume {
            let ends = count("checked-ok") + count("checked-wrong") + count("expired");
            let queued = world.docket.waiting_for_people().iter().any(|one| one.id() == decision.id());
            assert_eq!(ends + usize::from(queued), 1, "{of_it:?}");
        }
        // Whatever ended without a release stays so.
        let ended = count("refused") + count("withdrawn") + count("voided") > 0;
        assert!(!(ended && decision.released().is_some()), "{of_it:?}");
        assert_eq!(decision.standing().is_open(), world.docket.waiting_for_people().contains(&decision));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn whatever_is_tried_the_rules_hold_and_replay_gives_the_same(
        wishes in vec((0..22_usize, 0..PEOPLE.len(), 0..DECISIONS.len(), prop_oneof![8 => 0..3_i64, 1 => -2..30_i64]), 20..160)
    ) {
        let mut world = World::new();
        for wish in wishes {
            world.act(wish);
        }
        check(&world);
        prop_assert_eq!(Docket::replay(&world.events), Ok(world.docket));
    }

    #[test]
    fn a_record_with_a_hole_is_noticed_or_harmless(
        wishes in vec((0..22_usize, 0..PEOPLE.len(), 0..DECISIONS.len(), 0..2_i64), 1..60), hole in 0..60_usize
    ) {
        let mut world = World::new();
        for wish in wishes {
            world.act(wish);
        }
        let hole = hole % world.events.len().max(1);
        world.events = world.events.into_iter().enumerate().filter(|(at, _)| *at != hole).map(|(_, event)| event).collect();
        if let Ok(docket) = Docket::replay(&world.events) {
            world.docket = docket;
            check(&world);
        }
    }
}
