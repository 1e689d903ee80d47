//! Where the model is computed: what was asked for, held against what this build and this machine can do.

use anyhow::{Result, bail};
use baton_decoder::{GpuConfig, ModelFile, TensorInfo};
use baton_kernels::{CudaMissing, CudaStatus, cuda_status, device_bytes};
use candle_core::DType;
use candle_core::quantized::GgmlDType;

use crate::config::{Config, DeviceChoice, GpuWeights, Switch};

/// What a build without kernels for GPUs says.
pub(crate) const NOT_BUILT: &str = "this build has no CUDA part";
/// And where one with them comes from.
pub(crate) const HOW_TO_BUILD: &str = "scripts/gpu/build makes one that has; it needs no GPU";

/// What computes the model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// This machine's processors.
    Cpu,
    /// Its first GPU.
    Gpu {
        /// Bytes of its memory that weights, keys and values may fill together.
        memory: usize,
    },
}

/// Where the model is to be computed, decided before anything is loaded.
///
/// # Errors
/// A GPU was asked for and cannot be used.
pub(crate) fn choose(config: &Config) -> Result<Place> {
    if config.device == DeviceChoice::Cpu {
        return Ok(Place::Cpu);
    }
    let wanted = config.device == DeviceChoice::Cuda;
    match cuda_status() {
        CudaStatus::Ready { devices, .. } => {
            let memory = devices.first().map_or(0, |device| device.memory);
            Ok(Place::Gpu { memory: config.gpu_memory_utilization.of_bytes(memory) })
        }
        CudaStatus::NotBuilt if wanted => bail!("{NOT_BUILT}\nhint: {HOW_TO_BUILD}"),
        CudaStatus::Missing(missing) if wanted => {
            let sentences = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let hints = missing.iter().map(CudaMissing::hint).collect::<Vec<_>>().join("; ");
            bail!("no model can run on a GPU here: {sentences}\nhint: {hints}")
        }
        CudaStatus::Missing(missing) => {
            let sentences = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            tracing::info!("the model is computed on the CPU: {sentences}");
            Ok(Place::Cpu)
        }
        CudaStatus::NotBuilt => Ok(Place::Cpu),
    }
}

/// How a GPU is used for this model.
pub(crate) fn gpu_config(config: &Config, file: &ModelFile) -> GpuConfig {
    // What was rounded to BF16 has a range that F16 may not hold; everything else is kept more exactly by F16.
    let embedding = "token_embd.weight";
    let dtype = match file.tensor(embedding).map(|info| file.loaded_form(embedding, info).name) {
        Some("BF16") => DType::BF16,
        _ => DType::F16,
    };
    GpuConfig {
        ordinal: 0,
        dtype,
        cascade: true,
        graphs: config.cuda_graphs == Switch::On,
        quantised: config.gpu_weights == GpuWeights::Stored,
        threads: config.threads,
    }
}

/// Bytes that a file's weights take on a GPU.
pub(crate) fn weight_bytes(config: &Config, file: &ModelFile) -> usize {
    let GpuConfig { dtype, quantised, .. } = gpu_config(config, file);
    let quantised = quantised && dtype == DType::F16;
    let bytes = |name: &str, info: &TensorInfo| {
        let weights = info.dims.iter().product();
        device_bytes(file.loaded_form(name, info).dtype().unwrap_or(GgmlDType::F16), weights, quantised)
    };
    file.tensors().map(|(name, info)| bytes(name, info)).sum()
}
