//! The same kernels on an NVIDIA GPU.
//!
//! Activations and weights are f16 or bf16, the residual stream and the logits f32, and every sum is f32. All work goes
//! to one stream; the host waits only where it reads a result. Libraries are loaded when a device is opened, so a
//! program with these kernels starts on machines without any.
//!
//! Sums run in a fixed order, so the same batch gives the same bits again. Unlike on the CPU, a row's bits may depend on
//! how many rows there are, because cuBLAS chooses its algorithm by that.

mod attend;
mod backend;
mod device;
mod libraries;
mod lora;
mod memory;
mod place;
mod product;
mod rows;
mod sample;
mod transfer;
mod units;

use std::sync::Arc;

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use crate::{GpuConfig, KernelError, Result};
use device::{Argument, Device, Shape};
use memory::Buffer;
use place::Upload;
use product::Blas;
use sample::Drawing;

pub use attend::{DevicePages, DeviceRope};
pub use backend::Recorded;
pub use device::DeviceInfo;
pub(crate) use libraries::status;
pub use lora::DeviceAdapter;
pub use place::Placed;
pub use rows::{DeviceRows, DeviceVector};

/// A GPU that computes forward passes.
#[derive(Debug)]
pub struct Gpu {
    device: Device,
    blas: Blas,
    upload: Upload,
    drawing: Drawing,
    dtype: DType,
    cascade: bool,
    replays: bool,
    threads: usize,
}

/// Weights on the device, [outputs, inputs] in its own type. Clones share them.
#[derive(Clone, Debug)]
pub struct DeviceMatrix {
    memory: Arc<Buffer>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
}

impl DeviceMatrix {
    pub(crate) fn pointer(&self) -> u64 {
        self.memory.pointer()
    }
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// A library or the device is missing, the device cannot run these kernels, or the type is neither F16 nor BF16.
    pub fn open(config: &GpuConfig) -> Result<Self> {
        if !matches!(config.dtype, DType::F16 | DType::BF16) {
            let expected = "F16 or BF16";
            return Err(KernelError::DType { what: "the device's type", found: config.dtype, expected });
        }
        let device = Device::open(config.ordinal)?;
        let (blas, upload) = (Blas::new(&device)?, Upload::new(&device)?);
        let GpuConfig { dtype, cascade, graphs, threads, .. } = *config;
        let gpu = Self {
            device,
            blas,
            upload,
            drawing: Drawing::default(),
            dtype,
            cascade,
            replays: graphs,
            threads: threads.max(1),
        };
        gpu.allow_attention()?;
        Ok(gpu)
    }

    /// What is known of the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// Waits until everything that was started is done.
    ///
    /// # Errors
    /// Something that was started has failed.
    pub fn synchronise(&self) -> Result<()> {
        self.device.synchronise()
    }

    /// Random weights, made on the device.
    pub(crate) fn random_matrix(&self, outputs: usize, inputs: usize, seed: u32) -> Result<DeviceMatrix> {
        check_inputs(inputs)?;
        let count = u32::try_from(outputs * inputs)
            .map_err(|_| KernelError::Parameter(format!("{outputs} x {inputs} random weights are too many")))?;
        let memory = Buffer::new(&self.device.context, outputs * inputs * self.dtype.size_in_bytes())?;
        let shape = Shape { grid: (8 * self.device.info.processors, 1), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 4] = [&memory.pointer(), &count, &rows::word(inputs), &seed];
        // SAFETY: the memory has room for so many weights.
        unsafe { self.device.launch(self.named(["random_f16", "random_bf16"]), shape, &arguments) }?;
        Ok(DeviceMatrix { memory: Arc::new(memory), outputs, inputs })
    }

    /// Weights from numbers of the device's own type, little endian.
    pub(crate) fn upload_matrix(&self, outputs: usize, inputs: usize, bytes: &[u8]) -> Result<DeviceMatrix> {
        check_inputs(inputs)?;
        let expected = outputs * inputs * self.dtype.size_in_bytes();
        if bytes.len() != expected {
            let form = if self.dtype == DType::F16 { GgmlDType::F16 } else { GgmlDType::BF16 };
            return Err(KernelError::WeightBytes { form, rows: outputs, cols: inputs, expected, found: bytes.len() });
        }
        let memory = Arc::new(Buffer::from_bytes(&self.device.context, bytes)?);
        Ok(DeviceMatrix { memory, outputs, inputs })
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
