//! Situations and policies to test with.

use baton_contract::{BlastRadius, Role, TwinId};
use baton_rules::{Error, RuleSet, Situation, Source, shipped};

/// An ordinary question of `ada` to the twin `ux`, on which no shipped rule stands.
pub(crate) fn ordinary() -> Situation {
    Situation {
        conductor: "ada".parse().unwrap(),
        roles: [Role::Conductor].into(),
        twin: Some("ux".parse().unwrap()),
        process: Some("support".into()),
        product: Some("shop".into()),
        products: ["shop".to_owned()].into(),
        radius: BlastRadius::SMALLEST,
        touches: [].into(),
        marks: [].into(),
        confidence: Some(95),
        in_progress: 1,
    }
}

pub(crate) fn twin(id: &str) -> TwinId {
    id.parse().unwrap()
}

/// A default that is held where `condition` holds.
pub(crate) fn hold(id: &str, condition: &str) -> String {
    policy(id, "default", "hold", &format!("when {{ {condition} }}"))
}

pub(crate) fn policy(id: &str, kind: &str, effect: &str, clauses: &str) -> String {
    format!(
        "@id({id:?}) @kind({kind:?}) @effect({effect:?}) @reason(\"a test asks for it\") @ask(\"the tester\")\n\
         forbid (principal, action, resource) {clauses};\n"
    )
}

/// The shipped rules and `text` as the house's own.
pub(crate) fn with_house(text: &str) -> Result<RuleSet, Error> {
    let mut sources = shipped();
    sources.push(Source::house("house.cedar", text));
    RuleSet::load(&sources, &[])
}

/// The shipped rules and `text` as rules of the pack `ux`.
pub(crate) fn with_pack(text: &str) -> Result<RuleSet, Error> {
    RuleSet::shipped()?.with_pack(&twin("ux"), &[Source::pack(twin("ux"), "rules.cedar", text)])
}

/// The names of the rules that fire.
pub(crate) fn fired(set: &RuleSet, situation: &Situation) -> Vec<String> {
    set.fired(situation).iter().map(|rule| rule.id.to_string()).collect()
}
