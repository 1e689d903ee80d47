//! The wire types of proposals and of what architects say to them.

use baton_authority::docket::line::{Change, Ruling};
use serde::Serialize;

use crate::reports::ProposalBody;

#[derive(Debug, Serialize)]
pub(crate) struct List {
    object: &'static str,
    /// What waits for an architect.
    data: Vec<ProposalBody>,
    /// The last word on every change that was ruled on.
    rulings: Vec<RulingBody>,
}

/// What an architect said to a proposal.
#[derive(Debug, Serialize)]
pub(crate) struct RulingBody {
    /// Of the proposal.
    id: String,
    object: &'static str,
    /// `demote`, `promote` or `shrink`.
    change: &'static str,
    /// For a person.
    words: String,
    accepted: bool,
    /// Whether it took back that the change was accepted.
    restored: bool,
    by: String,
    at: String,
    /// Null if it was erased.
    reason: Option<String>,
    /// What follows from it.
    effect: String,
    /// The decision space that an accepted promotion suggests, for a pack's `twin.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<String>,
}

impl List {
    pub(super) fn new(data: Vec<ProposalBody>, rulings: Vec<RulingBody>) -> Self {
        Self { object: "list", data, rulings }
    }
}

impl RulingBody {
    pub(super) fn new(ruling: &Ruling) -> Self {
        Self {
            id: ruling.change.id(),
            object: "proposal.ruling",
            change: ruling.change.word(),
            words: ruling.change.to_string(),
            accepted: ruling.accepted,
            restored: ruling.restores,
            by: ruling.by.to_string(),
            at: ruling.at.to_string(),
            reason: ruling.reason.text().map(str::to_owned),
            effect: effect(ruling),
            draft: None,
        }
    }

    pub(super) fn with_draft(self, draft: Option<String>) -> Self {
        Self { draft, ..self }
    }
}

fn effect(ruling: &Ruling) -> String {
    match &ruling.change {
        Change::Demote(rule) if ruling.restores => format!("`{rule}` stands again, as a default"),
        Change::Shrink(rule) if ruling.restores => format!("`{rule}` is an invariant again"),
        _ if !ruling.accepted => "everything stays as it is".to_owned(),
        Change::Demote(rule) => format!("`{rule}` stands on no decision any more"),
        Change::Shrink(rule) => {
            format!("`{rule}` is a default: a conductor overrides it for one decision with one reason")
        }
        Change::Promote { twin, .. } => {
            format!("nothing yet: the expert of `{twin}` can publish a decision space in the twin's pack")
        }
    }
}
