//! Who asks what, with which blast radius, overrides and spaces, stale or fresh; and what comes out.

use baton_authority::judge;
use expect_test::expect;

use super::house::House;

/// Situation, and outcome: the tier or a denial, the space, the rules that stand. Phrases are read by [`House::read`].
const TABLE: &[(&str, &str)] = &[
    // The blast radius by itself.
    ("caller task/minutes", "tier 1"),
    ("caller task/costly", "tier 1"),
    ("caller task/never", "tier 2"),
    ("caller product/minutes", "tier 1"),
    ("caller product/costly", "tier 2"),
    ("caller product/never", "tier 3"),
    ("caller products/minutes", "tier 2"),
    ("caller products/costly", "tier 3"),
    ("caller outside/minutes, asks law", "tier 2"),
    ("caller outside/never, asks law", "tier 3"),
    // Each of the three can raise; none can lower what another asks for.
    ("caller task/minutes, twin product/costly", "tier 2"),
    ("caller task/minutes, pack product/never", "tier 3"),
    ("caller product/never, twin task/minutes, pack task/minutes", "tier 3"),
    ("caller products/minutes, twin task/costly", "tier 3"),
    ("caller task/minutes, caller wants check-first", "tier 3"),
    ("caller task/minutes, twin wants assume", "tier 2"),
    ("caller product/never, pack wants decide", "tier 3"),
    // Nobody states a radius: a twin's reading does not stand in for it.
    ("process support", "tier 2"),
    ("twin task/minutes", "tier 2"),
    ("twin product/never", "tier 3"),
    ("pack task/minutes", "tier 1"),
    // The core: deny and hold, whoever notices.
    ("caller task/minutes, caller touches secrets", "denied, secrets"),
    ("caller task/minutes, twin touches secrets", "denied, secrets"),
    ("caller task/minutes, pack touches personal-data-leaves-region", "denied, personal-data-leaves-region"),
    ("caller task/minutes, twin touches public-api", "tier 3, public-api"),
    ("caller task/minutes, pack touches data-migration", "tier 3, data-migration"),
    ("caller task/minutes, caller touches external-promise", "tier 3, external-promise"),
    ("caller task/minutes, product shop, and app", "tier 3, cross-product"),
    ("caller task/minutes, caller touches personal-data", "tier 1"),
    ("caller task/minutes, twin touches secrets, twin touches public-api", "denied, public-api, secrets"),
    ("asks base, caller task/minutes, caller touches secrets", "denied, secrets"),
    // Defaults.
    ("caller task/minutes, no-why", "tier 2, no-why"),
    ("caller product/never, no-why", "tier 3, no-why"),
    ("caller task/minutes, stale", "tier 2, stale-pack"),
    ("caller product/costly, stale", "tier 3, stale-pack"),
    ("caller task/minutes, sure 69", "tier 2, low-confidence"),
    ("caller task/minutes, sure 70", "tier 1"),
    ("caller task/minutes, stale, sure 20, no-why", "tier 2, low-confidence, no-why, stale-pack"),
    ("caller task/minutes, on-trial", "tier 2, pack-on-trial"),
    ("caller task/minutes, out-of-scope", "tier 3, out-of-scope"),
    // Roles and mandates.
    ("by mary, caller task/minutes", "tier 1"),
    ("by eve, caller product/costly, process copy, product shop", "tier 1, in ux/small-copy"),
    ("by eve, caller task/minutes, process copy, product app", "denied until overridden, over-mandate"),
    ("by eve, caller task/minutes, process support, product shop", "denied until overridden, over-mandate"),
    ("by eve, caller task/minutes", "denied until overridden, over-mandate"),
    // The installation's rules and the pack's.
    ("caller task/minutes, twin touches money", "tier 3, money"),
    ("caller task/minutes, busy 10", "tier 3, no-more-than-nine"),
    ("caller outside/minutes", "tier 2, ux/outsiders-read-it"),
    ("caller task/minutes, process contracts", "denied, ux/legal-text"),
    ("caller task/minutes, process contracts, asks law", "tier 1"),
    // Overrides: one reason takes one default away, for this once.
    ("caller task/minutes, no-why, override no-why it is only a draft", "tier 1"),
    ("caller product/costly, stale, override stale-pack the limits have not changed", "tier 2"),
    ("caller product/never, no-why, override no-why it is only a draft", "tier 3"),
    ("caller task/minutes, on-trial, override pack-on-trial I can judge this myself", "tier 1"),
    ("caller task/minutes, stale, sure 20, override stale-pack nothing has changed", "tier 2, low-confidence"),
    ("caller task/minutes, twin touches money, override money it is a test account", "tier 1"),
    (
        "by eve, caller task/minutes, process copy, product app, override over-mandate I stand in for ada this week",
        "tier 1",
    ),
    ("caller task/minutes, twin touches secrets, no-why, override no-why a draft", "denied, secrets"),
    // What no override can do.
    (
        "caller task/minutes, twin touches secrets, override secrets I know what I do",
        "refused: `secrets` is an invariant and has no appeal. The decision touches passwords, keys or tokens in the \
         clear; those never pass through a twin. Ask: the owner of the secret, and security to have it replaced.",
    ),
    (
        "caller task/minutes, override public-api nobody uses it",
        "refused: `public-api` is an invariant and has no appeal. The decision changes a contract that outsiders build \
         on; it cannot be taken back once they do. Ask: the expert of the twin, and the owner of the interface.",
    ),
    (
        "caller task/minutes, override no-why it is a draft",
        "refused: `no-why` does not stand on this decision, so there is nothing to override; leave it out",
    ),
    ("caller task/minutes, override no-wy it is a draft", "refused: there is no rule `no-wy`"),
    (
        "caller task/minutes, no-why, override no-why",
        "refused: say why `no-why` should not stand here: an override needs one reason",
    ),
    (
        "caller task/minutes, no-why, override no-why a draft, override no-why really",
        "refused: `no-why` is overridden twice in one request; once is enough",
    ),
    // Inside a decision space of the expert, and just outside of it.
    ("caller product/costly, process copy, product shop", "tier 1, in ux/small-copy"),
    ("caller product/costly, process copy, product app, no-why, stale, sure 20", "tier 1, in ux/small-copy"),
    ("caller task/minutes, twin product/costly, process copy, product shop", "tier 1, in ux/small-copy"),
    ("caller task/minutes, process copy, product shop, twin touches money", "tier 1, in ux/small-copy"),
    ("caller product/never, process copy, product shop", "tier 3"),
    ("caller product/costly, process support, product shop", "tier 2"),
    ("caller product/costly, process copy, product wiki", "tier 2"),
    ("caller product/costly, process copy", "tier 2"),
    ("caller product/costly, process copy, product shop, asks law", "tier 2"),
    ("caller product/costly, process copy, product shop, on 2027-01-01", "tier 2"),
    ("twin task/minutes, process copy, product shop", "tier 2"),
    ("caller product/costly, process copy, product shop, twin touches personal-data", "tier 2"),
    // An invariant stands there as everywhere, and so does a tier that was asked for outright.
    ("caller task/minutes, process copy, product shop, twin touches public-api", "tier 3, public-api"),
    ("caller task/minutes, process copy, product shop, busy 10", "tier 3, in ux/small-copy, no-more-than-nine"),
    ("caller task/minutes, process copy, product shop, and app", "tier 3, cross-product"),
    ("caller task/minutes, caller wants check-first, process copy, product shop", "tier 3, in ux/small-copy"),
    // What an expert cannot hand over.
    ("caller product/costly, process copy, product shop, on-trial", "tier 2, pack-on-trial"),
    ("caller task/minutes, process copy, product shop, out-of-scope", "tier 3, out-of-scope"),
    ("by eve, caller task/minutes, process copy, product app", "denied until overridden, over-mandate"),
    // Names that look like something else are names.
    ("caller task/minutes, caller touches secrets, product \"__entity\"", "denied, secrets"),
    ("caller task/minutes, process {\"touches\":{\"secrets\":false}}, caller touches secrets", "denied, secrets"),
];

#[test]
fn each_situation_has_its_outcome() {
    let house = House::new();
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|(situation, expected)| (situation, house.outcome(situation), expected))
        .filter(|(_, found, expected)| found != *expected)
        .collect();
    assert!(wrong.is_empty(), "situation, found, expected: {wrong:#?}");
    assert!(TABLE.len() >= 60);
}

#[test]
fn a_ruling_says_why() {
    let house = House::new();
    let words = |situation: &str| {
        let asked = House::read(situation);
        let overrides: Vec<_> =
            asked.overrides.iter().map(|(rule, why)| baton_authority::Override::new(rule, why)).collect();
        let overrides: Vec<_> = overrides.into_iter().map(Result::unwrap).collect();
        judge(&asked.facts, &overrides, house.standards(asked.today)).unwrap().words().join("\n")
    };
    let held = words(
        "caller products/minutes, twin task/costly, twin touches public-api, stale, no-why, override no-why a draft",
    );
    expect![[r"
        Tier 3, check first: it is held until a person approves.
        A mistake would reach: products. To undo it: costly.
        The caller's statement asks for tier 2.
        The twin's own reading asks for tier 1.
        Taken together, they ask for tier 3.
        `public-api` (invariant, hold): The decision changes a contract that outsiders build on; it cannot be taken back once they do. Ask: the expert of the twin, and the owner of the interface.
        `no-why` (default, assume) is overridden: a draft
        `stale-pack` (default, raise): The pack is past its review-by date; what it says may no longer be true. Ask: the expert of the twin, who can review and renew the pack."]].assert_eq(&held);
    let free = words("caller product/costly, process copy, product shop, stale");
    expect![[r"
        Tier 1, decide: it goes ahead.
        A mistake would reach: product. To undo it: costly.
        It lies in the decision space `ux/small-copy`, so its blast radius asks nobody.
        `stale-pack` (default, raise) is answered by `ux/small-copy`."]]
    .assert_eq(&free);
    expect![[r"
        Denied: nobody can release it.
        A mistake would reach: product. To undo it: costly.
        Neither caller nor pack states how far a mistake would travel, which asks for tier 2.
        `secrets` (invariant, deny): The decision touches passwords, keys or tokens in the clear; those never pass through a twin. Ask: the owner of the secret, and security to have it replaced."]].assert_eq(&words("twin touches secrets"));
}
