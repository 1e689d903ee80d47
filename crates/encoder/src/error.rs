//! What can be wrong with a model's folder, and why texts are not embedded.

use std::path::PathBuf;

use baton_kernels::KernelError;

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{file}` cannot be used: {what}")]
    File {
        /// Its name in the folder.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The model is of a kind that is not computed here.
    #[error(
        "{0} is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens"
    )]
    Unsupported(String),
    /// The weights cannot be computed with.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The operating system gives no thread.
    #[error("the operating system gives no thread: {0}")]
    Thread(std::io::Error),
}

/// Why texts have no vectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// Too much waits already.
    #[error("{waiting} tokens wait to be embedded, and this request has {asked} more; try again in a moment")]
    Busy {
        /// Tokens that wait.
        waiting: usize,
        /// Tokens of the request.
        asked: usize,
    },
    /// The thread that computes is gone.
    #[error("the embedding model does not run any more")]
    Stopped,
    /// The computation failed.
    #[error("the texts could not be embedded: {0}")]
    Failed(String),
}

impl Error {
    /// Something about one of the folder's files.
    pub(crate) fn file(file: &str, what: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), what: what.into() }
    }
}
