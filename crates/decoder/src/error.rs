//! What can go wrong between a model file and a row of logits.

use std::path::PathBuf;

use baton_kernels::KernelError;

use crate::AdapterError;

/// Why a model could not be read or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or mapped.
    #[error("cannot read the model file `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write the model file")]
    Write(#[source] std::io::Error),
    /// The bytes are not a whole, well-formed GGUF file.
    #[error("not a usable GGUF file: {what} (at byte {at}); fetch the file again and check its digest")]
    Malformed {
        /// What is wrong, for a person.
        what: String,
        /// Where reading stopped.
        at: usize,
    },
    /// One of the files of a folder cannot be used.
    #[error("`{file}` cannot be used: {what}")]
    Checkpoint {
        /// Its name.
        file: String,
        /// What is wrong, for a person.
        what: String,
    },
    /// The file is well formed but says something about the model that cannot be right.
    #[error("the model file is inconsistent: {0}")]
    Inconsistent(String),
    /// The file lacks something that every model of its family has.
    #[error("the model file has no {0}; it may be damaged or made by an unfinished conversion")]
    Missing(String),
    /// The model is fine, but a part of it is not known here.
    #[error(
        "{0} is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32"
    )]
    Unsupported(String),
    /// The batch does not fit the model or the cache. Nothing was computed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// An adapter cannot be used with the model.
    #[error("the adapter cannot be used")]
    Adapter(#[from] AdapterError),
    /// A matrix of the file cannot be computed with.
    #[error("the tensor `{name}` cannot be used")]
    Weights {
        /// The tensor.
        name: String,
        /// What the kernels said.
        source: KernelError,
    },
    /// A kernel refused a call.
    #[error("a kernel failed")]
    Kernel(#[from] KernelError),
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether only another process can use the device again.
    pub fn is_lost(&self) -> bool {
        self.of_kernels().is_some_and(KernelError::is_lost)
    }

    /// Whether the same would work if there were more of the device's memory.
    pub fn is_want_of_memory(&self) -> bool {
        self.of_kernels().is_some_and(KernelError::is_want_of_memory)
    }

    fn of_kernels(&self) -> Option<&KernelError> {
        match self {
            Self::Kernel(error) | Self::Weights { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a batch was refused before anything was computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is no token in the batch.
    #[error("the batch is empty")]
    Empty,
    /// One of the per-token lists is not as long as the list of tokens.
    #[error("the batch has {tokens} tokens but {found} {what}")]
    Length {
        /// Which list.
        what: &'static str,
        /// How many tokens there are.
        tokens: usize,
        /// How long the list is.
        found: usize,
    },
    /// A token is not in the vocabulary.
    #[error("token {token} in row {row} is outside the vocabulary of {vocabulary}")]
    Token {
        /// The row.
        row: usize,
        /// The token.
        token: u32,
        /// Tokens that exist.
        vocabulary: usize,
    },
    /// The spans do not cover the rows one after the other.
    #[error("span {span} starts at row {found}, but the spans before it end at row {expected}")]
    Rows {
        /// The span.
        span: usize,
        /// Where it should start.
        expected: usize,
        /// Where it starts.
        found: usize,
    },
    /// A span is empty, longer than its context, or its context does not fit model or blocks.
    #[error("span {span} has {rows} rows, a context of {context} and {blocks} blocks; the model takes {limit} tokens")]
    Span {
        /// The span.
        span: usize,
        /// Its rows.
        rows: usize,
        /// Its context.
        context: usize,
        /// Its blocks.
        blocks: usize,
        /// The model's context.
        limit: usize,
    },
    /// A span names a block that the cache does not have.
    #[error("span {span} names block {block}, but the cache has {blocks}")]
    Block {
        /// The span.
        span: usize,
        /// The block.
        block: u32,
        /// Blocks that exist.
        blocks: usize,
    },
    /// A row's position or slot is not the one that its span gives it.
    #[error("row {row} has {what} {found}, but its span puts it at {expected}")]
    Place {
        /// The row.
        row: usize,
        /// `position` or `slot`.
        what: &'static str,
        /// What its span says.
        expected: usize,
        /// What the batch says.
        found: u32,
    },
    /// Two rows would be written to the same slot.
    #[error("block {block} is written by two spans")]
    Overlap {
        /// The block.
        block: u32,
    },
    /// A row to draw from does not exist.
    #[error("row {row} is to be drawn from, but the batch has {tokens} rows")]
    Draw {
        /// The row.
        row: u32,
        /// Rows that exist.
        tokens: usize,
    },
    /// The cache was made for another architecture.
    #[error("the cache does not belong to this model")]
    Cache,
}
