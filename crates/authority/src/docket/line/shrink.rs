//! Invariants whose holds are always approved.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Change, Evidence, LineSettings, Proposal, distinct, is_within};
use crate::docket::{Decision, RuleId, RuleKind, Standing};

/// Proposes to make a default of each invariant that asks for approvals which are always given, in the order of their names.
///
/// Looked at are decisions that were held, in which it was the only invariant that fired, and that a person answered:
/// refused, or approved and then released as they were. An approval speaks for the proposal if it took longer than a rubber
/// stamp takes; otherwise it counts like a refusal. One that was found wrong afterwards ends the matter. An invariant that
/// denies has no approvals, so it is never proposed.
pub fn shrinkings<'a>(
    decisions: impl IntoIterator<Item = &'a Decision>,
    now: Timestamp,
    settings: &LineSettings,
) -> Vec<Proposal> {
    let wanted = &settings.shrink;
    let mut answered: BTreeMap<&RuleId, Vec<&Decision>> = BTreeMap::new();
    for decision in decisions.into_iter().filter(|one| is_within(one, wanted.window, now)) {
        if let (Some(rule), true) = (only_invariant(decision), was_answered(decision)) {
            answered.entry(rule).or_default().push(decision);
        }
    }
    let proposals = answered.into_iter().filter_map(|(rule, answered)| {
        if answered.iter().any(|decision| decision.found_wrong().is_some()) {
            return None;
        }
        let considered = |decision: &Decision| {
            decision.released().is_some() && decision.looked_at().is_some_and(|time| time >= wanted.rubber_stamp)
        };
        let approved: Vec<_> = answered.iter().copied().filter(|decision| considered(decision)).collect();
        let approvers = distinct(approved.iter().filter_map(|decision| Some(&decision.approval()?.by)));
        let evidence = Evidence::of(answered, &approved, settings.z)?;
        let enough = evidence.decisions.len() >= wanted.answered
            && evidence.conductors >= wanted.conductors
            && approvers >= wanted.approvers
            && evidence.last.duration_since(evidence.first) >= wanted.span
            && evidence.lower_bound > wanted.above;
        enough.then(|| Proposal { change: Change::Shrink(rule.clone()), evidence })
    });
    proposals.collect()
}

fn only_invariant(decision: &Decision) -> Option<&RuleId> {
    let mut invariants = decision.opening().fired.iter().filter(|fired| fired.kind == RuleKind::Invariant);
    let only = invariants.next()?;
    invariants.next().is_none().then_some(&only.rule)
}

fn was_answered(decision: &Decision) -> bool {
    let released = decision.released().is_some() && decision.approval().is_some();
    decision.was_held() && (released || decision.standing() == Standing::Refused)
}
