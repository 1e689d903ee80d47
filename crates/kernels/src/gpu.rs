//! The way to a GPU for code that is compiled with and without the kernels for it.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use crate::Backend;
use crate::blocks::Codes;

/// How a device is used.
#[derive(Clone, Copy, Debug)]
pub struct GpuConfig {
    /// Which device, counted from 0.
    pub ordinal: usize,
    /// The type of weights, activations, keys and values: F16 or BF16.
    pub dtype: DType,
    /// Whether rows that share a prefix attend to it together.
    pub cascade: bool,
    /// Whether quantised weights stay so, which takes less memory and makes small batches faster and large ones slower.
    /// Random weights are then of 4 bits.
    pub quantised: bool,
    /// Whether steps that only decode are recorded once and then replayed as a whole.
    pub graphs: bool,
    /// Threads of the host that prepare weights.
    pub threads: usize,
}

/// Bytes that so many weights take on a device: of a quantised form if `quantised`, of 16 bits otherwise.
pub fn device_bytes(form: GgmlDType, weights: usize, quantised: bool) -> usize {
    match Codes::of(form) {
        // A scale and a minimum for each group.
        Some(Codes { bits, group }) if quantised => weights * bits / 8 + weights.div_ceil(group) * 4,
        _ => weights * 2,
    }
}

/// Something that is done with a backend, whichever it is.
pub trait UseBackend {
    /// What comes of it.
    type Output;

    /// Does it.
    fn with<B: Backend>(self, backend: B) -> Self::Output;
}
