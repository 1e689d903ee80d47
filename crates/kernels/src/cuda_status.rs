//! What stands between this build and a GPU, for whoever has to tell a person.

use std::fmt;

/// What [`cuda_status`](crate::cuda_status) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaStatus {
    /// This build has no kernels for a GPU.
    NotBuilt,
    /// It has, but this machine lacks something; never empty.
    Missing(Vec<CudaMissing>),
    /// The first device can be used.
    Ready {
        /// The newest CUDA that the driver knows.
        driver: CudaVersion,
        /// All devices that the driver shows to this process, in its order; at least one.
        devices: Vec<CudaDevice>,
    },
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// What it calls itself.
    pub name: String,
    /// All of its memory, used or not, in bytes.
    pub memory: u64,
    /// Its compute capability.
    pub capability: CudaVersion,
}

/// What the memory of a GPU holds, of all programs together, as its driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// All of it, in bytes.
    pub total: u64,
    /// Of these, in use.
    pub used: u64,
}

/// A version of CUDA or a compute capability: both are a number with one digit after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion {
    /// Before the point.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

/// One thing that a machine lacks. Each is a sentence, with [`hint`](Self::hint) as the next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaMissing {
    /// The driver's library cannot be loaded.
    #[error("there is no NVIDIA driver: libcuda.so.1 cannot be loaded")]
    Driver,
    /// The driver is older than what the kernels were compiled for.
    #[error("the NVIDIA driver knows CUDA up to {found}, but {needed} is needed")]
    DriverTooOld {
        /// What it knows.
        found: CudaVersion,
        /// What it has to know.
        needed: CudaVersion,
    },
    /// The driver is there and does not work.
    #[error("the NVIDIA driver fails with {0}")]
    DriverFails(
        /// Its name for the failure.
        String,
    ),
    /// The driver sees no device.
    #[error("the NVIDIA driver sees no GPU")]
    Device,
    /// No machine code was compiled for the first device.
    #[error(
        "the kernels of this build do not run on the {name}: its compute capability is {found}, they are for {built}"
    )]
    Code {
        /// What the device calls itself.
        name: String,
        /// What it can do.
        found: CudaVersion,
        /// What was compiled, in words.
        built: String,
    },
    /// The library for matrix products cannot be loaded.
    #[error("there is no cuBLAS: libcublasLt.so.13 cannot be loaded")]
    Cublas,
}

impl CudaMissing {
    /// What can be done about it, and where to get it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Driver => {
                "install NVIDIA's driver, version 580 or newer; a container has to be started with the GPU, and the folder \
                 of libcuda.so.1 may have to be in LD_LIBRARY_PATH"
            }
            Self::DriverTooOld { .. } => "install NVIDIA's driver, version 580 or newer",
            Self::DriverFails(_) => "nvidia-smi may say more; after an update of the driver the machine has to restart",
            Self::Device => {
                "nvidia-smi -L lists them; CUDA_VISIBLE_DEVICES may hide them, and a container has to be started with them"
            }
            Self::Code { .. } => {
                "build with BATON_CUDA_ARCHS; Ampere (8.0) is the oldest that the kernels can be made for"
            }
            Self::Cublas => {
                "install CUDA 13's libraries or `pip install 'nvidia-cublas==13.*'`, and put the folder with \
                 libcublasLt.so.13 into LD_LIBRARY_PATH; scripts/gpu/libraries finds it"
            }
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
