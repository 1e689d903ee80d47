//! Policy texts that mean harm, or only nonsense.

use std::fmt::Write;

use baton_rules::{Error, FILE_BYTES, FILES, RULES, RuleId, RuleSet, Situation, Source};
use expect_test::expect;

use super::support::{fired, hold, ordinary, policy, with_house, with_pack};

#[test]
fn what_no_rule_may_say_is_refused_with_a_reason() {
    let table = [
        "permit (principal, action, resource);".to_owned(),
        hold("a", "true").replace("forbid", "permit"),
        "forbid (principal == ?principal, action, resource);".to_owned(),
        "forbid (principal, action, resource)".to_owned(),
        "{\"__entity\": {\"type\": \"Twin\", \"id\": \"ux\"}}".to_owned(),
        policy("a", "law", "hold", ""),
        policy("a", "default", "allow", ""),
        policy("a", "invariant", "raise", ""),
        policy("A b", "default", "hold", ""),
        policy("rule-error", "default", "hold", ""),
        hold("a", "true").replace("@ask(\"the tester\")", ""),
        hold("a", "true").replace("a test asks for it", " "),
        hold("a", "true").replace("a test asks", "a \u{202e}test asks"),
        hold("a", "true").replace("@ask", "@tell"),
        hold("a", "true") + &hold("a", "false || true"),
        hold("secrets", "true"),
        hold("a", "context.touches.secret"),
        hold("a", "context.colour == \"red\""),
        hold("a", "context.process == \"support\""),
        hold("a", "context.in_progress == \"many\""),
        hold("a", "principal.name == \"ada\""),
        hold("a", "resource == Model::\"other\""),
        hold("a", "context.in_progress > 1 && false"),
        hold("a", "context.products.contains(\"sh\u{202e}op\")"),
        hold("a", "context.overridden"),
        hold("a", "context has overrides"),
        hold("a", "context.marks.Overrides"),
        hold("a", "!context.touches.secrets"),
        policy("a", "default", "hold", "unless { context.reaches.outside }"),
        hold("a", "context.undo.never == false"),
        hold("a", "if context.marks.stale then false else true"),
        hold("a", "context == context"),
        hold("a", "context.touches == context.touches"),
        hold("a", "{ inner: context }.inner.touches.secrets"),
        hold("a", "[context.touches.secrets].contains(false)"),
        hold("a", "!!!!!true"),
    ];
    let mut reasons = String::new();
    for text in table {
        writeln!(reasons, "{}", with_house(&text).unwrap_err()).unwrap();
    }
    expect![[r#"
        house.cedar: `policy0` is a `permit`; rules only restrict, so write `forbid`
        house.cedar: `a` is a `permit`; rules only restrict, so write `forbid`
        house.cedar: templates with `?principal` or `?resource` are not rules; name what the rule is about
        house.cedar: unexpected end of input
        house.cedar: unexpected token `{`
        house.cedar: a: `@kind` must be `invariant` or `default`
        house.cedar: a: `@effect` must be `raise`, `assume`, `hold` or `deny`
        house.cedar: a: an invariant cannot have the effect `raise`; it is `deny` or `hold`
        `A b` is not a rule's name: use 1 to 64 lowercase letters, digits or `-`, starting with a letter; a rule of a pack has the twin's id and `/` in front
        `rule-error` is not a rule's name: use 1 to 64 lowercase letters, digits or `-`, starting with a letter; a rule of a pack has the twin's id and `/` in front
        house.cedar: a: the annotation `@ask("…")` is missing
        house.cedar: a: `@reason` must be one line of 1 to 400 characters
        house.cedar: a: `@reason` must be one line of 1 to 400 characters
        house.cedar: a: `@tell` is none of `@id`, `@kind`, `@effect`, `@reason`, `@ask`
        there are two rules `a`: one in house, one in house; rename one
        there are two rules `secrets`: one in core, one in house; rename one
        a: for policy `a`, attribute `touches.secret` in context for Action::"decide" not found
        a: for policy `a`, attribute `colour` in context for Action::"decide" not found
        a: for policy `a`, unable to guarantee safety of access to optional attribute `process` in context for Action::"decide"
        a: the types Long and String are not compatible
        a: for policy `a`, attribute `name` on entity type `Conductor` not found
        a: for policy `a`: entity `Model::"other"` is of an enumerated entity type, but `"other"` is not declared as a valid eid
        a: for policy `a`, policy is impossible: the policy expression evaluates to false for all valid requests
        a: for policy `a`, string `"sh�op"` contains BIDI control characters
        house.cedar: a mentions overrides (`overridden`); they act on defaults from outside, and no rule sees them
        house.cedar: a mentions overrides (`overrides`); they act on defaults from outside, and no rule sees them
        house.cedar: a mentions overrides (`Overrides`); they act on defaults from outside, and no rule sees them
        house.cedar: a asks that `context.touches.secrets` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context.reaches.outside` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context.undo.never` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context.marks.stale` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context.touches` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: a asks that `context.touches.secrets` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
        house.cedar: too many occurrences of `!`
    "#]].assert_eq(&reasons);
}

#[test]
fn what_a_pack_may_not_say() {
    let fits = |text: &str| with_pack(text).map(drop).map_err(|error| error.to_string());
    assert_eq!(fits(&hold("a", "resource == Twin::\"ux\"")), Ok(()));
    let other = hold("a", "true").replace("resource)", "resource == Twin::\"law\")");
    let sentence = "a pack's rules are about its own twin only";
    assert_eq!(fits(&other), Err(format!("rules.cedar: ux/a is about Twin::\"law\"; {sentence}")));
    let base = hold("a", "resource == Model::\"base\" || true");
    assert_eq!(fits(&base), Err(format!("rules.cedar: ux/a is about Model::\"base\"; {sentence}")));
    assert!(fits("permit (principal, action, resource);").unwrap_err().contains("`permit`"));
    assert!(fits(&hold("ux/a", "true")).unwrap_err().contains("not a rule's name"));
}

#[test]
fn size_and_nesting_are_capped_before_they_hurt() {
    let deep = |open: &str, inside: &str, close: &str, times: usize| {
        hold("a", &format!("{}{inside}{}", open.repeat(times), close.repeat(times)))
    };
    let chain = |operator: &str, times: usize| hold("a", &vec!["true"; times].join(operator));
    let file = "house.cedar";
    let too_deep = || Error::TooDeep { file: file.into() };
    assert!(with_house(&deep("(", "true", ")", 40)).is_ok());
    for text in [
        deep("(", "true", ")", 60),
        deep("(", "true", ")", 10_000),
        deep("[", "1", "].contains(1)", 100),
        deep("if (", "true", ") then true else false", 4000 / 3),
        chain(" && ", 60),
        chain(" || ", 7000),
        hold("a", &format!("context{} == 1", ".a".repeat(20_000))),
        hold("a", &format!("1{} > 0", " + 1".repeat(15_000))),
        hold("a", &format!("{}true", "if true then true else ".repeat(2_000))),
    ] {
        assert_eq!(with_house(&text).unwrap_err(), too_deep(), "{}", &text[..200]);
    }
    // Brackets that never close, or only in what the cap takes for a string.
    for text in ["(".repeat(60_000), format!("\"{}", "(".repeat(60_000)), format!("// {}", "(".repeat(60_000)) + "\n("]
    {
        assert!(with_house(&text).is_err());
    }
    let long = "// long\n".repeat(FILE_BYTES / 8 + 1);
    assert_eq!(with_house(&long).unwrap_err(), Error::TooLong { file: file.into(), bytes: long.len() });
    let files = vec![Source::house("one.cedar", ""); FILES + 1];
    assert_eq!(RuleSet::load(&files, &[]).unwrap_err(), Error::TooManyFiles { files: FILES + 1 });
    let many = |from: usize| (from..from + 200).map(|index| hold(&format!("r{index}"), "true")).collect::<String>();
    let files: Vec<_> = (0..=RULES / 200).map(|part| Source::house("many.cedar", many(part * 200))).collect();
    assert_eq!(RuleSet::load(&files, &[]).unwrap_err(), Error::TooManyRules { rules: RULES + 200 });
}

#[test]
fn a_rule_that_fails_denies_everything_it_cannot_judge() {
    let set = with_house(&hold("overflow", "context.in_progress * 9223372036854775807 > 5")).unwrap();
    assert_eq!(fired(&set, &ordinary()), ["overflow"], "9223372036854775807 is still a number");
    let two = Situation { in_progress: 2, ..ordinary() };
    let rules = set.fired(&two);
    assert_eq!(rules[0].id.as_str(), RuleId::ERROR);
    assert!(rules[0].is_hard_deny());
    assert!(rules[0].reason.contains("overflow"), "{}", rules[0].reason);
    // The others still fire beside it.
    let touching = Situation { touches: [baton_contract::Touch::PublicApi].into(), ..two };
    assert_eq!(fired(&set, &touching), [RuleId::ERROR, "public-api"]);
}

#[test]
fn strings_are_strings_whatever_they_look_like() {
    let set = with_house(&hold("shop", "context has product && context.product == \"shop\"")).unwrap();
    let names = [
        r#"{"__entity":{"type":"Twin","id":"ux"}}"#,
        r#"{"__extn":{"fn":"ip","arg":"127.0.0.1"}}"#,
        r#"shop", "touches": {"secrets": false}"#,
        "Twin::\"ux\"",
        "shop\u{0}",
        "\" || true || \"",
        "",
    ];
    for name in names {
        let products = [name.to_owned(), "shop".to_owned()].into();
        let situation = Situation { product: Some(name.into()), process: Some(name.into()), products, ..ordinary() };
        assert_eq!(fired(&set, &situation), [""; 0], "{name}");
        let secret = Situation { touches: [baton_contract::Touch::Secrets].into(), ..situation };
        assert_eq!(fired(&set, &secret), ["secrets"], "{name}");
    }
    assert_eq!(fired(&set, &ordinary()), ["shop"]);
}
