//! The clearing of a cue: the only place where a [`ClearedCue`] is made.

use baton_contract::{ConductorId, TwinId};

use crate::{Cleared, Principal};

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
    /// As many cues as the mandate allows are in progress.
    #[error("your mandate allows {limit} cues at once and {in_flight} are in progress; wait for one to end")]
    InFlight {
        /// Cues in progress.
        in_flight: u32,
        /// Cues allowed.
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

/// Decides whether a conductor may cue `target` now, with `in_flight` cues of theirs already in progress.
///
/// # Errors
/// Says what the mandate does not allow.
pub fn clear(principal: &Principal, target: Target, in_flight: u32) -> Result<ClearedCue, Denied> {
    let mandate = principal.mandate();
    match (&mandate.twins, &target) {
        (Cleared::Only(twins), Target::Twin(twin)) if !twins.contains(twin) => return Err(Denied::Twin(twin.clone())),
        (Cleared::Only(_), Target::Base) => return Err(Denied::Base),
        _ => {}
    }
    if in_flight >= mandate.max_in_flight {
        return Err(Denied::InFlight { in_flight, limit: mandate.max_in_flight });
    }
    Ok(ClearedCue {
        conductor: principal.conductor().clone(),
        target,
        weight: mandate.weight,
        max_tokens: mandate.max_tokens,
    })
}
