//! Kernels for NVIDIA GPUs.

mod libraries;

pub(crate) use libraries::status;
