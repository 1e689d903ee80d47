//! What can go wrong when a pack is created.

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
