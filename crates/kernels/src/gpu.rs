//! The way to a GPU for code that is compiled with and without the kernels for it.

use candle_core::DType;

use crate::Backend;

/// How a device is used.
#[derive(Clone, Copy, Debug)]
pub struct GpuConfig {
    /// Which device, counted from 0.
    pub ordinal: usize,
    /// The type of weights, activations, keys and values: F16 or BF16.
    pub dtype: DType,
    /// Whether rows that share a prefix attend to it together.
    pub cascade: bool,
    /// Whether steps that only decode are recorded once and then replayed as a whole.
    pub graphs: bool,
    /// Threads of the host that prepare weights.
    pub threads: usize,
}

/// Something that is done with a backend, whichever it is.
pub trait UseBackend {
    /// What comes of it.
    type Output;

    /// Does it.
    fn with<B: Backend>(self, backend: B) -> Self::Output;
}
