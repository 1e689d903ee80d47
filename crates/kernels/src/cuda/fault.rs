//! The driver's errors: what was tried, and whether trying again can help.

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, DriverError};

use crate::KernelError;

/// Turns the driver's error into one that says what was tried.
pub(crate) fn failed(what: &'static str) -> impl Fn(DriverError) -> KernelError {
    move |error| {
        let reason = in_words(error);
        if is_final(error.0) { KernelError::Lost { what, reason } } else { KernelError::Cuda { what, reason } }
    }
}

/// Whether a context can be used on this thread. What was recorded when something was dropped is forgotten: it is in
/// the way of giving back what is left.
pub(crate) fn bound(context: &CudaContext) -> bool {
    _ = context.check_err();
    context.bind_to_thread().is_ok()
}

/// Such as `CUDA_ERROR_OUT_OF_MEMORY (out of memory)`.
fn in_words(error: DriverError) -> String {
    let text = error.error_string().map_or_else(|_| "unknown".into(), |text| text.to_string_lossy());
    format!("{:?} ({text})", error.0)
}

/// Whether every call of this process fails from now on. CUDA's manual: such an error "leaves the process in an
/// inconsistent state and any further CUDA work will return the same error. To continue using CUDA, the process must be
/// terminated and relaunched." The others of the list say that there is no device or no driver any more.
fn is_final(error: CUresult) -> bool {
    use CUresult as E;
    matches!(
        error,
        E::CUDA_ERROR_ILLEGAL_ADDRESS
            | E::CUDA_ERROR_LAUNCH_TIMEOUT
            | E::CUDA_ERROR_ASSERT
            | E::CUDA_ERROR_HARDWARE_STACK_ERROR
            | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | E::CUDA_ERROR_MISALIGNED_ADDRESS
            | E::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | E::CUDA_ERROR_INVALID_PC
            | E::CUDA_ERROR_LAUNCH_FAILED
            | E::CUDA_ERROR_ECC_UNCORRECTABLE
            | E::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | E::CUDA_ERROR_CONTAINED
            | E::CUDA_ERROR_EXTERNAL_DEVICE
            | E::CUDA_ERROR_NO_DEVICE
            | E::CUDA_ERROR_DEVICE_UNAVAILABLE
            | E::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | E::CUDA_ERROR_DEINITIALIZED
            | E::CUDA_ERROR_MPS_CLIENT_TERMINATED
            | E::CUDA_ERROR_UNKNOWN
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_pass_is_told_from_what_never_will() {
        let told = |error| failed("a launch")(DriverError(error));
        assert!(told(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS).is_lost());
        assert!(told(CUresult::CUDA_ERROR_ECC_UNCORRECTABLE).is_lost());
        assert!(told(CUresult::CUDA_ERROR_NO_DEVICE).is_lost());
        for error in [
            CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            CUresult::CUDA_ERROR_INVALID_VALUE,
            CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
            CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
        ] {
            assert!(!told(error).is_lost(), "{error:?}");
        }
    }
}
