//! The clearing of a cue: the only place where a [`ClearedCue`] is made.

use baton_contract::{ConductorId, TwinId};

use crate::Principal;

/// What a cue is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A twin.
    Twin(TwinId),
    /// The model itself, without a pack.
    Base,
}

/// A cue that its conductor is cleared for. Only [`clear`] can make one.
#[derive(Clone, Debug)]
pub struct ClearedCue {
    conductor: ConductorId,
    target: Target,
    weight: u32,
    max_tokens: Option<u32>,
}

/// Why a cue was not cleared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The mandate does not cover the twin.
    #[error("your mandate does not cover the twin `{0}`; an architect can widen it")]
    Twin(TwinId),
    /// The mandate covers single twins, so not the model without one.
    #[error("your mandate covers twins only, not the base model; cue a twin, or ask an architect to widen it")]
    Base,
    /// More answers would be in progress than the mandate allows.
    #[error(
        "your mandate allows {limit} answers at once; {in_flight} are in progress and this request asks for {asked}"
    )]
    InFlight {
        /// Answers in progress.
        in_flight: u32,
        /// Answers that the cue asks for.
        asked: u32,
        /// Answers allowed.
        limit: u32,
    },
}

impl ClearedCue {
    /// Whose cue it is.
    pub fn conductor(&self) -> &ConductorId {
        &self.conductor
    }

    /// What it is addressed to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The conductor's share relative to others.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Most tokens the answer may have, if the mandate bounds it.
    pub fn max_tokens(&self) -> Option<u32> {
        self.max_tokens
    }
}

/// Decides whether a conductor may cue `target` for `asked` answers now, with `in_flight` of theirs in progress.
///
/// # Errors
/// Says what the mandate does not allow.
pub fn clear(principal: &Principal, target: Target, in_flight: u32, asked: u32) -> Result<ClearedCue, Denied> {
    let mandate = principal.mandate();
    if !mandate.covers(&target) {
        return Err(match target {
            Target::Twin(twin) => Denied::Twin(twin),
            Target::Base => Denied::Base,
        });
    }
    if in_flight.saturating_add(asked) > mandate.max_in_flight {
        return Err(Denied::InFlight { in_flight, asked, limit: mandate.max_in_flight });
    }
    Ok(ClearedCue {
        conductor: principal.conductor().clone(),
        target,
        weight: mandate.weight,
        max_tokens: mandate.max_tokens,
    })
}
