//! What can be wrong with a call.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

const MEBIBYTE: usize = 1 << 20;

/// A call that was refused; nothing was computed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A tensor does not have the shape that the call needs.
    #[error("{what} has shape {found:?}, but {expected} is needed")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape in words.
        expected: String,
    },
    /// A tensor's elements have the wrong type.
    #[error("{what} holds {found:?}, but {expected} is needed")]
    DType {
        /// Which argument.
        what: &'static str,
        /// Its type.
        found: DType,
        /// The types that would do.
        expected: &'static str,
    },
    /// A tensor lives on a device that these kernels do not reach.
    #[error("{what} is not in the CPU's memory; move it there with `to_device`")]
    Device {
        /// Which argument.
        what: &'static str,
    },
    /// A page tensor is a strided view and cannot be written in place.
    #[error("{what} is a strided view; allocate it as a tensor of its own")]
    Strided {
        /// Which argument.
        what: &'static str,
    },
    /// Weight bytes do not fill the shape that was given with them.
    #[error("a {rows} x {cols} matrix of {form:?} takes {expected} bytes, but {found} were given")]
    WeightBytes {
        /// How the weights are stored.
        form: GgmlDType,
        /// Outputs.
        rows: usize,
        /// Inputs.
        cols: usize,
        /// Bytes that the shape takes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A row of weights is not a whole number of blocks.
    #[error("{cols} columns are not a whole number of {form:?} blocks of {block}")]
    WeightColumns {
        /// How the weights are stored.
        form: GgmlDType,
        /// Inputs.
        cols: usize,
        /// Weights in a block.
        block: usize,
    },
    /// A stored form that has no kernel.
    #[error("weights stored as {form:?} are not supported; convert the model to Q8_0, Q4_1 or F16")]
    WeightForm {
        /// The form.
        form: GgmlDType,
    },
    /// Matrices that are to be stacked take inputs of different widths, or there are none.
    #[error("matrices of {found:?} columns cannot be stacked; all need the same number")]
    Stack {
        /// Columns of each.
        found: Vec<usize>,
    },
    /// An index points past the end of what it indexes.
    #[error("{what} {index} is out of range: there are {count}")]
    Range {
        /// What the index counts.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A layout contradicts itself or its tensors.
    #[error("the batch layout is wrong: {0}")]
    Layout(String),
    /// A parameter has a value that makes no sense.
    #[error("{0}")]
    Parameter(String),
    /// The device has not enough memory.
    #[error("the GPU has no room for {} MiB more; {} MiB are free", wanted.div_ceil(MEBIBYTE), free / MEBIBYTE)]
    Memory {
        /// Bytes that were asked for.
        wanted: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// The device or its libraries failed, or are not there. The same may work the next time.
    #[error("{what} failed on the GPU: {reason}")]
    Cuda {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
    /// The device failed, and everything that this process asks of it will fail from now on.
    #[error("{what} failed on the GPU, which is lost to this process: {reason}")]
    Lost {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        reason: String,
    },
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl KernelError {
    /// Whether only another process can use the device again.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether the same would work if there were more of the device's memory.
    pub fn is_want_of_memory(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }
}
