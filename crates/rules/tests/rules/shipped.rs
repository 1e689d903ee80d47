//! What is shipped, and how layers come together.

use std::fmt::Write;

use baton_contract::{Mark, Role, Touch};
use baton_rules::{Effect, Error, Kind, Move, RuleSet, Situation, Source, shipped};
use expect_test::expect;

use super::support::{fired, hold, ordinary, policy, twin, with_house, with_pack};

#[test]
fn the_shipped_rules() {
    let set = RuleSet::shipped().unwrap();
    let mut list = String::new();
    for rule in set.rules() {
        writeln!(list, "{:8} {:9} {:6} {}", rule.layer.to_string(), rule.kind.as_str(), rule.effect.as_str(), rule.id)
            .unwrap();
    }
    expect![[r"
        core     invariant hold   cross-product
        core     invariant hold   data-migration
        core     invariant hold   external-promise
        core     invariant deny   personal-data-leaves-region
        core     invariant hold   public-api
        core     invariant deny   secrets
        defaults default   raise  low-confidence
        defaults default   assume no-why
        defaults default   hold   out-of-scope
        defaults default   deny   over-mandate
        defaults default   assume pack-on-trial
        defaults default   raise  stale-pack
    "]]
    .assert_eq(&list);
}

#[test]
fn each_touch_and_each_mark_meets_its_rule() {
    let set = RuleSet::shipped().unwrap();
    assert_eq!(fired(&set, &ordinary()), [""; 0]);
    let touches = Touch::ALL.iter().map(|touch| {
        let situation = Situation { touches: [*touch].into(), ..ordinary() };
        (touch.as_str(), fired(&set, &situation))
    });
    let marks = Mark::ALL.iter().map(|mark| {
        let situation = Situation { marks: [*mark].into(), ..ordinary() };
        (mark.as_str(), fired(&set, &situation))
    });
    let sure = [69, 70].map(|percent| {
        let situation = Situation { confidence: Some(percent), ..ordinary() };
        (if percent < 70 { "69 %" } else { "70 %" }, fired(&set, &situation))
    });
    let mut list = String::new();
    for (fact, rules) in touches.chain(marks).chain(sure) {
        writeln!(list, "{fact}: {}", rules.join(", ")).unwrap();
    }
    expect![[r"
        secrets: secrets
        personal-data: 
        personal-data-leaves-region: personal-data-leaves-region
        public-api: public-api
        data-migration: data-migration
        external-promise: external-promise
        cross-product: cross-product
        money: 
        no-why: no-why
        stale: stale-pack
        on-trial: pack-on-trial
        out-of-scope: out-of-scope
        over-mandate: over-mandate
        69 %: low-confidence
        70 %: 
    "]]
    .assert_eq(&list);
}

#[test]
fn every_fact_can_be_asked_for() {
    let facts = [
        "context.roles.expert",
        "context.process == \"support\"",
        "context has product && context.product like \"sh*\"",
        "context.products.contains(\"shop\")",
        "context.reaches.outside",
        "context.undo.never",
        "context.touches.money && context.touches.personal_data",
        "context.marks.no_why || context.marks.stale",
        "context has confidence && context.confidence <= 40",
        "context.in_progress > 3",
        "principal == Conductor::\"bob\"",
        "resource == Twin::\"ux\"",
        "resource is Model",
    ];
    // The process is optional: a rule has to ask first whether there is one.
    let guarded = facts.map(|fact| fact.replace("context.process ==", "context has process && context.process =="));
    let rules: String =
        guarded.iter().enumerate().map(|(index, fact)| hold(&format!("fact-{index:02}"), fact)).collect();
    let set = with_house(&rules).unwrap();
    assert_eq!(fired(&set, &ordinary()), ["fact-01", "fact-02", "fact-03", "fact-11"]);
    let graver = Situation {
        conductor: "bob".parse().unwrap(),
        roles: Role::ALL.iter().copied().collect(),
        twin: None,
        process: None,
        touches: [Touch::Money, Touch::PersonalData].into(),
        marks: [Mark::Stale].into(),
        confidence: Some(40),
        in_progress: 4,
        radius: baton_contract::BlastRadius {
            reach: baton_contract::Reach::Outside,
            reversibility: baton_contract::Reversibility::Never,
        },
        ..ordinary()
    };
    let expected =
        ["00", "02", "03", "04", "05", "06", "07", "08", "09", "10", "12"].map(|name| format!("fact-{name}"));
    let house: Vec<_> = fired(&set, &graver).into_iter().filter(|name| name.starts_with("fact")).collect();
    assert_eq!(house, expected);
}

#[test]
fn a_packs_rules_stand_on_its_twin_only() {
    let set = with_pack(&hold("long-texts", "context.reaches.outside || true")).unwrap();
    assert_eq!(fired(&set, &ordinary()), ["ux/long-texts"]);
    assert_eq!(fired(&set, &Situation { twin: Some(twin("law")), ..ordinary() }), [""; 0]);
    assert_eq!(fired(&set, &Situation { twin: None, ..ordinary() }), [""; 0]);
    assert_eq!(fired(&set.without_pack(&twin("ux")), &ordinary()), [""; 0]);
    // A pack that is published anew replaces its rules.
    let again = set.with_pack(&twin("ux"), &[Source::pack(twin("ux"), "rules.cedar", hold("other", "true"))]).unwrap();
    assert_eq!(fired(&again, &ordinary()), ["ux/other"]);
    let elsewhere = Source::pack(twin("law"), "rules.cedar", "");
    assert!(matches!(set.with_pack(&twin("ux"), &[elsewhere]), Err(Error::Broken(_))));
}

#[test]
fn the_digest_names_the_rules_of_the_twin() {
    let (ux, law) = (twin("ux"), twin("law"));
    let shipped = RuleSet::shipped().unwrap();
    let own = with_pack(&hold("long-texts", "true")).unwrap();
    let both = own.with_pack(&law, &[Source::pack(law.clone(), "rules.cedar", hold("a", "true"))]).unwrap();
    assert_eq!(shipped.digest(), RuleSet::shipped().unwrap().digest());
    assert_ne!(own.digest(), shipped.digest());
    assert_ne!(both.digest(), own.digest());
    assert_ne!(own.digest_for(Some(&ux)), shipped.digest_for(Some(&ux)));
    assert_eq!(both.digest_for(Some(&ux)), own.digest_for(Some(&ux)), "another pack changes nothing for this one");
    assert_eq!(own.digest_for(None), shipped.digest_for(None));
    // Any word of a rule counts, and so do moves.
    let word = with_pack(&hold("long-texts", "true").replace("a test asks", "a tester asks")).unwrap();
    assert_ne!(word.digest_for(Some(&ux)), own.digest_for(Some(&ux)));
    let moved = RuleSet::load(&baton_rules::shipped(), &[Move::Soften("public-api".parse().unwrap())]).unwrap();
    assert_ne!(moved.digest(), shipped.digest());
}

#[test]
fn the_line_moves_by_steps_that_an_architect_has_accepted() {
    let soften = |rule: &str| Move::Soften(rule.parse().unwrap());
    let retire = |rule: &str| Move::Retire(rule.parse().unwrap());
    let load = |moves: &[Move]| RuleSet::load(&shipped(), moves);
    let set = load(&[retire("no-why"), soften("public-api"), soften("money-moves")]);
    assert_eq!(set.unwrap_err().to_string(), "`money-moves` cannot be made a default: there is no such rule");
    let set = load(&[retire("no-why"), soften("public-api")]).unwrap();
    assert!(set.get(&"no-why".parse().unwrap()).is_none());
    let rule = set.get(&"public-api".parse().unwrap()).unwrap();
    assert_eq!((rule.kind, rule.effect), (Kind::Default, Effect::Hold));
    assert!(load(&[soften("public-api"), retire("public-api")]).is_ok());
    for (wrong, expected) in [
        (retire("secrets"), "`secrets` cannot be retired: it is an invariant; it has to become a default first"),
        (soften("no-why"), "`no-why` cannot be made a default: it is a default already"),
    ] {
        assert_eq!(load(&[wrong]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn rules_that_are_loaded_move_as_if_they_had_been_loaded_so() {
    let (soften, retire) = (Move::Soften("public-api".parse().unwrap()), Move::Retire("ux/one".parse().unwrap()));
    let ux: baton_contract::TwinId = "ux".parse().unwrap();
    let mut sources = shipped();
    let two = [policy("one", "default", "hold", ""), policy("two", "default", "hold", "")].concat();
    sources.push(Source::pack(ux.clone(), "ux.cedar", two));
    let loaded = RuleSet::load(&sources, &[]).unwrap();
    let moves = [soften.clone(), retire.clone()];
    let after = loaded.with_moves(&moves).unwrap();
    assert_eq!(after.digest(), RuleSet::load(&sources, &moves).unwrap().digest());
    assert_eq!(loaded.with_moves(&[]).unwrap().digest(), loaded.digest());
    let names = |set: &RuleSet| set.rules().map(|rule| rule.id.to_string()).collect::<Vec<_>>();
    let gone: Vec<_> = names(&loaded).into_iter().filter(|name| !names(&after).contains(name)).collect();
    assert_eq!(gone, ["ux/one"]);
    // A pack whose last rule goes has none, and what a pack brings later is moved alike.
    let last = after.with_moves(&[Move::Retire("ux/two".parse().unwrap())]).unwrap();
    assert_eq!(last.digest_for(Some(&ux)), RuleSet::load(&shipped(), &[soften]).unwrap().digest_for(None));
    let again = last.with_pack(&ux, &[Source::pack(ux.clone(), "ux.cedar", policy("one", "default", "hold", ""))]);
    assert!(again.unwrap().get(&"ux/one".parse().unwrap()).is_none());
    assert!(after.with_moves(&[retire]).is_err(), "it is gone");
    let secrets = after.with_moves(&[Move::Retire("secrets".parse().unwrap())]);
    assert!(secrets.unwrap_err().to_string().contains("an invariant"));
}

#[test]
fn without_any_rule_nothing_starts() {
    let nothing = RuleSet::load(&[Source::house("empty.cedar", "// nothing yet\n")], &[]);
    assert_eq!(nothing.unwrap_err(), Error::Empty);
    assert_eq!(RuleSet::load(&[], &[]).unwrap_err(), Error::Empty);
    let only = [Source::house("one.cedar", policy("one", "default", "hold", ""))];
    let retired = RuleSet::load(&only, &[Move::Retire("one".parse().unwrap())]);
    assert_eq!(retired.unwrap_err(), Error::Empty);
    assert!(RuleSet::load(&only, &[]).is_ok());
}
