//! Where the model is computed: what was asked for, held against what this build and this machine can do.

use anyhow::{Result, bail};
use baton_kernels::{CudaMissing, CudaStatus, cuda_status};

use crate::config::{Config, DeviceChoice};

/// What a build without kernels for GPUs says.
pub(crate) const NOT_BUILT: &str = "this build has no CUDA part";
/// And where one with them comes from.
pub(crate) const HOW_TO_BUILD: &str = "scripts/gpu/build makes one that has; it needs no GPU";

/// Refuses a configuration that asks for a device which there is not, before anything is loaded.
pub(crate) fn check(config: &Config) -> Result<()> {
    if config.device != DeviceChoice::Cuda {
        return Ok(());
    }
    match cuda_status() {
        CudaStatus::NotBuilt => bail!("{NOT_BUILT}\nhint: {HOW_TO_BUILD}"),
        CudaStatus::Missing(missing) => {
            let sentences = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let hints = missing.iter().map(CudaMissing::hint).collect::<Vec<_>>().join("; ");
            bail!("no model can run on a GPU here: {sentences}\nhint: {hints}")
        }
        CudaStatus::Ready { .. } => bail!("no model runs on a GPU yet\nhint: leave --device out"),
    }
}
