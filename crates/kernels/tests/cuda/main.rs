//! The kernels for GPUs, each against its plain reference, on a machine that has one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coded;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/device.rs"]
mod device;
mod draws;
mod experts;
mod lora;
mod stages;
mod status;

use device::has_device;
