//! What must hold for any rules and any situations.

use std::collections::BTreeSet;

use baton_contract::{BlastRadius, Mark, Reach, Reversibility, Role, Touch};
use baton_rules::{RuleSet, Situation, Source, shipped};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::support::{fired, hold, ordinary, policy, twin, with_house};

fn situations() -> impl Strategy<Value = Situation> {
    let subset = |most| btree_set(select(vec!["shop", "app", "__entity", "Twin::\"ux\""]), 0..most);
    let facts = (btree_set(select(Touch::ALL), 0..4), btree_set(select(Mark::ALL), 0..4), radii());
    let asker = (select(vec!["ada", "bob"]), btree_set(select(Role::ALL), 0..3), select(vec!["", "ux", "law"]));
    let rest = (option::of(0..=100_u8), 0..5_u32, subset(3), option::of(select(vec!["shop", "app", "x"])));
    (facts, asker, rest).prop_map(
        |((touches, marks, radius), (who, roles, asked), (confidence, in_progress, products, product))| Situation {
            conductor: who.parse().unwrap(),
            roles,
            twin: asked.parse().ok(),
            product: product.map(str::to_owned),
            products: products.into_iter().map(str::to_owned).collect(),
            radius,
            touches,
            marks,
            confidence,
            in_progress,
            ..ordinary()
        },
    )
}

fn radii() -> impl Strategy<Value = BlastRadius> {
    (select(Reach::ALL), select(Reversibility::ALL))
        .prop_map(|(reach, reversibility)| BlastRadius { reach, reversibility })
}

/// Conditions of any sort, those that loading refuses among them.
fn conditions() -> impl Strategy<Value = String> {
    let atoms = select(vec![
        "context.touches.money",
        "context.touches.secrets",
        "context.reaches.products",
        "context.undo.costly",
        "context.marks.stale",
        "context.roles.expert",
        "context.in_progress > 2",
        "context.products.contains(\"shop\")",
        "(context has confidence && context.confidence < 50)",
        "principal == Conductor::\"ada\"",
        "resource == Twin::\"ux\"",
        "true",
    ]);
    atoms.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            inner.clone().prop_map(|one| format!("!{one}")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} == {other})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

/// Rules that may or may not be taken.
fn rules() -> impl Strategy<Value = Vec<String>> {
    let effect = select(vec![("default", "raise"), ("default", "deny"), ("invariant", "hold"), ("invariant", "deny")]);
    let clause = (conditions(), any::<bool>())
        .prop_map(|(condition, when)| format!("{} {{ {condition} }}", if when { "when" } else { "unless" }));
    let one = (effect, vec(clause, 0..2).prop_map(|clauses| clauses.join(" ")));
    vec(one, 1..4).prop_map(|rules| {
        let named = rules.into_iter().enumerate();
        named.map(|(index, ((kind, effect), clauses))| policy(&format!("r{index}"), kind, effect, &clauses)).collect()
    })
}

/// Those of `rules` that are taken by themselves.
fn taken(rules: &[String]) -> String {
    rules.iter().filter(|rule| with_house(rule).is_ok()).map(String::as_str).collect()
}

fn set(firing: Vec<String>) -> BTreeSet<String> {
    firing.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_added_rule_takes_none_away(rules in rules(), situation in situations()) {
        let before = RuleSet::shipped().unwrap();
        let text = taken(&rules);
        let as_pack = before.with_pack(&twin("ux"), &[Source::pack(twin("ux"), "p.cedar", &*text)]);
        for after in [with_house(&text).unwrap()].into_iter().chain(as_pack.ok()) {
            prop_assert!(set(fired(&after, &situation)).is_superset(&set(fired(&before, &situation))));
        }
    }

    #[test]
    fn a_graver_decision_meets_at_least_the_same_rules(rules in rules(), one in situations(), other in situations()) {
        let set_of_rules = with_house(&taken(&rules)).unwrap();
        let graver = Situation {
            radius: one.radius.join(other.radius),
            touches: &one.touches | &other.touches,
            marks: &one.marks | &other.marks,
            ..one.clone()
        };
        prop_assert!(set(fired(&set_of_rules, &graver)).is_superset(&set(fired(&set_of_rules, &one))));
    }

    #[test]
    fn the_order_is_fixed_and_nothing_fails(rules in rules(), situation in situations()) {
        let text = taken(&rules);
        let set = with_house(&text).unwrap();
        let firing = set.fired(&situation);
        prop_assert_eq!(&firing, &set.fired(&situation));
        prop_assert!(firing.iter().all(|rule| rule.id.as_str() != baton_rules::RuleId::ERROR));
        let order: Vec<_> = firing.iter().map(|rule| (rule.layer.clone(), rule.id.clone())).collect();
        prop_assert!(order.is_sorted());
        // The order of files changes nothing.
        let mut sources = shipped();
        sources.insert(0, Source::house("house.cedar", text));
        sources.reverse();
        prop_assert_eq!(RuleSet::load(&sources, &[]).unwrap().digest(), set.digest());
    }

    #[test]
    fn any_text_is_taken_or_refused_but_never_breaks(text in "\\PC{0,200}", rule in "[a-z(){}\\[\\]&|!\"@.:;=<> ]{0,120}") {
        for text in [text, rule.clone(), hold("a", &rule)] {
            if let Err(error) = with_house(&text) {
                let broken = matches!(error, baton_rules::Error::Broken(_));
                prop_assert!(!broken, "{}", error);
            }
        }
    }
}
