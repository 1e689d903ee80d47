//! What can go wrong when a pack is created, when the record of its cases is kept, and when versions go live.

use std::io;
use std::path::PathBuf;

use baton_contract::Digest;

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

/// Why a version cannot go live, or why what is live cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The file system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The journal is none.
    #[error("{} is no journal of versions: {reason}\nhint: restore it from a backup", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The copy of a version is gone, or is not what was kept.
    #[error(
        "the kept version in {} is gone or damaged\nhint: restore it from a backup, or publish that content again",
        .0.display()
    )]
    Copy(PathBuf),
    /// The pack was changed while it was copied.
    #[error("the pack in {} changed while it was published; try again", .0.display())]
    Changed(PathBuf),
    /// One version would be two contents.
    #[error(
        "version {version} went live with another content already (blake3 {})\nhint: raise `version` in twin.toml",
        by.short()
    )]
    Taken {
        /// The version.
        version: String,
        /// What went live under it.
        by: Digest,
    },
    /// No version of the twin ever went live.
    #[error("no version of it ever went live\nhint: `baton twin publish` lets one")]
    NeverLive,
    /// What is live is what went live first.
    #[error("nothing was live before what is live now")]
    NothingBefore,
    /// That is what is live.
    #[error("version {0} is live already")]
    LiveAlready(String),
    /// There is no such version, or more than one.
    #[error("`{wanted}` is not one of its versions\nhint: there are {known}")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        known: String,
    },
}

impl VersionError {
    /// Whether the caller can mend it by asking for something else.
    pub fn is_request_fault(&self) -> bool {
        match self {
            Self::Taken { .. }
            | Self::NeverLive
            | Self::NothingBefore
            | Self::LiveAlready(_)
            | Self::Unknown { .. } => true,
            Self::Io { .. } | Self::Journal { .. } | Self::Copy(_) | Self::Changed(_) => false,
        }
    }
}
