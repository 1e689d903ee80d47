//! The checking that cases' stated ground gets, by the shipped rules and the pack's own.

use std::collections::BTreeSet;

use anyhow::Result;
use baton_authority::{Facts, Ground, Outcome, Reading, Standards, Target, judge};
use baton_contract::{Mark, Tier};
use baton_pack::{Case, Pack};
use baton_rules::RuleSet;

use super::Verdict;
use crate::packs::today;
use crate::rules;

/// Finds tiers for the cases of one pack.
pub(super) struct Tiers<'a> {
    pub(super) pack: &'a Pack,
    rules: RuleSet,
}

impl<'a> Tiers<'a> {
    /// # Errors
    /// The pack's rules are faulty, which `baton twin check` tells.
    pub(super) fn new(pack: &'a Pack) -> Result<Self> {
        Ok(Self { pack, rules: rules::of(pack)? })
    }

    /// Whether a decision on what the case states gets at least this checking. What is denied gets more than any tier.
    /// Decision spaces are left aside: a case says what holds for whoever asks.
    pub(super) fn verdict(&self, case: &Case, least: Tier) -> Verdict {
        let by = Standards { rules: &self.rules, spaces: &[], today: today() };
        let ruling = match self.facts(case).map(|facts| judge(&facts, &[], by)) {
            Ok(Ok(ruling)) => ruling,
            Ok(Err(error)) => return Verdict::NotRun(error.to_string()),
            Err(error) => return Verdict::NotRun(error.to_string()),
        };
        match ruling.outcome() {
            Outcome::Tier(tier) if tier < least => Verdict::NotMet(Some(format!("it gets `{tier}`"))),
            Outcome::Tier(_) | Outcome::DeniedUntilOverridden | Outcome::Denied => Verdict::Met,
        }
    }

    fn facts(&self, case: &Case) -> Result<Facts> {
        let decisions = &self.pack.manifest().decisions;
        let (stated, topic) = (&case.stated, case.stated.topic.as_deref());
        let mut marks = BTreeSet::new();
        if case.why.is_none() {
            marks.insert(Mark::NoWhy);
        }
        // A pack that declares nothing has said nothing.
        if !decisions.touches.is_empty() && !stated.touches.is_subset(&decisions.touches) {
            marks.insert(Mark::OutOfScope);
        }
        Ok(Facts {
            conductor: "trial".parse()?,
            roles: BTreeSet::new(),
            target: Target::Twin(self.pack.id().clone()),
            ground: Ground::of(&case.intent()),
            caller: Reading { radius: stated.radius, touches: stated.touches.clone(), tier: None },
            twin: Reading::default(),
            pack: Reading { radius: decisions.least(topic), touches: decisions.touched(topic), tier: None },
            marks,
            confidence: None,
            in_progress: 1,
        })
    }
}
