//! What architects said to proposals.

use std::collections::{BTreeMap, BTreeSet};

use baton_contract::ConductorId;
use jiff::Timestamp;

use super::{Change, LineSettings, Proposal};
use crate::docket::{DecisionId, Words, WordsError};

/// An architect's answer to a proposal. It is recorded before it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The change that was proposed.
    pub change: Change,
    /// Whether it shall be made.
    pub accepted: bool,
    /// Whether it takes back that the change was accepted; then it is not.
    pub restores: bool,
    /// The architect.
    pub by: ConductorId,
    /// Why.
    pub reason: Words,
    /// The decisions that the proposal rested on.
    pub decisions: Vec<DecisionId>,
    /// When.
    pub at: Timestamp,
}

/// Why there is no ruling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRuled {
    /// Somebody was first.
    #[error("`{by}` has ruled on this at {at}, and since then the evidence has changed little")]
    Ruled {
        /// Who.
        by: ConductorId,
        /// When.
        at: Timestamp,
    },
    /// There is nothing to take back.
    #[error("`{0}` is not in force: only a demotion or a shrinking that was accepted can be taken back")]
    NotInForce(String),
    /// A reason is needed.
    #[error("the reason is refused: {0}")]
    Reason(#[from] WordsError),
}

/// The last ruling on each change.
///
/// A proposal that was ruled on, either way, is not made again until as much of its evidence is new as the settings ask for.
/// As for a docket, the caller holds one lock from [`Rulings::rule`] to [`Rulings::apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulings(BTreeMap<Change, Ruling>);

impl Rulings {
    /// Checks an architect's answer to a proposal and gives the event to record. Who is an architect is for the caller to
    /// know.
    ///
    /// # Errors
    /// No reason is given, or the proposal was ruled on and its evidence has changed little.
    pub fn rule(
        &self,
        proposal: &Proposal,
        accepted: bool,
        (by, reason): (&ConductorId, Words),
        at: Timestamp,
        settings: &LineSettings,
    ) -> Result<Ruling, NotRuled> {
        reason.text().ok_or(WordsError::Blank)?;
        if let Some(ruling) = self.standing(proposal, settings) {
            return Err(NotRuled::Ruled { by: ruling.by.clone(), at: ruling.at });
        }
        let (change, decisions) = (proposal.change.clone(), proposal.evidence.decisions.clone());
        Ok(Ruling { change, accepted, restores: false, by: by.clone(), reason, decisions, at })
    }

    /// Takes back that the change `id` was accepted, and gives the event to record: the rule stands again as it was loaded.
    /// The change is proposed again as after a refusal, when enough new speaks for it.
    ///
    /// # Errors
    /// No reason is given, or no change of a rule of that name is in force.
    pub fn restore(&self, id: &str, (by, reason): (&ConductorId, Words), at: Timestamp) -> Result<Ruling, NotRuled> {
        reason.text().ok_or(WordsError::Blank)?;
        let moves = |ruling: &&Ruling| {
            ruling.accepted && !matches!(ruling.change, Change::Promote { .. }) && ruling.change.id() == id
        };
        let ruling = self.all().find(moves).ok_or_else(|| NotRuled::NotInForce(id.chars().take(40).collect()))?;
        let (change, decisions) = (ruling.change.clone(), ruling.decisions.clone());
        Ok(Ruling { change, accepted: false, restores: true, by: by.clone(), reason, decisions, at })
    }

    /// Lets a recorded ruling count. Thresholds may have changed since, so every recorded one fits.
    pub fn apply(&mut self, ruling: &Ruling) {
        self.0.insert(ruling.change.clone(), ruling.clone());
    }

    /// Those of `proposals` that wait for a ruling.
    pub fn open(&self, proposals: Vec<Proposal>, settings: &LineSettings) -> Vec<Proposal> {
        proposals.into_iter().filter(|proposal| self.standing(proposal, settings).is_none()).collect()
    }

    /// The changes of rules that were accepted, the first accepted first.
    pub fn accepted(&self) -> Vec<&Ruling> {
        let mut accepted: Vec<_> = self.all().filter(|ruling| ruling.accepted).collect();
        accepted.sort_by_key(|ruling| (ruling.at, &ruling.change));
        accepted
    }

    /// The last ruling on each change, by change.
    pub fn all(&self) -> impl Iterator<Item = &Ruling> {
        self.0.values()
    }

    /// The ruling that stands against making `proposal` again.
    fn standing(&self, proposal: &Proposal, settings: &LineSettings) -> Option<&Ruling> {
        let evidence: BTreeSet<_> = proposal.evidence.decisions.iter().collect();
        self.0.values().find(|ruling| {
            let known = ruling.decisions.iter().filter(|id| evidence.contains(id)).count();
            let fresh = as_share(evidence.len() - known, ruling.decisions.len());
            is_same(&ruling.change, &proposal.change, known) && fresh < settings.renewed
        })
    }
}

/// Whether both are about the same change. Which of several similar keys came up first depends on what is still looked at,
/// so promotions of one answer are the same if they share evidence.
fn is_same(ruled: &Change, proposed: &Change, shared: usize) -> bool {
    match (ruled, proposed) {
        (Change::Promote { twin, answer, .. }, Change::Promote { twin: other_twin, answer: other_answer, .. }) => {
            ruled == proposed || (twin == other_twin && answer == other_answer && shared > 0)
        }
        _ => ruled == proposed,
    }
}

fn as_share(part: usize, of: usize) -> f64 {
    super::wilson::float(part) / super::wilson::float(of.max(1))
}
