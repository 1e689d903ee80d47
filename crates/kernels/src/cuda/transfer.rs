//! Blocks of the cache on their way out and back.

use std::sync::Arc;

use candle_core::DType;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaContext, CudaStream, result};

use crate::cuda::Gpu;
use crate::cuda::attend::DevicePages;
use crate::cuda::fault::{bound, failed};
use crate::cuda::memory::{Buffer, Pinned};
use crate::transfer::short;
use crate::{BLOCK, KernelError, Result};

impl Gpu {
    /// Bytes read and written a second while large memory is copied.
    pub(crate) fn measure_copies(&self, bytes: usize) -> Result<f64> {
        const TIMES: u16 = 8;
        let context = &self.device.context;
        let (from, to) = (Buffer::zeros(context, bytes)?, Buffer::zeros(context, bytes)?);
        let stream = &self.device.stream;
        let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
        let copy = || {
            // SAFETY: both have so many bytes.
            unsafe { result::memcpy_dtod_async(to.pointer(), from.pointer(), bytes, stream.cu_stream()) }
        };
        copy().map_err(failed("copying on the device"))?;
        let start = stream.record_event(timed).map_err(failed("recording an event"))?;
        for _ in 0..TIMES {
            copy().map_err(failed("copying on the device"))?;
        }
        let end = stream.record_event(timed).map_err(failed("recording an event"))?;
        self.device.synchronise()?;
        let milliseconds = start.elapsed_ms(&end).map_err(failed("reading an event"))?;
        #[expect(clippy::cast_precision_loss, reason = "a memory is far below 2^52 bytes")]
        Ok(f64::from(TIMES) * 2.0 * bytes as f64 / (f64::from(milliseconds) / 1000.0))
    }

    /// Copies one block of keys and values onto another.
    pub(crate) fn copy_pages(&self, pages: &DevicePages, from: u32, to: u32) -> Result<()> {
        let bytes = pages.block_bytes();
        let (from, to) = (pages.offset(from)?, pages.offset(to)?);
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        for pages in [&pages.key, &pages.value] {
            // SAFETY: both blocks are within the pages.
            let copied = unsafe {
                let (to, from) = (pages.pointer() + to, pages.pointer() + from);
                result::memcpy_dtod_async(to, from, bytes, self.device.stream.cu_stream())
            };
            copied.map_err(failed("copying a block"))?;
        }
        Ok(())
    }

    /// Begins to copy blocks out.
    pub(crate) fn export_pages(&self, pages: &DevicePages, blocks: &[u32], to: &mut Staged, at: usize) -> Result<()> {
        let stream = self.device.copies.cu_stream();
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        let to = to.part(at, blocks.len() * 2 * pages.block_bytes())?;
        for (block, to) in blocks.iter().zip(to.chunks_exact_mut(2 * pages.block_bytes())) {
            let offset = pages.offset(*block)?;
            let (keys, values) = to.split_at_mut(pages.block_bytes());
            for (to, pages) in [(keys, &pages.key), (values, &pages.value)] {
                // SAFETY: the block is within the pages and as long as `to`, which waits for this stream before it is freed.
                unsafe { result::memcpy_dtoh_async(to, pages.pointer() + offset, stream) }
                    .map_err(failed("copying a block"))?;
            }
        }
        Ok(())
    }

    /// Begins to copy blocks in.
    pub(crate) fn import_pages(&self, pages: &DevicePages, blocks: &[u32], from: &Staged, at: usize) -> Result<()> {
        let stream = self.device.copies.cu_stream();
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        let bytes = blocks.len() * 2 * pages.block_bytes();
        let from = from.as_ref().get(at..at.saturating_add(bytes)).ok_or_else(|| short(bytes))?;
        for (block, from) in blocks.iter().zip(from.chunks_exact(2 * pages.block_bytes())) {
            let offset = pages.offset(*block)?;
            let (keys, values) = from.split_at(pages.block_bytes());
            for (from, pages) in [(keys, &pages.key), (values, &pages.value)] {
                // SAFETY: as above.
                unsafe { result::memcpy_htod_async(pages.pointer() + offset, from, stream) }
                    .map_err(failed("copying a block"))?;
            }
        }
        Ok(())
    }
}

/// Host memory that the device copies to and from while steps are computed.
#[derive(Debug)]
pub struct Staged {
    memory: Pinned,
    copies: Arc<CudaStream>,
}

impl Staged {
    pub(crate) fn new(context: &Arc<CudaContext>, copies: &Arc<CudaStream>, bytes: usize) -> Result<Self> {
        Ok(Self { memory: Pinned::new(context, bytes)?, copies: Arc::clone(copies) })
    }

    fn part(&mut self, at: usize, bytes: usize) -> Result<&mut [u8]> {
        self.as_mut().get_mut(at..at.saturating_add(bytes)).ok_or_else(|| short(bytes))
    }
}

impl AsRef<[u8]> for Staged {
    fn as_ref(&self) -> &[u8] {
        self.memory.bytes()
    }
}

impl AsMut<[u8]> for Staged {
    fn as_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Copies may still read or write it. Should the device be lost, there are none.
        _ = bound(self.copies.context()) && self.copies.synchronize().is_ok();
    }
}

impl DevicePages {
    /// Where a block begins, in bytes.
    fn offset(&self, block: u32) -> Result<u64> {
        let index = block as usize;
        if index >= self.blocks {
            return Err(KernelError::Range { what: "block", index, count: self.blocks });
        }
        Ok((index * self.block_bytes()) as u64)
    }

    /// Writes zeros for the positions from `tokens` on in an exported block.
    pub(crate) fn blank(&self, tokens: usize, block: &mut [u8]) {
        let row = self.heads.dim * DType::F16.size_in_bytes();
        for (index, row) in block.chunks_exact_mut(row).enumerate() {
            if index % BLOCK >= tokens {
                row.fill(0);
            }
        }
    }
}
