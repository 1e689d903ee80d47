//! From facts to the checking that a decision needs.

use baton_contract::Tier;
use baton_rules::{Effect, Kind, Rule, RuleSet, Situation};
use jiff::civil::Date;

use crate::ruling::{Asked, Fired, Ruling, Source, Standing};
use crate::{Confidence, DecisionSpace, Facts, Override, OverrideError, UNSTATED, overrides};

/// What a decision is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Standards<'a> {
    /// The rules of the installation.
    pub rules: &'a RuleSet,
    /// What experts have handed over; of several that cover a decision, the first counts.
    pub spaces: &'a [DecisionSpace],
    /// The day, on which a space may be over.
    pub today: Date,
}

/// Finds the checking that a decision needs.
///
/// The tier is the highest of what asks for one: the blast radius as caller, twin and pack state it, joined fact by
/// fact; a tier that one of them asks for outright; and the rules that fire. `assume` asks for tier 2, `hold` for tier
/// 3, `raise` for one tier above what caller, twin and pack ask for: rules do not raise each other. Nothing lowers a
/// tier. An override takes one default out of this one evaluation; a decision space answers in advance what an expert
/// would be asked ([`crate::space`]). Neither touches an invariant.
///
/// # Errors
/// An override names an invariant, no rule, or one that has not fired. Nothing is judged then.
pub fn judge(facts: &Facts, overrides: &[Override], by: Standards<'_>) -> Result<Ruling, OverrideError> {
    let twin = facts.target.twin();
    let fired = by.rules.fired(&situation(facts));
    overrides::check(
        overrides,
        |id| fired.iter().find(|rule| rule.id == *id).map(|rule| &**rule),
        |id| by.rules.get(id).map(|rule| &**rule),
    )?;
    let space = by.spaces.iter().find(|space| space.covers(facts, by.today)).map(|space| space.id().clone());
    let standing = |rule: &Rule| {
        let reason = overrides.iter().find(|one| *one.rule() == rule.id).map(|one| one.reason().to_owned());
        match (reason, &space, rule.kind) {
            (Some(reason), ..) => Standing::Overridden(reason),
            (None, Some(space), Kind::Default) => Standing::Answered(space.clone()),
            (None, ..) => Standing::Stands,
        }
    };
    let mut asked = stated(facts, space.is_some());
    let base = highest(&asked);
    let fired: Vec<_> = fired.into_iter().map(|rule| Fired { standing: standing(&rule), rule }).collect();
    asked.extend(fired.iter().filter(|fired| fired.standing == Standing::Stands).filter_map(|fired| {
        let by = Source::Rule(fired.rule.id.clone());
        asks(&fired.rule, base).map(|tier| Asked { by, tier })
    }));
    Ok(Ruling {
        tier: highest(&asked),
        radius: facts.radius(),
        touches: facts.touches(),
        marks: facts.marks.clone(),
        asked,
        fired,
        space,
        rules: by.rules.digest_for(twin),
    })
}

/// What caller, twin and pack ask for. Inside a space their radii ask for nothing; a tier asked for outright does.
fn stated(facts: &Facts, inside: bool) -> Vec<Asked> {
    let mut asked = Vec::new();
    for (by, reading) in [(Source::Caller, &facts.caller), (Source::Twin, &facts.twin), (Source::Pack, &facts.pack)] {
        let radius = reading.radius.filter(|_| !inside).map(baton_contract::BlastRadius::tier);
        if let Some(tier) = radius.max(reading.tier) {
            asked.push(Asked { by, tier });
        }
    }
    if inside {
        return asked;
    }
    if facts.caller.radius.is_none() && facts.pack.radius.is_none() {
        asked.push(Asked { by: Source::Unstated, tier: UNSTATED.tier() });
    }
    let together = facts.radius().tier();
    if together > highest(&asked) {
        asked.push(Asked { by: Source::Together, tier: together });
    }
    asked
}

/// The tier that a rule asks for, if it asks for one.
fn asks(rule: &Rule, base: Tier) -> Option<Tier> {
    match rule.effect {
        Effect::Raise => Some(base.raised()),
        Effect::Assume => Some(Tier::Assume),
        Effect::Hold => Some(Tier::CheckFirst),
        Effect::Deny => None,
    }
}

fn highest(asked: &[Asked]) -> Tier {
    asked.iter().map(|asked| asked.tier).max().unwrap_or(Tier::Decide)
}

fn situation(facts: &Facts) -> Situation {
    Situation {
        conductor: facts.conductor.clone(),
        roles: facts.roles.clone(),
        twin: facts.target.twin().cloned(),
        process: facts.ground.process.clone(),
        product: facts.ground.product.clone(),
        products: facts.ground.products(),
        radius: facts.radius(),
        touches: facts.touches(),
        marks: facts.marks.clone(),
        confidence: facts.confidence.map(Confidence::percent),
        in_progress: facts.in_progress,
    }
}
