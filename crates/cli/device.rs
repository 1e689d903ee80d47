//! Where the model is computed: what was asked for, held against what this build and this machine can do.

use anyhow::{Result, bail};
use baton_decoder::{Architecture, GpuConfig, ModelFile, TensorInfo};
use baton_kernels::{CudaMissing, CudaStatus, cuda_status, device_bytes};
use candle_core::DType;
use candle_core::quantized::GgmlDType;

use crate::config::{Config, DeviceChoice, GpuDtype, GpuWeights, Switch};

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
    let dtype = match config.gpu_dtype {
        GpuDtype::F16 => DType::F16,
        GpuDtype::Bf16 => DType::BF16,
        GpuDtype::Auto => type_of(file),
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

/// The type that suits a model: F16, which is more exact, unless the model may need a range that it has not.
fn type_of(file: &ModelFile) -> DType {
    let embedding = "token_embd.weight";
    // What was rounded to BF16.
    let stored = file.tensor(embedding).is_some_and(|info| file.loaded_form(embedding, info).name == "BF16");
    // What layers add can have any size where it is normed first: in Gemma 2 and 3 it is larger than F16 can hold.
    let normed = Architecture::of(file).is_ok_and(|architecture| architecture.variations.update_norms);
    if stored || normed { DType::BF16 } else { DType::F16 }
}

/// Bytes that a file's weights take on a GPU.
pub(crate) fn weight_bytes(config: &Config, file: &ModelFile) -> usize {
    let GpuConfig { quantised, .. } = gpu_config(config, file);
    let bytes = |name: &str, info: &TensorInfo| {
        let weights = info.dims.iter().product();
        device_bytes(file.loaded_form(name, info).dtype().unwrap_or(GgmlDType::F16), weights, quantised)
    };
    file.tensors().map(|(name, info)| bytes(name, info)).sum()
}
