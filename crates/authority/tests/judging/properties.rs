//! What must hold for any decision, any rules and any overrides.

use baton_authority::{
    Cleared, Confidence, DecisionSpace, Facts, Ground, Outcome, Override, Reading, Ruling, SpaceDraft, Standards,
    Standing, Target, free_ground, judge, read_off,
};
use baton_contract::{BlastRadius, Mark, Reach, Reversibility, Tier, Touch};
use baton_rules::{Kind, Layer, RuleSet, Source};
use jiff::civil::Date;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::house::{House, principal, small_copy, twin};

fn radii() -> impl Strategy<Value = BlastRadius> {
    (select(Reach::ALL), select(Reversibility::ALL))
        .prop_map(|(reach, reversibility)| BlastRadius { reach, reversibility })
}

fn readings() -> impl Strategy<Value = Reading> {
    // Mostly small and harmless, so that spaces are met.
    let tiers = prop_oneof![9 => Just(None), 1 => select(Tier::ALL).prop_map(Some)];
    let touches = prop_oneof![3 => Just([].into()), 1 => btree_set(select(Touch::ALL), 0..3)];
    (option::of(radii()), touches, tiers).prop_map(|(radius, touches, tier)| Reading { radius, touches, tier })
}

fn grounds() -> impl Strategy<Value = Ground> {
    let names = |list: &[&'static str]| option::of(select(list.to_vec()).prop_map(str::to_owned));
    let touched = prop_oneof![4 => Just(None), 1 => names(&["shop", "app", "wiki"])];
    (names(&["copy", "copy", "support", "contracts"]), names(&["shop", "app", "wiki"]), touched)
        .prop_map(|(process, product, touched)| Ground { process, product, touched: touched.into_iter().collect() })
}

fn facts() -> impl Strategy<Value = Facts> {
    let asked = (select(vec!["ada", "bob", "eve", "mary"]), select(vec!["ux", "ux", "ux", "law", ""]), grounds());
    let marks = prop_oneof![2 => Just([].into()), 1 => btree_set(select(Mark::ALL), 0..3)];
    let rest = (marks, option::of(0.0..=1.0_f64), 1..12_u32);
    (asked, (readings(), readings(), readings()), rest).prop_map(
        |((who, id, ground), (caller, twin_reads, pack), (marks, sure, in_progress))| {
            let target = id.parse().map_or(Target::Base, Target::Twin);
            let facts = Facts::of(&principal(who), target, ground);
            Facts {
                caller,
                twin: twin_reads,
                pack,
                marks: &facts.marks | &marks,
                confidence: sure.map(Confidence::of),
                in_progress,
                ..facts
            }
        },
    )
}

fn days() -> impl Strategy<Value = Date> {
    select(vec!["2026-06-01", "2026-12-31", "2027-01-01"]).prop_map(|day| day.parse().unwrap())
}

/// Spaces that may be handed over, of those that an expert could think of.
fn spaces() -> impl Strategy<Value = Vec<DecisionSpace>> {
    let names = |list: &[&'static str]| {
        let list: Vec<_> = list.to_vec();
        option::of(btree_set(select(list), 1..3)).prop_map(|names| {
            names.map_or(Cleared::All, |names| Cleared::Only(names.into_iter().map(str::to_owned).collect()))
        })
    };
    let conductors = option::of(btree_set(select(vec!["ada", "bob"]), 1..3)).prop_map(|names| {
        names.map_or(Cleared::All, |names| Cleared::Only(names.into_iter().map(|name| name.parse().unwrap()).collect()))
    });
    let one = (
        conductors,
        names(&["copy", "support"]),
        names(&["shop", "app", "wiki"]),
        btree_set(select(Touch::ALL), 0..3),
        radii(),
        days(),
    );
    vec(one, 0..4).prop_map(|drafts| {
        let rules = RuleSet::shipped().unwrap();
        let spaces = drafts.into_iter().enumerate().map(
            |(index, (conductors, processes, products, touches, largest, until))| {
                let key = format!("s{index}");
                let draft =
                    SpaceDraft { key, conductors, processes, products, touches, largest, until, ..small_copy() };
                DecisionSpace::hand_over(draft, &rules)
            },
        );
        spaces.filter_map(Result::ok).collect()
    })
}

/// How grave an outcome is.
fn gravity(ruling: &Ruling) -> Outcome {
    ruling.outcome()
}

/// Overrides of every default that has fired.
fn all_overrides(ruling: &Ruling) -> Vec<Override> {
    let defaults = ruling.fired().iter().filter(|fired| fired.rule.kind == Kind::Default);
    defaults.map(|fired| Override::new(fired.rule.id.as_str(), "because").unwrap()).collect()
}

fn graver(facts: &Facts, by: &Facts) -> Facts {
    let join = |one: &Reading, other: &Reading| Reading {
        radius: one.radius.map(|radius| other.radius.map_or(radius, |other| radius.join(other))),
        touches: &one.touches | &other.touches,
        tier: one.tier.max(other.tier),
    };
    Facts {
        caller: join(&facts.caller, &by.caller),
        twin: Reading { radius: facts.twin.radius.or(by.twin.radius), ..join(&facts.twin, &by.twin) },
        pack: join(&facts.pack, &by.pack),
        marks: &facts.marks | &by.marks,
        ..facts.clone()
    }
}

/// A rule that some expert adds.
fn added() -> impl Strategy<Value = (String, bool)> {
    let condition = select(vec![
        "true",
        "context.touches.money",
        "context.reaches.outside",
        "context.in_progress > 3",
        "!(context has process)",
        "principal == Conductor::\"ada\"",
    ]);
    let what = select(vec![
        ("default", "raise"),
        ("default", "assume"),
        ("default", "hold"),
        ("default", "deny"),
        ("invariant", "hold"),
        ("invariant", "deny"),
    ]);
    (condition, what, any::<bool>()).prop_map(|(condition, (kind, effect), house)| {
        let text = format!(
            "@id(\"added\") @kind(\"{kind}\") @effect(\"{effect}\") @reason(\"an expert says so\") @ask(\"them\")
             forbid (principal, action, resource) when {{ {condition} }};"
        );
        (text, house)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever a model reads, and whoever wrote what it read: with its reading nothing is checked less than without.
    #[test]
    fn a_twins_own_reading_never_lowers_anything(facts in facts(), radius in radii(), spaces in spaces(), today in days()) {
        let house = House::new();
        let standards = Standards { spaces: &spaces, today, ..house.standards(today) };
        let without = Facts { twin: Reading { radius: None, ..facts.twin.clone() }, ..facts };
        let with = Facts { twin: Reading { radius: Some(radius), ..without.twin.clone() }, ..without.clone() };
        let (before, after) = (judge(&without, &[], standards).unwrap(), judge(&with, &[], standards).unwrap());
        prop_assert!(after.tier() >= before.tier() && gravity(&after) >= gravity(&before));
        // The same overrides still fit, and leave no less.
        let overrides = all_overrides(&before);
        let (before, after) = (judge(&without, &overrides, standards).unwrap(), judge(&with, &overrides, standards).unwrap());
        prop_assert!(after.tier() >= before.tier() && gravity(&after) >= gravity(&before));
    }

    #[test]
    fn no_set_of_overrides_turns_a_hard_deny(facts in facts(), spaces in spaces(), today in days()) {
        let house = House::new();
        let by = Standards { spaces: &spaces, ..house.standards(today) };
        let before = judge(&facts, &[], by).unwrap();
        let after = judge(&facts, &all_overrides(&before), by).unwrap();
        prop_assert_eq!(before.outcome() == Outcome::Denied, after.outcome() == Outcome::Denied);
        // No default is left, every invariant is, and the blast radius asks as it did.
        prop_assert!(after.standing().all(|rule| rule.kind == Kind::Invariant));
        let invariants = |ruling: &Ruling| ruling.standing().filter(|rule| rule.kind == Kind::Invariant).count();
        prop_assert_eq!(invariants(&before), invariants(&after));
        if before.space().is_none() {
            prop_assert!(after.tier() >= facts.radius().tier());
        }
    }

    #[test]
    fn an_added_rule_lowers_nothing(facts in facts(), (text, in_house) in added(), spaces in spaces(), today in days()) {
        let house = House::new();
        let ux = twin("ux");
        let layer = if in_house { Layer::House } else { Layer::Pack(ux) };
        // The house's rules and the pack's are loaded anew, with one more.
        let rule = Source { layer, name: "added.cedar".into(), text };
        let mut sources: Vec<_> = house.rules.rules().map(|rule| Source {
            layer: rule.layer.clone(),
            name: "before.cedar".into(),
            text: rule.text.clone(),
        }).collect();
        sources.push(rule);
        let more = RuleSet::load(&sources, &[]).unwrap();
        let by = Standards { spaces: &spaces, ..house.standards(today) };
        let before = judge(&facts, &[], by).unwrap();
        let after = judge(&facts, &[], Standards { rules: &more, ..by }).unwrap();
        prop_assert!(gravity(&after) >= gravity(&before));
        prop_assert!(after.tier() >= before.tier());
        // Neither does it lower what is left when every default is overridden.
        let before = judge(&facts, &all_overrides(&before), by).unwrap();
        let after = judge(&facts, &all_overrides(&after), Standards { rules: &more, ..by }).unwrap();
        prop_assert!(gravity(&after) >= gravity(&before));
    }

    #[test]
    fn a_graver_decision_is_checked_at_least_as_well(one in facts(), other in facts(), spaces in spaces(), today in days()) {
        let house = House::new();
        let by = Standards { spaces: &spaces, ..house.standards(today) };
        let lighter = judge(&one, &[], by).unwrap();
        let heavier = judge(&graver(&one, &other), &[], by).unwrap();
        prop_assert!(gravity(&heavier) >= gravity(&lighter), "{:?} {:?}", lighter, heavier);
        prop_assert!(heavier.tier() >= lighter.tier());
    }

    #[test]
    fn the_table_and_the_evaluator_never_disagree(facts in facts(), spaces in spaces(), today in days()) {
        let house = House::new();
        let ruling = judge(&facts, &[], Standards { spaces: &spaces, ..house.standards(today) }).unwrap();
        let conductors = ["ada", "bob", "eve", "mary"].map(|name| name.parse().unwrap());
        let cells = free_ground(&spaces, &conductors, today);
        prop_assert_eq!(ruling.space(), read_off(&cells, &facts, today));
        if let Some(space) = ruling.space() {
            // Inside, only an invariant and a tier that was asked for outright ask for anything.
            let outright = [&facts.caller, &facts.twin, &facts.pack].iter().filter_map(|reading| reading.tier).max();
            let invariant = ruling.standing().next().is_some();
            let expected = if invariant { Tier::CheckFirst } else { Tier::Decide }.max(outright.unwrap_or(Tier::Decide));
            let hard = ruling.outcome() == Outcome::Denied;
            prop_assert!(hard || ruling.tier() == expected);
            prop_assert!(ruling.standing().all(|rule| rule.kind == Kind::Invariant));
            for fired in ruling.fired().iter().filter(|fired| fired.rule.kind == Kind::Default) {
                prop_assert_eq!(&fired.standing, &Standing::Answered(space.clone()));
            }
        }
    }

    #[test]
    fn the_tier_is_the_highest_that_was_asked_for(facts in facts(), today in days()) {
        let house = House::new();
        let ruling = judge(&facts, &[], house.standards(today)).unwrap();
        let highest = ruling.asked().iter().map(|asked| asked.tier).max().unwrap_or(Tier::Decide);
        prop_assert_eq!(ruling.tier(), highest);
        for reading in [&facts.caller, &facts.twin, &facts.pack] {
            prop_assert!(ruling.tier() >= reading.tier.unwrap_or(Tier::Decide));
            if ruling.space().is_none() {
                prop_assert!(ruling.tier() >= reading.radius.map_or(Tier::Decide, BlastRadius::tier));
            }
        }
        prop_assert_eq!(ruling.rules(), house.rules.digest_for(facts.target.twin()));
        prop_assert_eq!(&ruling, &judge(&facts, &[], house.standards(today)).unwrap());
    }

    #[test]
    fn a_reason_is_one_line_that_says_something(text in "\\PC{0,600}|[ .\\t\\n-]{0,9}") {
        match Override::new("no-why", &text) {
            Ok(one) => {
                prop_assert_eq!(one.reason(), text.trim());
                prop_assert!((1..=Override::REASON_CHARS).contains(&one.reason().chars().count()));
                prop_assert!(one.reason().contains(char::is_alphanumeric));
            }
            Err(_) => prop_assert!(
                !text.contains(char::is_alphanumeric)
                    || text.trim().chars().count() > Override::REASON_CHARS
                    || text.trim().contains(char::is_control)
            ),
        }
    }
}
