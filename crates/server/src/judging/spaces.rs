//! The ground that a pack hands over, as the rules take it.

use std::collections::BTreeSet;

use baton_authority::{Cleared, DecisionSpace, SpaceDraft, SpaceError};
use baton_pack::{Pack, Space};
use baton_rules::RuleSet;

/// The decision spaces of a pack, in their order, each checked under the rules of the installation.
///
/// # Errors
/// Each for itself: the ground is not one that can be handed over.
pub fn hand_over(pack: &Pack, rules: &RuleSet) -> Vec<Result<DecisionSpace, SpaceError>> {
    let draft = |space: &Space| SpaceDraft {
        twin: pack.id().clone(),
        key: space.key.clone(),
        conductors: cleared(space.conductors.as_ref()),
        processes: cleared(space.processes.as_ref()),
        products: cleared(space.products.as_ref()),
        touches: space.touches.clone(),
        largest: space.largest,
        until: space.until,
        note: space.note.clone(),
    };
    pack.manifest().spaces.iter().map(|space| DecisionSpace::hand_over(draft(space), rules)).collect()
}

fn cleared<T: Clone>(listed: Option<&BTreeSet<T>>) -> Cleared<T> {
    listed.map_or(Cleared::All, |listed| Cleared::Only(listed.iter().cloned().collect()))
}
