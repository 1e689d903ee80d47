//! A bounded reader of GGUF files, versions 2 and 3.
//!
//! Every length in the file is checked against the bytes that are left before anything is allocated for it, so a
//! hostile file costs no more memory than its own size. The format is described in ggml's `docs/gguf.md`.

mod cursor;
mod form;
mod header;
mod metadata;
mod tokenizer;
pub(crate) mod write;

pub use form::Form;
pub(crate) use header::Header;
pub use header::TensorInfo;
pub use metadata::{Metadata, Scalars, Texts, Value};
pub use tokenizer::TokenizerMetadata;
