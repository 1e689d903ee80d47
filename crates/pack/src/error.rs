//! What can go wrong when a pack is created, and when the record of its cases is kept.

use std::io;
use std::path::PathBuf;

/// Why no new pack was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is something at the place already.
    #[error("{} already exists; choose another id or remove it first", .0.display())]
    Exists(PathBuf),
    /// The file system refused.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

impl CreateError {
    /// Whether the caller can mend it by asking for something else.
    pub fn is_request_fault(&self) -> bool {
        matches!(self, Self::Exists(_))
    }
}

/// Why the record of a pack's cases on a model could not be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The file system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is far larger than any record.
    #[error("{} is too large for a record of cases; remove it and run the cases again", .0.display())]
    TooLarge(PathBuf),
    /// It is not a record, or one of a newer format.
    #[error("{} is no record of cases: {reason}; remove it and run the cases again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is about another pack or model than its name says.
    #[error("{} is about another pack or model; remove it and run the cases again", .0.display())]
    OfAnother(PathBuf),
}

impl TrialError {
    /// Whether the caller can mend it by asking for something else: what is in the data folder is the operator's.
    pub fn is_request_fault(&self) -> bool {
        false
    }
}
