//! The clearing of a cue: the only place where a [`ClearedCue`] is made.

use baton_contract::{ConductorId, TwinId};

use crate::{Act, Forbidden, Ground, On, Principal, may};

/// What a cue is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A twin.
    Twin(TwinId),
    /// The model itself, without a pack.
    Base,
}

/// What a cue asks for.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// What it is addressed to.
    pub target: Target,
    /// The process and product that it names. `None` for a decision: there the mandate's processes and products are a
    /// default among the rules ([`crate::judge`]), which its conductor can override with a reason.
    pub ground: Option<&'a Ground>,
    /// Answers that it asks for.
    pub answers: u32,
}

/// A cue that its conductor is cleared for. Only [`clear`] can make one.
#[derive(Clone, Debug)]
pub struct ClearedCue {
    conductor: ConductorId,
    target: Target,
    weight: u32,
    max_tokens: Option<u32>,
    max_tokens_in_flight: Option<u64>,
}

/// Why a cue was not cleared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The key's roles do not.
    #[error(transparent)]
    Role(#[from] Forbidden),
    /// The mandate does not cover the twin.
    #[error("your mandate does not cover the twin `{0}`; an architect can widen it")]
    Twin(TwinId),
    /// The mandate covers single twins, so not the model without one.
    #[error("your mandate covers twins only, not the base model; cue a twin, or ask an architect to widen it")]
    Base,
    /// The mandate covers other processes.
    #[error("{}", uncovered("process", named.as_deref(), cleared))]
    Process {
        /// The process that the cue names.
        named: Option<String>,
        /// The processes of the mandate.
        cleared: Vec<String>,
    },
    /// The mandate covers other products.
    #[error("{}", uncovered("product", named.as_deref(), cleared))]
    Product {
        /// The product that the cue names or touches.
        named: Option<String>,
        /// The products of the mandate.
        cleared: Vec<String>,
    },
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
    /// The answers in progress would come to more tokens than the mandate allows.
    #[error(
        "your mandate allows {limit} tokens in progress at once; {in_flight} are, and this request may take {asked}"
    )]
    Tokens {
        /// Tokens that the answers in progress may come to.
        in_flight: u64,
        /// Tokens that the cue may come to.
        asked: u64,
        /// Tokens allowed.
        limit: u64,
    },
}

fn uncovered(what: &str, named: Option<&str>, cleared: &[String]) -> String {
    let cleared = cleared.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match named {
        // What came from outside is shown, but never at length.
        Some(named) => {
            let named: String = named.chars().take(80).collect();
            format!("your mandate does not cover the {what} `{named}`, only {cleared}; an architect can widen it")
        }
        None => format!("your mandate covers the {what} {cleared} only: say with the cue which one it is for"),
    }
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

    /// Decides whether the cue may come to `asked` tokens, read and written, with `in_flight` in progress. It is asked
    /// once the prompt has been counted, which is after clearing.
    ///
    /// # Errors
    /// It is more than the mandate allows.
    pub fn clear_tokens(&self, in_flight: u64, asked: u64) -> Result<(), Denied> {
        match self.max_tokens_in_flight {
            Some(limit) if in_flight.saturating_add(asked) > limit => Err(Denied::Tokens { in_flight, asked, limit }),
            _ => Ok(()),
        }
    }
}

impl Target {
    /// The twin, if it is one.
    pub fn twin(&self) -> Option<&TwinId> {
        match self {
            Self::Twin(twin) => Some(twin),
            Self::Base => None,
        }
    }
}

/// Decides whether a conductor may cue now, with `in_flight` answers of theirs in progress.
///
/// # Errors
/// Says what the key's roles or its mandate do not allow.
pub fn clear(principal: &Principal, ask: Ask<'_>, in_flight: u32) -> Result<ClearedCue, Denied> {
    let Ask { target, ground, answers } = ask;
    let mandate = principal.mandate();
    let act = if ground.is_some() { Act::Cue } else { Act::Decide };
    may(principal, act, On { twin: target.twin(), asker: None })?;
    if !mandate.covers(&target) {
        return Err(match target {
            Target::Twin(twin) => Denied::Twin(twin),
            Target::Base => Denied::Base,
        });
    }
    if let Some(denied) = ground.and_then(|ground| mandate.uncovered(ground)) {
        return Err(denied);
    }
    if in_flight.saturating_add(answers) > mandate.max_in_flight {
        return Err(Denied::InFlight { in_flight, asked: answers, limit: mandate.max_in_flight });
    }
    Ok(ClearedCue {
        conductor: principal.conductor().clone(),
        target,
        weight: mandate.weight,
        max_tokens: mandate.max_tokens,
        max_tokens_in_flight: mandate.max_tokens_in_flight,
    })
}
