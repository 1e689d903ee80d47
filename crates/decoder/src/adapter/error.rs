//! Why an adapter cannot be used.

use std::path::PathBuf;

use safetensors::SafeTensorError;

/// Why an adapter was refused.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is larger than any adapter of this model.
    #[error("`{}` has {bytes} bytes, but no adapter of this model has more than {most}", path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that it may have.
        most: u64,
    },
    /// `adapter_config.json` is not what PEFT writes.
    #[error("adapter_config.json is not well formed")]
    Config(#[source] serde_json::Error),
    /// The adapter asks for what is not computed here.
    #[error(
        "the adapter needs what is not supported: {0}; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections"
    )]
    Unsupported(String),
    /// `adapter_model.safetensors` is not a whole, well-formed file.
    #[error("adapter_model.safetensors is damaged or cut off")]
    File(#[source] SafeTensorError),
    /// The file lacks what its configuration promises, or contradicts it.
    #[error("the adapter is inconsistent: {0}")]
    Inconsistent(String),
    /// A tensor does not fit the model.
    #[error("the adapter was made for another model: `{name}` has the shape {found:?}, but {expected:?} is needed")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits.
        expected: Vec<usize>,
    },
    /// A tensor holds something that is no number.
    #[error("`{name}` holds a value that is not a finite number; the adapter's training may have failed")]
    NotFinite {
        /// The tensor.
        name: String,
    },
}
