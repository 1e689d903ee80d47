//! One device: its context, its one stream and the kernels that are loaded on it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, PoisonError, RwLock};

use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as MOST_SHARED,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
};
use cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as SHARED;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, result};
use cudarc::nvrtc::Ptx;

use crate::cuda::fault::failed;
use crate::cuda::libraries::status;
use crate::cuda::memory::{Arena, Scratch};
use crate::{CudaStatus, KernelError, Result};

/// The kernels as build.rs has compiled them: machine code for several devices each.
const IMAGES: &[&[u8]] = &[
    include_bytes!(concat!(env!("OUT_DIR"), "/attend.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/coded.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/experts.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/grouped.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/lora.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/product.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/rope.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/rows.fatbin")),
    include_bytes!(concat!(env!("OUT_DIR"), "/sample.fatbin")),
];

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// As the driver calls it.
    pub name: String,
    /// Major and minor number of what it can compute.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub memory: usize,
    /// Multiprocessors.
    pub processors: usize,
}

/// A device that is ready for work. All work is on one stream, so that it is done in the order in which it is given.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
    /// Blocks that move between the device and the host while steps are computed.
    pub(crate) copies: Arc<CudaStream>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) info: DeviceInfo,
    modules: Vec<Arc<CudaModule>>,
    /// Kernels that were asked for.
    functions: RwLock<HashMap<&'static str, CudaFunction>>,
}

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Blocks, in two directions.
    pub(crate) grid: (usize, usize),
    /// Threads of a block.
    pub(crate) block: usize,
    /// Bytes of shared memory for each block.
    pub(crate) shared: usize,
}

/// What a kernel takes by value.
///
/// # Safety
/// The type lies in memory as the kernel expects it: C's layout, without pointers to the host.
pub(crate) unsafe trait Argument {
    /// Where it lies.
    fn address(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

// SAFETY: a device address, or null.
unsafe impl Argument for u64 {}
// SAFETY: a plain number.
unsafe impl Argument for u32 {}
// SAFETY: a plain number.
unsafe impl Argument for f32 {}

impl Device {
    /// Opens the device of this number and loads all kernels.
    ///
    /// # Errors
    /// There is no driver or no such device, or it cannot run these kernels.
    pub(crate) fn open(ordinal: usize) -> Result<Self> {
        // Without its libraries the calls below would panic.
        if let CudaStatus::Missing(missing) = status() {
            let reason = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(KernelError::Cuda { what: "opening the device", reason });
        }
        let context = CudaContext::new(ordinal).map_err(failed("opening the device"))?;
        // SAFETY: steps are on one stream, and who begins copies on the other orders them by events.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let copies = context.new_stream().map_err(failed("making a stream"))?;
        let attribute = |attribute| context.attribute(attribute).map_err(failed("asking the device"));
        let info = DeviceInfo {
            name: context.name().map_err(failed("asking the device"))?,
            capability: context.compute_capability().map_err(failed("asking the device"))?,
            memory: context.total_mem().map_err(failed("asking the device"))?,
            processors: usize::try_from(attribute(PROCESSORS)?).unwrap_or(1).max(1),
        };
        let load = |image: &&[u8]| context.load_module(Ptx::from_binary(image.to_vec()));
        let modules = IMAGES.iter().map(load).collect::<Result<_, _>>().map_err(failed("loading the kernels"))?;
        let arena = Arena::new(&context);
        Ok(Self { context, stream, copies, arena, info, modules, functions: RwLock::default() })
    }

    /// A kernel by its name.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn function(&self, name: &'static str) -> Result<CudaFunction> {
        if let Some(function) = self.functions.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(function.clone());
        }
        let found = self.modules.iter().find_map(|module| module.load_function(name).ok());
        let function = found
            .ok_or_else(|| KernelError::Cuda { what: "finding a kernel", reason: format!("there is no `{name}`") })?;
        self.functions.write().unwrap_or_else(PoisonError::into_inner).insert(name, function.clone());
        Ok(function)
    }

    /// Starts a kernel with the arguments that `arguments` hands over, in the kernel's order.
    ///
    /// # Safety
    /// The arguments are those that the kernel of this name takes, and every pointer among them reaches as far as the
    /// kernel reads and writes for this grid.
    ///
    /// # Errors
    /// There is no such kernel, or the device does not take it.
    pub(crate) unsafe fn launch(&self, name: &'static str, shape: Shape, arguments: &[&dyn Argument]) -> Result<()> {
        let Shape { grid: (columns, rows), block, shared } = shape;
        if columns == 0 || rows == 0 {
            return Ok(());
        }
        let number = |number: usize| {
            u32::try_from(number).map_err(|_| KernelError::Parameter(format!("a grid of {number} is too large")))
        };
        let (grid, block) = ((number(columns)?, number(rows)?, 1), (number(block)?, 1, 1));
        let function = self.function(name)?;
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(|argument| argument.address()).collect();
        self.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: the caller has promised that the arguments fit; the driver copies them before it returns.
        let started = unsafe {
            result::launch_kernel(
                function.cu_function(),
                grid,
                block,
                number(shared)?,
                self.stream.cu_stream(),
                &mut pointers,
            )
        };
        started.map_err(failed("starting a kernel"))
    }

    /// Lets a kernel use more shared memory than every device has.
    pub(crate) fn allow_shared(&self, name: &'static str, bytes: usize) -> Result<()> {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.function(name)?.set_attribute(SHARED, bytes).map_err(failed("giving a kernel its shared memory"))
    }

    /// Bytes of shared memory that a block of a kernel may ask for, beside what it has of its own.
    pub(crate) fn most_shared(&self) -> Result<usize> {
        let most = self.context.attribute(MOST_SHARED).map_err(failed("asking for the shared memory"))?;
        // Kernels have up to a kibibyte of their own.
        Ok(usize::try_from(most).unwrap_or(0).saturating_sub(1 << 10))
    }

    /// A library's error, or that of the device if that is lost: libraries do not tell.
    pub(crate) fn judged(&self, error: KernelError) -> KernelError {
        match self.context.mem_get_info().map_err(failed("asking the device")) {
            Err(lost @ KernelError::Lost { .. }) => lost,
            _ => error,
        }
    }

    /// Scratch memory for this step.
    pub(crate) fn scratch(&self, bytes: usize) -> Result<Scratch> {
        self.arena.scratch(bytes)
    }

    /// Waits until all work is done.
    pub(crate) fn synchronise(&self) -> Result<()> {
        self.stream.synchronize().map_err(failed("waiting for the device"))
    }
}
