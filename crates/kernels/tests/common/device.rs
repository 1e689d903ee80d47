//! Whether there is a GPU, for tests of this crate and of those above it that need one.
//!
//! Without one they say so and pass, so that the rest of this build is tested anywhere. With `BATON_NEEDS_GPU` in the
//! environment they fail instead: `scripts/gpu/check` must not take silence for a proof.

use baton_kernels::{CudaStatus, cuda_status};

/// Whether `test` can run here.
pub(crate) fn has_device(test: &str) -> bool {
    let why = match cuda_status() {
        CudaStatus::Ready { .. } => return true,
        CudaStatus::NotBuilt => "the feature `cuda` is off".to_owned(),
        CudaStatus::Missing(missing) => missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    };
    assert!(std::env::var_os("BATON_NEEDS_GPU").is_none(), "{test} needs a GPU: {why}");
    eprintln!("skipped {test}: {why}");
    false
}
