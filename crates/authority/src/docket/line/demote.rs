//! Defaults that people keep overriding.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Change, Evidence, LineSettings, Proposal, is_within};
use crate::docket::{Decision, RuleId, RuleKind};

/// Proposes to let go of each default that is overridden again and again, in the order of their names.
///
/// Every decision in which a default fired is looked at; those for which it was overridden speak for the proposal.
pub fn demotions<'a>(
    decisions: impl IntoIterator<Item = &'a Decision>,
    now: Timestamp,
    settings: &LineSettings,
) -> Vec<Proposal> {
    let wanted = &settings.demote;
    let mut firings: BTreeMap<&RuleId, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions.into_iter().filter(|one| is_within(one, wanted.window, now)) {
        let defaults = decision.opening().fired.iter().filter(|fired| fired.kind == RuleKind::Default);
        defaults.for_each(|fired| firings.entry(&fired.rule).or_default().push(decision));
    }
    let proposals = firings.into_iter().filter_map(|(rule, fired)| {
        let overridden: Vec<_> = fired.iter().copied().filter(|decision| decision.overrode(rule)).collect();
        let evidence = Evidence::of(fired, &overridden, settings.z)?;
        let enough = evidence.decisions.len() >= wanted.firings
            && evidence.conductors >= wanted.conductors
            && evidence.lower_bound > wanted.above;
        enough.then(|| Proposal { change: Change::Demote(rule.clone()), evidence })
    });
    proposals.collect()
}
