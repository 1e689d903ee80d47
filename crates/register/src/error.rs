//! What can go wrong between docket and ledger.

use baton_authority::docket::line::NotRuled;
use baton_authority::docket::{Misfit, Rejected};

/// Why nothing was done, or why the docket cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The docket says no; nothing was written.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A proposal cannot be ruled on; nothing was written.
    #[error(transparent)]
    NotRuled(#[from] NotRuled),
    /// The ledger cannot be written or read; nothing counts.
    #[error(transparent)]
    Ledger(#[from] baton_ledger::Error),
    /// The rows do not make a docket.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A row cannot be read as what its kind says.
    #[error("entry {index} of the ledger, a `{kind}`, cannot be read: {problem}\nhint: use the build that wrote it")]
    Row {
        /// The row's index.
        index: u64,
        /// Its kind.
        kind: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// Whether who asked can mend it by asking otherwise, rather than the ledger or this build being at fault.
    pub fn is_request_fault(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::NotRuled(_) => true,
            Self::Ledger(error) => error.is_request_fault(),
            Self::Misfit(_) | Self::Row { .. } => false,
        }
    }
}
