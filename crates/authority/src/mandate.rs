//! What a conductor is cleared for.

use baton_contract::TwinId;

use crate::{Error, Target};

/// What leadership has cleared one key for. Every field is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// Which twins may be cued.
    pub twins: Cleared,
    /// Most answers that the conductor may have in progress at once, over all keys; 1 to 10,000.
    pub max_in_flight: u32,
    /// The conductor's share of the machine relative to others; 1 to 1,000.
    pub weight: u32,
    /// Most tokens that one answer may have, if it is bounded below the model's context; at least 1.
    pub max_tokens: Option<u32>,
}

/// Which twins a mandate covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// Every twin, and the base model without a twin.
    All,
    /// These twins and nothing else.
    Only(Vec<TwinId>),
}

impl Default for Mandate {
    /// Every twin, 256 answers in flight, an ordinary share.
    fn default() -> Self {
        Self { twins: Cleared::All, max_in_flight: 256, weight: 1, max_tokens: None }
    }
}

impl Mandate {
    /// Whether cues to `target` are cleared at all.
    pub fn covers(&self, target: &Target) -> bool {
        match (&self.twins, target) {
            (Cleared::All, _) => true,
            (Cleared::Only(twins), Target::Twin(twin)) => twins.contains(twin),
            (Cleared::Only(_), Target::Base) => false,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let within = |field, value: u32, high: u32, range| {
            if (1..=high).contains(&value) { Ok(()) } else { Err(Error::Mandate { field, range, value: value.into() }) }
        };
        within("max_in_flight", self.max_in_flight, 10_000, "between 1 and 10000")?;
        within("weight", self.weight, 1_000, "between 1 and 1000")?;
        within("max_tokens", self.max_tokens.unwrap_or(1), u32::MAX, "at least 1")
    }
}
