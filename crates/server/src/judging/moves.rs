//! The rules as architects have moved them.

use baton_authority::docket::line::{Change, Rulings};
use baton_rules::{Move, RuleId, RuleSet};

use crate::error::ApiError;

/// The rules with every accepted move that they still take, the first accepted first. One that they take no more is left
/// out with a word: its rule may have gone from a folder or a pack since.
pub(super) fn moved(loaded: &RuleSet, rulings: &Rulings) -> RuleSet {
    let mut rules = loaded.clone();
    for ruling in rulings.accepted() {
        let Some(wish) = move_of(&ruling.change) else { continue };
        match rules.with_moves(std::slice::from_ref(&wish)) {
            Ok(moved) => rules = moved,
            Err(error) => tracing::warn!(%error, "an accepted proposal changes nothing any more"),
        }
    }
    rules
}

/// Whether the rules take the change, before it is accepted.
///
/// # Errors
/// Says why not.
pub(crate) fn can_be_made(change: &Change, rules: &RuleSet) -> Result<(), ApiError> {
    let Some(wish) = move_of(change) else { return Ok(()) };
    rules.with_moves(&[wish]).map(drop).map_err(|error| ApiError::conflict(error.to_string()))
}

/// What a change does to the rules; nothing if it is for an expert to publish.
fn move_of(change: &Change) -> Option<Move> {
    // A name that no rule can have moves nothing.
    let id = |rule: &str| rule.parse::<RuleId>().ok();
    match change {
        Change::Demote(rule) => id(rule.as_str()).map(Move::Retire),
        Change::Shrink(rule) => id(rule.as_str()).map(Move::Soften),
        Change::Promote { .. } => None,
    }
}
