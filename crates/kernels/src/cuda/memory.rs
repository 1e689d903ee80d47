//! Memory on the device, and memory of the host that the device reads by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, result};

use crate::cuda::fault::{bound, failed};
use crate::cuda::libraries::status;
use crate::{CudaStatus, DeviceMemory, KernelError, Result};

/// Scratch memory is given out in multiples of this, which suits every vector load.
const GRAIN: usize = 512;
/// Scratch memory is taken from the device in pieces of at least this size.
const CHUNK: usize = 64 << 20;

/// Device memory of its own.
#[derive(Debug)]
pub(crate) struct Buffer {
    pointer: u64,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl Buffer {
    /// Uninitialised memory.
    ///
    /// # Errors
    /// The device has not enough left.
    pub(crate) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self> {
        context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: the context is bound to this thread.
        let pointer = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => KernelError::Memory { wanted: bytes, free: free(context) },
            _ => failed("finding memory")(error),
        })?;
        Ok(Self { pointer, bytes, context: Arc::clone(context) })
    }

    /// Memory of zeros.
    pub(crate) fn zeros(context: &Arc<CudaContext>, bytes: usize) -> Result<Self> {
        let buffer = Self::new(context, bytes)?;
        // SAFETY: the buffer has so many bytes.
        unsafe { result::memset_d8_sync(buffer.pointer, 0, bytes) }.map_err(failed("clearing memory"))?;
        Ok(buffer)
    }

    /// Memory with these bytes in it.
    pub(crate) fn from_bytes(context: &Arc<CudaContext>, from: &[u8]) -> Result<Self> {
        let buffer = Self::new(context, from.len())?;
        buffer.fill(from)?;
        Ok(buffer)
    }

    /// Writes bytes from the memory's beginning on; they are there when this returns.
    ///
    /// # Errors
    /// There are more than there is memory, or the device failed.
    pub(crate) fn fill(&self, from: &[u8]) -> Result<()> {
        if from.len() > self.bytes {
            let (found, expected) = (vec![from.len()], format!("[{} or fewer]", self.bytes));
            return Err(KernelError::Shape { what: "bytes for the device", found, expected });
        }
        self.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: the buffer has as many bytes.
        unsafe { result::memcpy_htod_sync(self.pointer, from) }.map_err(failed("copying to the device"))?;
        // The copy returns when the host's memory has been read, and the steps' stream would not wait for the rest.
        // SAFETY: null is the stream that the copy went to.
        unsafe { result::stream::synchronize(std::ptr::null_mut()) }.map_err(failed("copying to the device"))
    }

    pub(crate) fn pointer(&self) -> u64 {
        self.pointer
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // A context that is gone has taken its memory with it.
        if bound(&self.context) {
            // SAFETY: it was allocated in this context, and is freed once. The call waits for work that uses it.
            _ = unsafe { result::free_sync(self.pointer) };
        }
    }
}

/// What the first device's memory holds; absent if there is none that can be used.
pub(crate) fn memory_in_use() -> Option<DeviceMemory> {
    // Without its libraries the calls below would panic.
    let CudaStatus::Ready { .. } = status() else { return None };
    let (free, total) = CudaContext::new(0).and_then(|context| context.mem_get_info()).ok()?;
    Some(DeviceMemory { total: total as u64, used: total.saturating_sub(free) as u64 })
}

fn free(context: &CudaContext) -> usize {
    context.mem_get_info().map_or(0, |(free, _)| free)
}

/// Host memory that copies to and from the device need not be staged through.
#[derive(Debug)]
pub(crate) struct Pinned {
    pointer: *mut u8,
    bytes: usize,
    context: Arc<CudaContext>,
}

// SAFETY: it owns its memory like a box.
unsafe impl Send for Pinned {}
// SAFETY: shared references only read.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(crate) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self> {
        context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: the context is bound to this thread.
        let pointer = unsafe { result::malloc_host(bytes.max(1), 0) }.map_err(failed("pinning host memory"))?;
        // SAFETY: it was just allocated with so many bytes.
        unsafe { pointer.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { pointer: pointer.cast(), bytes, context: Arc::clone(context) })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes were allocated and written.
        unsafe { std::slice::from_raw_parts(self.pointer, self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has a reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if bound(&self.context) {
            // SAFETY: it was allocated so, and is freed once.
            _ = unsafe { result::free_host(self.pointer.cast()) };
        }
    }
}

/// Scratch memory of the steps: given back, it is used again at once, because everything runs on one stream.
///
/// What it has taken from the device it keeps, so that a recorded graph can go on using the addresses that it was
/// recorded with.
#[derive(Debug)]
pub(crate) struct Arena {
    context: Arc<CudaContext>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<Buffer>,
    /// Of the last chunk.
    used: usize,
    /// Addresses by size.
    free: BTreeMap<usize, Vec<u64>>,
}

impl Arena {
    pub(crate) fn new(context: &Arc<CudaContext>) -> Arc<Self> {
        Arc::new(Self { context: Arc::clone(context), state: Mutex::default() })
    }

    /// Scratch memory, whatever it holds.
    ///
    /// # Errors
    /// The device has not enough left.
    pub(crate) fn scratch(self: &Arc<Self>, bytes: usize) -> Result<Scratch> {
        let size = size_class(bytes);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pointer) = state.free.get_mut(&size).and_then(Vec::pop) {
            return Ok(Scratch { pointer, bytes, arena: Arc::clone(self) });
        }
        if state.chunks.last().is_none_or(|chunk| chunk.bytes() - state.used < size) {
            state.chunks.push(Buffer::new(&self.context, size.max(CHUNK))?);
            state.used = 0;
        }
        let start = state.chunks.last().map_or(0, Buffer::pointer);
        let pointer = start + state.used as u64;
        state.used += size;
        Ok(Scratch { pointer, bytes, arena: Arc::clone(self) })
    }
}

/// Sizes are rounded so that slightly different batches use the same pieces: to an eighth of a power of two.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.max(1).next_power_of_two() / 16).max(GRAIN);
    bytes.max(1).next_multiple_of(step)
}

/// A piece of an arena, given back when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    pointer: u64,
    bytes: usize,
    arena: Arc<Arena>,
}

impl Scratch {
    pub(crate) fn pointer(&self) -> u64 {
        self.pointer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut state = self.arena.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.entry(size_class(self.bytes)).or_default().push(self.pointer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_few_classes() {
        assert_eq!(size_class(0), 512);
        assert_eq!(size_class(513), 1024);
        assert_eq!(size_class(1 << 20), 1 << 20);
        assert_eq!(size_class((1 << 20) + 1), (1 << 20) + (1 << 17));
        for bytes in (1..5_000_000).step_by(4_097) {
            let size = size_class(bytes);
            assert!(size >= bytes && size.is_multiple_of(GRAIN) && size <= bytes + bytes / 7 + GRAIN, "{bytes}");
            assert_eq!(size_class(size), size, "a class is its own");
        }
    }
}
