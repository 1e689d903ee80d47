//! Weights on the device.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{CpuStorage, DType};
use cudarc::driver::result;
use half::{bf16, f16};

use crate::blocks::Codes;
use crate::cuda::Gpu;
use crate::cuda::coded::Coded;
use crate::cuda::device::{Argument, Shape};
use crate::cuda::fault::failed;
use crate::cuda::memory::Buffer;
use crate::cuda::rows::word;
use crate::{KernelError, Result};

/// Weights on the device, [outputs, inputs]. Clones share them.
#[derive(Clone, Debug)]
pub struct DeviceMatrix {
    pub(crate) stored: Stored,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
}

/// How they are kept.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// In the device's own type.
    Plain(Arc<Buffer>),
    /// Quantised, one part of the outputs after the other.
    Coded(Vec<Arc<Coded>>),
}

impl Gpu {
    /// A matrix from a GGUF tensor's bytes.
    pub(crate) fn pack_matrix(&self, form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<DeviceMatrix> {
        let block = form.block_size();
        if cols == 0 || !cols.is_multiple_of(block) {
            return Err(KernelError::WeightColumns { form, cols, block });
        }
        let row_bytes = cols / block * form.type_size();
        let expected = row_bytes.saturating_mul(rows);
        if bytes.len() != expected {
            return Err(KernelError::WeightBytes { form, rows, cols, expected, found: bytes.len() });
        }
        let own = if self.dtype == DType::F16 { GgmlDType::F16 } else { GgmlDType::BF16 };
        if form == own {
            return self.upload_matrix(rows, cols, bytes);
        }
        if let Some(kept) = Codes::of(form).filter(|_| self.quantised) {
            let coded = self.upload_coded(form, kept, [rows, cols], bytes)?;
            return Ok(DeviceMatrix { stored: Stored::Coded(vec![Arc::new(coded)]), outputs: rows, inputs: cols });
        }
        if matches!(form, GgmlDType::Q8_1 | GgmlDType::Q8K) {
            return Err(KernelError::WeightForm { form });
        }
        let mut narrow = Vec::with_capacity(rows * cols * 2);
        for row in bytes.chunks_exact(row_bytes) {
            // A copy, because the library needs its blocks aligned.
            let CpuStorage::F32(values) = form.from_data(row.to_vec().into()).dequantize(cols)? else {
                return Err(KernelError::WeightForm { form });
            };
            if self.dtype == DType::F16 {
                let largest = f16::MAX.to_f32();
                narrow.extend(values.into_iter().flat_map(|x| f16::from_f32(x.clamp(-largest, largest)).to_le_bytes()));
            } else {
                narrow.extend(values.into_iter().flat_map(|x| bf16::from_f32(x).to_le_bytes()));
            }
        }
        self.upload_matrix(rows, cols, &narrow)
    }

    /// Weights from numbers of the device's own type, little endian.
    fn upload_matrix(&self, outputs: usize, inputs: usize, bytes: &[u8]) -> Result<DeviceMatrix> {
        check_inputs(inputs)?;
        let expected = outputs * inputs * self.dtype.size_in_bytes();
        if bytes.len() != expected {
            let form = if self.dtype == DType::F16 { GgmlDType::F16 } else { GgmlDType::BF16 };
            return Err(KernelError::WeightBytes { form, rows: outputs, cols: inputs, expected, found: bytes.len() });
        }
        let memory = Arc::new(Buffer::from_bytes(&self.device.context, bytes)?);
        Ok(DeviceMatrix { stored: Stored::Plain(memory), outputs, inputs })
    }

    /// Random weights, made on the device.
    pub(crate) fn random_matrix(&self, outputs: usize, inputs: usize, seed: u32) -> Result<DeviceMatrix> {
        check_inputs(inputs)?;
        let count = u32::try_from(outputs * inputs)
            .map_err(|_| KernelError::Parameter(format!("{outputs} x {inputs} random weights are too many")))?;
        if self.quantised && inputs.is_multiple_of(32) {
            let coded = self.random_coded(outputs, inputs, seed)?;
            return Ok(DeviceMatrix { stored: Stored::Coded(vec![Arc::new(coded)]), outputs, inputs });
        }
        let memory = Buffer::new(&self.device.context, outputs * inputs * self.dtype.size_in_bytes())?;
        let shape = Shape { grid: (8 * self.device.info.processors, 1), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 4] = [&memory.pointer(), &count, &word(inputs), &seed];
        // SAFETY: the memory has room for so many weights.
        unsafe { self.device.launch(self.named(["random_f16", "random_bf16"]), shape, &arguments) }?;
        Ok(DeviceMatrix { stored: Stored::Plain(Arc::new(memory)), outputs, inputs })
    }

    /// One matrix of several, one after the other. Where only some are quantised, these are widened.
    pub(crate) fn stack_matrices(&self, mut parts: Vec<DeviceMatrix>) -> Result<DeviceMatrix> {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        if parts.is_empty() || parts.iter().any(|part| part.inputs != inputs) {
            return Err(KernelError::Stack { found: parts.iter().map(|part| part.inputs).collect() });
        }
        check_inputs(inputs)?;
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let outputs = parts.iter().map(|part| part.outputs).sum();
        let coded: Option<Vec<_>> = parts.iter().map(DeviceMatrix::coded).collect();
        let stored = match coded {
            Some(coded) => Stored::Coded(self.join_alike(&coded.concat())?),
            None => Stored::Plain(Arc::new(self.join_plain(&parts, outputs * inputs * self.dtype.size_in_bytes())?)),
        };
        Ok(DeviceMatrix { stored, outputs, inputs })
    }

    /// The same weights in the device's own type.
    pub(crate) fn widen_matrix(&self, matrix: DeviceMatrix) -> Result<DeviceMatrix> {
        let DeviceMatrix { outputs, inputs, .. } = matrix;
        let bytes = outputs * inputs * self.dtype.size_in_bytes();
        let stored = Stored::Plain(Arc::new(self.join_plain(&[matrix], bytes)?));
        Ok(DeviceMatrix { stored, outputs, inputs })
    }

    /// All parts in the device's own type, one after the other.
    fn join_plain(&self, parts: &[DeviceMatrix], bytes: usize) -> Result<Buffer> {
        let joined = Buffer::new(&self.device.context, bytes)?;
        let mut at = joined.pointer();
        for part in parts {
            match &part.stored {
                Stored::Plain(memory) => {
                    // SAFETY: the new memory has room for all parts.
                    unsafe { result::memcpy_dtod_sync(at, memory.pointer(), memory.bytes()) }
                        .map_err(failed("copying on the device"))?;
                }
                Stored::Coded(coded) => {
                    let mut at = at;
                    for coded in coded {
                        for slice in coded.slices() {
                            self.widen_codes(&slice, at)?;
                            at += (slice.outputs * slice.inputs * self.dtype.size_in_bytes()) as u64;
                        }
                    }
                }
            }
            at += (part.outputs * part.inputs * self.dtype.size_in_bytes()) as u64;
        }
        self.synchronise()?;
        Ok(joined)
    }

    /// The same parts with neighbours joined that are kept alike, so that one product does for them.
    fn join_alike(&self, parts: &[Arc<Coded>]) -> Result<Vec<Arc<Coded>>> {
        let alike = |a: &Arc<Coded>, b: &Arc<Coded>| a.kept == b.kept && a.fills_tiles();
        parts
            .chunk_by(alike)
            .map(|parts| match parts {
                [one] => Ok(Arc::clone(one)),
                several => Ok(Arc::new(self.join_coded(several)?)),
            })
            .collect()
    }
}

impl Stored {
    /// Where a part lies: its weights, and nothing; or its codes and their scales.
    pub(crate) fn places(&self, part: usize) -> [u64; 2] {
        match self {
            Self::Plain(memory) => [memory.pointer(), 0],
            Self::Coded(parts) => parts.get(part).map_or([0, 0], |part| part.places()),
        }
    }
}

impl DeviceMatrix {
    /// How each of its parts is kept, if it is quantised, and its outputs.
    pub(crate) fn forms(&self) -> Vec<(Option<Codes>, usize)> {
        match &self.stored {
            Stored::Plain(_) => vec![(None, self.outputs)],
            Stored::Coded(parts) => parts.iter().map(|part| (Some(part.kept), part.outputs)).collect(),
        }
    }

    /// The quantised parts, if it has no others.
    fn coded(&self) -> Option<Vec<Arc<Coded>>> {
        match &self.stored {
            Stored::Plain(_) => None,
            Stored::Coded(parts) => Some(parts.clone()),
        }
    }
}

/// Rows of weights are read by loads of 8 numbers.
fn check_inputs(inputs: usize) -> Result<()> {
    if inputs > 0 && inputs.is_multiple_of(8) {
        return Ok(());
    }
    Err(KernelError::Parameter(format!(
        "matrices of {inputs} columns cannot be used on the device, only multiples of 8"
    )))
}
