//! Attends over a paged cache and multiplies by weights in every stored form.
//!
//! The CPU's kernels, [`Kernels`], take and give candle tensors. `cuda` has the same on a GPU, and [`Backend`] is what a
//! forward pass sees of either. The crate knows no model, no request and no schedule: a [`Layout`] says which row of a
//! batch belongs to which cached positions, and that is all it is told.
//!
//! Two promises hold for every call on the CPU:
//!
//! * **Batch invariance.** Each row of a result is computed in an order that depends on that row alone. The same row has
//!   the same bits alone or among others, in one chunk or several, with any number of threads.
//! * **One definition.** Each fast kernel stands beside a plain one, which is the definition. Both give the same bits,
//!   so the instruction set is a matter of speed only.
//!
//! On a GPU the same batch gives the same bits again, within one process; each stage is held against the CPU's.
//!
//! There are no globals: [`Kernels`] carries the thread pool and the instruction set, and is passed in.
#![expect(clippy::inline_always, reason = "vector code must end up in functions compiled for its instructions")]
#![expect(clippy::many_single_char_names, reason = "formulas keep the letters that they are known by")]
#![expect(unsafe_code, reason = "tasks write disjoint parts of one slice, and vector instructions are unsafe to call")]

mod activation;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
mod blocks;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod cuda_status;
mod error;
mod experts;
mod gpu;
mod lanes;
mod layout;
pub mod lora;
mod matmul;
mod norm;
mod packed;
mod pages;
pub mod peak;
mod quantise;
mod rope;
pub mod sample;
mod tensor;
mod threads;
mod transfer;
mod whole;

use std::sync::Arc;

pub use activation::Activation;
pub use attention::{AttentionParams, PARTITION};
pub use backend::{Backend, Indices, LayerHeads, Norm, random_weight};
pub use cpu::HostBatch;
pub use cuda_status::{CudaDevice, CudaMissing, CudaStatus, CudaVersion, DeviceMemory};
pub use error::KernelError;
pub use experts::{Expert, Experts};
pub use gpu::{GpuConfig, UseBackend, device_bytes};
pub use layout::{BLOCK, Heads, Layout, SpanLayout};
pub use packed::PackedMatrix;
pub use pages::KvPages;
pub use rope::{Rope, RopeStyle};

use threads::Pool;

/// The version of this crate's bits, for whoever keeps keys and values longer than the process that computed them.
///
/// It must be raised with every change after which some kernel gives other bits for the same input, or cached blocks
/// are laid out otherwise; what was kept under the old number is then computed again. It does not depend on the
/// machine: all instruction sets give the same bits.
pub const REVISION: u32 = 2;

/// Whether this build and this machine can compute on a GPU, and if not, why. Takes up to a second.
pub fn cuda_status() -> CudaStatus {
    #[cfg(feature = "cuda")]
    return cuda::status();
    #[cfg(not(feature = "cuda"))]
    CudaStatus::NotBuilt
}

/// What the first GPU's memory holds; absent if none can be used.
pub fn device_memory() -> Option<DeviceMemory> {
    #[cfg(feature = "cuda")]
    return cuda::memory_in_use();
    #[cfg(not(feature = "cuda"))]
    None
}

/// Opens a GPU and does something with it.
///
/// # Errors
/// The build has no kernels for GPUs, a library or the device is missing, or the device cannot run these kernels.
pub fn with_gpu<U: UseBackend>(config: &GpuConfig, what: U) -> Result<U::Output> {
    #[cfg(feature = "cuda")]
    return Ok(what.with(cuda::Gpu::open(config)?));
    #[cfg(not(feature = "cuda"))]
    {
        _ = (config, what);
        Err(KernelError::Cuda { what: "opening the device", reason: "this build has no kernels for GPUs".into() })
    }
}

/// The crate's result.
pub type Result<T, E = KernelError> = std::result::Result<T, E>;

/// An instruction set that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust: the definition of every kernel, for any machine.
    Plain,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with all of [`Isa::Avx2`], and AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
}

impl Isa {
    /// The fastest set that this machine runs.
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2].into_iter().find(|isa| isa.is_available()).unwrap_or(Self::Plain)
    }

    /// Whether this machine runs it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::is_x86_feature_detected!("avx2")
                    && std::is_x86_feature_detected!("fma")
                    && std::is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

/// The context of every call: a thread pool and an instruction set. Cheap to clone; clones share the pool.
#[derive(Clone, Debug)]
pub struct Kernels {
    pool: Arc<Pool>,
    isa: Isa,
}

impl Kernels {
    /// Kernels for the fastest instruction set of this machine, on `threads` threads, the caller's included (at least one).
    pub fn new(threads: usize) -> Self {
        Self::with_isa(Isa::detect(), threads)
    }

    /// Kernels for one instruction set; [`Isa::Plain`] stands in where this machine lacks it.
    pub fn with_isa(isa: Isa, threads: usize) -> Self {
        let isa = if isa.is_available() { isa } else { Isa::Plain };
        Self { pool: Arc::new(Pool::new(threads)), isa }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads that compute, the caller's included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}
