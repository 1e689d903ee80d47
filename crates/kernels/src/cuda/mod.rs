//! The same kernels on an NVIDIA GPU.
//!
//! Activations are f16 or bf16, and so are weights that are not quantised, the residual stream and the logits f32, and
//! every sum is f32. All work goes to one stream; the host waits only where it reads a result. Libraries are loaded
//! when a device is opened, so a program with these kernels starts on machines without any.
//!
//! Sums run in a fixed order, so the same batch gives the same bits again. Unlike on the CPU, a row's bits may depend on
//! how many rows there are, because cuBLAS chooses its algorithm by that.

mod attend;
mod backend;
mod coded;
mod device;
mod experts;
mod fault;
mod libraries;
mod lora;
mod matrix;
mod memory;
mod place;
mod product;
mod record;
mod rows;
mod sample;
mod transfer;
mod units;

use candle_core::DType;

use crate::{GpuConfig, KernelError, Result};
use device::Device;
use fault::failed;
use place::Upload;
use product::Blas;
use sample::Drawing;

pub use attend::{DevicePages, DeviceRope};
pub use device::DeviceInfo;
pub use experts::DeviceExperts;
pub(crate) use libraries::status;
pub use lora::DeviceAdapter;
pub use matrix::DeviceMatrix;
pub(crate) use memory::memory_in_use;
pub use place::Placed;
pub use product::ProductWay;
pub use record::Recorded;
pub use rows::{DeviceRows, DeviceVector};
pub use transfer::Staged;

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
    quantised: bool,
    threads: usize,
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
        let GpuConfig { dtype, cascade, graphs, quantised, threads, .. } = *config;
        let gpu = Self {
            device,
            blas,
            upload,
            drawing: Drawing::default(),
            dtype,
            cascade,
            replays: graphs,
            quantised,
            threads: threads.max(1),
        };
        gpu.allow_attention()?;
        gpu.allow_staged()?;
        gpu.allow_experts()?;
        Ok(gpu)
    }

    /// What is known of the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// Waits until everything that was started is done, copies beside the steps too.
    ///
    /// # Errors
    /// Something that was started has failed.
    pub fn synchronise(&self) -> Result<()> {
        self.device.copies.synchronize().map_err(failed("waiting for copies"))?;
        self.device.synchronise()
    }
}
