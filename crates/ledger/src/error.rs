//! What can go wrong while entries are made, appended, proved or read.

use std::path::PathBuf;
use std::sync::Arc;

/// A fault of an entry, of the ledger's files, or of a proof.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A kind, an actor, a subject or a text's name is not of the allowed form.
    #[error(
        "`{text}` is not a valid {what}: use 1 to 128 ASCII letters, digits, `-`, `_`, `.`, `:`, `/` or `@`, starting \
         with a letter or digit"
    )]
    Label {
        /// What it was meant to be.
        what: &'static str,
        /// The beginning of what was given.
        text: String,
    },
    /// The body is not one JSON object, or too long.
    #[error("the body of a ledger entry cannot be used: {0}")]
    Body(String),
    /// One of the free texts cannot be taken.
    #[error("the text `{name}` of a ledger entry cannot be used: {problem}")]
    Text {
        /// The text's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Entries of this kind are made by the ledger itself.
    #[error("entries of kind `erasure` are made by erasing, not appended")]
    ReservedKind,
    /// A text form of this crate cannot be read.
    #[error("this is no {what} of a ledger: {problem}")]
    Format {
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A checkpoint was made for another ledger.
    #[error("the checkpoint is of the ledger `{name}`, not of `{expected}`")]
    ForeignCheckpoint {
        /// The ledger that the checkpoint names.
        name: String,
        /// The ledger that it was held against.
        expected: String,
    },
    /// A checkpoint's signature is not that of the ledger's key.
    #[error("the signature of the checkpoint at {size} entries is not good")]
    Signature {
        /// The size that the checkpoint states.
        size: u64,
    },
    /// A proof does not prove what it says.
    #[error("the proof does not hold: {0}")]
    Proof(&'static str),
    /// A line of an export is not what it should be.
    #[error("line {line} of the export: {problem}")]
    Export {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Writing an export failed.
    #[error("the export cannot be written: {0}")]
    Output(Arc<std::io::Error>),
    /// Appending failed; nothing of it counts. It may be tried again.
    #[error("the ledger cannot be written: {source}")]
    Unavailable {
        /// What the database said.
        source: Arc<rusqlite::Error>,
    },
    /// More appends wait than the queue holds.
    #[error("the ledger has too many entries waiting to be written")]
    Busy,
    /// The ledger was closed, or its writer has stopped.
    #[error("the ledger is closed")]
    Closed,
    /// Another process writes this ledger.
    #[error("the ledger {} is held by another process\nhint: stop the server that uses this data folder first", .0.display())]
    Held(PathBuf),
    /// There is no ledger.
    #[error("there is no ledger at {}", .0.display())]
    NotThere(PathBuf),
    /// The file is a ledger of another version, or none.
    #[error("{} is not a ledger of version 1 but of version {found}; use the build that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: i64,
    },
    /// The ledger's files are not whole, or were changed.
    #[error("the ledger is damaged: {0}\nhint: `baton ledger verify` tells more; restore it from a backup")]
    Damaged(String),
    /// The ledger was made with another signing key.
    #[error("the ledger was made with the key {found}, not with {given}\nhint: restore the ledger's own key file")]
    OtherKey {
        /// The public key in the ledger.
        found: String,
        /// The public key of the signer that was given.
        given: String,
    },
    /// Reading failed.
    #[error("the ledger cannot be read: {0}")]
    Read(Arc<rusqlite::Error>),
    /// A file beside the database cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The source of randomness gave none.
    #[error("there are no random bytes for the ledger: {0}")]
    Random(Arc<std::io::Error>),
    /// No entry has this index or id.
    #[error("the ledger has no entry `{0}`")]
    Unknown(String),
    /// There is no checkpoint or tree of this size.
    #[error("the ledger has {size} entries; there is no tree of {asked}")]
    Size {
        /// How many entries there are.
        size: u64,
        /// How many were asked for.
        asked: u64,
    },
    /// Texts would be kept for less than the law asks for.
    #[error("texts are kept for at least {floor} days, not {days}; only an erasure with a reason goes below that")]
    BelowFloor {
        /// What was wished for.
        days: u32,
        /// The least.
        floor: u32,
    },
    /// The text names no retention.
    #[error(
        "`{0}` is no retention: write `six-months`, `two-years`, `ten-years` or a number of days such as `400-days`"
    )]
    Retention(String),
    /// An erasure has no reason.
    #[error("an erasure needs a reason")]
    NoReason,
    /// An erasure would erase nothing.
    #[error("there is no text left to erase there")]
    NothingToErase,
}

impl Error {
    /// Whether what was asked for is at fault, rather than the ledger or the machine.
    pub fn is_request_fault(&self) -> bool {
        matches!(
            self,
            Self::Label { .. }
                | Self::Body(_)
                | Self::Text { .. }
                | Self::ReservedKind
                | Self::Format { .. }
                | Self::Unknown(_)
                | Self::Size { .. }
                | Self::BelowFloor { .. }
                | Self::Retention(_)
                | Self::NoReason
                | Self::NothingToErase
        )
    }

    /// A fault while appending, as those who wait for it are told.
    pub(crate) fn while_writing(self) -> Self {
        match self {
            Self::Read(source) => Self::Unavailable { source },
            other => other,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Read(Arc::new(error)),
        }
    }
}
