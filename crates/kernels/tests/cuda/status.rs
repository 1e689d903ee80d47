//! What the crate says about this machine.

use baton_kernels::{CudaStatus, CudaVersion, cuda_status};

use crate::has_device;

#[test]
fn what_is_missing_comes_with_a_hint() {
    if let CudaStatus::Missing(missing) = cuda_status() {
        for one in missing {
            assert!(!one.to_string().ends_with('.') && !one.hint().is_empty(), "{one}");
        }
    }
}

#[test]
fn a_device_is_described() {
    if !has_device("a_device_is_described") {
        return;
    }
    let status = cuda_status();
    let CudaStatus::Ready { devices, .. } = &status else { panic!("{status:?}") };
    let first = &devices[0];
    assert!(!first.name.is_empty() && first.memory > 1 << 30, "{first:?}");
    assert!(first.capability >= CudaVersion { major: 8, minor: 0 }, "{first:?}");
}
