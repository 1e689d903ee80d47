//! What was found about one decision.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use baton_contract::{BlastRadius, Digest, Mark, Tier, Touch};
use baton_rules::{Effect, Kind, Rule, RuleId};

use crate::SpaceId;

/// The checking that one decision needs, and everything that led there. Only [`crate::judge`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    pub(crate) tier: Tier,
    pub(crate) radius: BlastRadius,
    pub(crate) touches: BTreeSet<Touch>,
    pub(crate) marks: BTreeSet<Mark>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) space: Option<SpaceId>,
    pub(crate) rules: Digest,
}

/// Who asked for which tier. The highest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: Source,
    /// At least this tier.
    pub tier: Tier,
}

/// Somebody or something that asks for a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The caller's statement.
    Caller,
    /// The twin's own reading.
    Twin,
    /// The pack's limits.
    Pack,
    /// The blast radius that nobody stated: neither caller nor pack.
    Unstated,
    /// The radii of all, joined fact by fact; it can ask for more than each of them.
    Together,
    /// A rule that stands.
    Rule(RuleId),
}

/// A rule whose condition holds on a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Whether it counts.
    pub standing: Standing,
}

/// Whether a rule that has fired counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Stands,
    /// The conductor has overridden it, with this reason.
    Overridden(String),
    /// The decision lies in a space that its expert has handed over.
    Answered(SpaceId),
}

/// What happens with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It is checked as its tier says.
    Tier(Tier),
    /// It is not released until the defaults that deny it are overridden.
    DeniedUntilOverridden,
    /// It is never released: not by approval, not by an override.
    Denied,
}

impl Ruling {
    /// What happens with the decision.
    pub fn outcome(&self) -> Outcome {
        if self.denied_by().any(Rule::is_hard_deny) {
            Outcome::Denied
        } else if self.denied_by().next().is_some() {
            Outcome::DeniedUntilOverridden
        } else {
            Outcome::Tier(self.tier)
        }
    }

    /// The tier, whether or not the decision is denied as well.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// How far a mistake would travel, with all heard.
    pub fn radius(&self) -> BlastRadius {
        self.radius
    }

    /// Ground that it touches, with all heard.
    pub fn touches(&self) -> &BTreeSet<Touch> {
        &self.touches
    }

    /// What it is marked with.
    pub fn marks(&self) -> &BTreeSet<Mark> {
        &self.marks
    }

    /// Who asked for which tier: caller, twin, pack, all of them together, then rules in their order.
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The tier that is asked for without any rule.
    pub fn least(&self) -> Tier {
        let stated = self.asked.iter().filter(|asked| !matches!(asked.by, Source::Rule(_)));
        stated.map(|asked| asked.tier).max().unwrap_or(Tier::Decide)
    }

    /// The tier that a rule asks for, if it stands and asks for one.
    pub fn asked_by(&self, rule: &RuleId) -> Option<Tier> {
        self.asked.iter().find(|asked| matches!(&asked.by, Source::Rule(id) if id == rule)).map(|asked| asked.tier)
    }

    /// Every rule that fired, in the order of the rule set, those that do not count among them.
    pub fn fired(&self) -> &[Fired] {
        &self.fired
    }

    /// The rules that fired and count.
    pub fn standing(&self) -> impl Iterator<Item = &Rule> {
        self.fired.iter().filter(|fired| fired.standing == Standing::Stands).map(|fired| &*fired.rule)
    }

    /// The rules that deny it.
    pub fn denied_by(&self) -> impl Iterator<Item = &Rule> {
        self.standing().filter(|rule| rule.effect == Effect::Deny)
    }

    /// The defaults that count and that the conductor could override.
    pub fn overridable(&self) -> impl Iterator<Item = &Rule> {
        self.standing().filter(|rule| rule.kind == Kind::Default)
    }

    /// The space that it lies in, if it lies in one.
    pub fn space(&self) -> Option<&SpaceId> {
        self.space.as_ref()
    }

    /// The digest of the rules that it was judged by.
    pub fn rules(&self) -> Digest {
        self.rules
    }

    /// Why, for a person: the outcome first, then one line for each reason.
    pub fn words(&self) -> Vec<String> {
        let mut lines = vec![self.outcome().to_string()];
        let BlastRadius { reach, reversibility } = self.radius;
        lines.push(format!("A mistake would reach: {reach}. To undo it: {reversibility}."));
        for Asked { by, tier } in &self.asked {
            let number = tier.number();
            match by {
                Source::Caller => lines.push(format!("The caller's statement asks for tier {number}.")),
                Source::Twin => lines.push(format!("The twin's own reading asks for tier {number}.")),
                Source::Pack => lines.push(format!("The pack's limits ask for tier {number}.")),
                Source::Unstated => lines.push(format!(
                    "Neither caller nor pack states how far a mistake would travel, which asks for tier {number}."
                )),
                Source::Together => lines.push(format!("Taken together, they ask for tier {number}.")),
                // Said with the rule itself, below.
                Source::Rule(_) => {}
            }
        }
        if let Some(space) = &self.space {
            lines.push(format!("It lies in the decision space `{space}`, so its blast radius asks nobody."));
        }
        lines.extend(self.fired.iter().map(Fired::words));
        lines
    }
}

impl Fired {
    fn words(&self) -> String {
        let Rule { id, kind, effect, reason, ask, .. } = &*self.rule;
        match &self.standing {
            Standing::Stands => format!("`{id}` ({kind}, {effect}): {reason} Ask: {ask}."),
            Standing::Overridden(why) => format!("`{id}` ({kind}, {effect}) is overridden: {why}"),
            Standing::Answered(space) => format!("`{id}` ({kind}, {effect}) is answered by `{space}`."),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tier(Tier::Decide) => "Tier 1, decide: it goes ahead.",
            Self::Tier(Tier::Assume) => "Tier 2, assume: it goes ahead and is checked afterwards.",
            Self::Tier(Tier::CheckFirst) => "Tier 3, check first: it is held until a person approves.",
            Self::DeniedUntilOverridden => "Denied, until what denies it is overridden with a reason.",
            Self::Denied => "Denied: nobody can release it.",
        })
    }
}
