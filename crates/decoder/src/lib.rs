//! Builds a decoder from an architecture and weights, and runs one batch of it.
//!
//! Families of models are values of [`Architecture`]; there is one forward pass. A model comes from a [`ModelFile`],
//! whose every length is checked, so that a hostile file gives an error and nothing worse. [`AdapterWeights`] are read from
//! PEFT's files likewise, and each sequence of a batch may have its own [`Adapter`].
//!
//! This crate does not know requests, scheduling, sampling or text: it takes token ids and gives logits.

mod adapter;
mod architecture;
mod batch;
mod cache;
mod checkpoint;
mod convert;
mod decoder;
mod error;
pub mod gguf;
mod linear;
mod model_file;
mod recipe;
mod weights;

pub use adapter::{Adapter, AdapterError, AdapterFiles, AdapterWeights};
pub use architecture::{Architecture, Divisors, ExpertSpec, LayerKind, RopeSpec, Rotation, Variations, Yarn};
pub use batch::Batch;
pub use baton_kernels::sample;
pub use baton_kernels::{
    Activation, BLOCK, Backend, GpuConfig, Heads, Indices, Kernels, KvPages, Layout, Norm, RopeStyle, SpanLayout,
    UseBackend, cuda_status, device_bytes, with_gpu,
};
pub use cache::{CacheForm, PagedCache};
pub use decoder::Decoder;
pub use error::{BatchError, Error};
pub use gguf::TensorInfo;
pub use model_file::ModelFile;
pub use recipe::Recipe;
