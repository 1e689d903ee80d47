//! The kernels for GPUs, each against its plain reference, on a machine that has one.
//!
//! Without a GPU the tests that need one say so and pass, so that the rest of this build is tested anywhere. With
//! `BATON_NEEDS_GPU` in the environment they fail instead: `scripts/gpu/check` must not take silence for a proof.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coded;
#[path = "../common/mod.rs"]
mod common;
mod draws;
mod experts;
mod lora;
mod stages;
mod status;

use baton_kernels::{CudaStatus, cuda_status};

/// Whether `test` can run here.
fn has_device(test: &str) -> bool {
    let why = match cuda_status() {
        CudaStatus::Ready { .. } => return true,
        CudaStatus::NotBuilt => "the feature `cuda` is off".to_owned(),
        CudaStatus::Missing(missing) => missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    };
    assert!(std::env::var_os("BATON_NEEDS_GPU").is_none(), "{test} needs a GPU: {why}");
    eprintln!("skipped {test}: {why}");
    false
}
