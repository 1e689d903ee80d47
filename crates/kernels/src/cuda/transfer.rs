//! Blocks of the cache on their way out and back.

use candle_core::DType;
use cudarc::driver::result;
use cudarc::driver::sys::CUevent_flags;

use crate::cuda::Gpu;
use crate::cuda::attend::DevicePages;
use crate::cuda::device::failed;
use crate::cuda::memory::Buffer;
use crate::{BLOCK, KernelError, Result};

impl Gpu {
    /// Bytes read and written a second while large memory is copied.
    pub(crate) fn measure_copies(&self) -> Result<f64> {
        const BYTES: usize = 2 << 30;
        const TIMES: u16 = 8;
        let context = &self.device.context;
        let (from, to) = (Buffer::zeros(context, BYTES)?, Buffer::zeros(context, BYTES)?);
        let stream = &self.device.stream;
        let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
        let copy = || {
            // SAFETY: both have so many bytes.
            unsafe { result::memcpy_dtod_async(to.pointer(), from.pointer(), BYTES, stream.cu_stream()) }
        };
        copy().map_err(failed("copying on the device"))?;
        let start = stream.record_event(timed).map_err(failed("recording an event"))?;
        for _ in 0..TIMES {
            copy().map_err(failed("copying on the device"))?;
        }
        let end = stream.record_event(timed).map_err(failed("recording an event"))?;
        self.device.synchronise()?;
        let milliseconds = start.elapsed_ms(&end).map_err(failed("reading an event"))?;
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        Ok(f64::from(TIMES) * 2.0 * BYTES as f64 / (f64::from(milliseconds) / 1000.0))
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

    /// Copies a block out: keys, then values, zeros for positions from `tokens` on.
    pub(crate) fn export_pages(&self, pages: &DevicePages, block: u32, tokens: usize, to: &mut [u8]) -> Result<()> {
        let offset = pages.exchanged(block, to.len())?;
        // Work that writes the block may still be under way.
        self.device.synchronise()?;
        let (keys, values) = to.split_at_mut(to.len() / 2);
        for (to, pages) in [(&mut *keys, &pages.key), (&mut *values, &pages.value)] {
            // SAFETY: the block is within the pages, and as long as `to`.
            unsafe { result::memcpy_dtoh_sync(to, pages.pointer() + offset) }.map_err(failed("copying a block"))?;
        }
        let row = pages.heads.dim * DType::F16.size_in_bytes();
        for to in [keys, values] {
            for (index, row) in to.chunks_exact_mut(row).enumerate() {
                if index % BLOCK >= tokens {
                    row.fill(0);
                }
            }
        }
        Ok(())
    }

    /// Copies a block in.
    pub(crate) fn import_pages(&self, pages: &DevicePages, block: u32, from: &[u8]) -> Result<()> {
        let offset = pages.exchanged(block, from.len())?;
        self.device.synchronise()?;
        let (keys, values) = from.split_at(from.len() / 2);
        for (from, pages) in [(keys, &pages.key), (values, &pages.value)] {
            // SAFETY: as above.
            unsafe { result::memcpy_htod_sync(pages.pointer() + offset, from) }.map_err(failed("copying a block"))?;
        }
        Ok(())
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

    /// As above, for a block that is exchanged with so many bytes.
    fn exchanged(&self, block: u32, bytes: usize) -> Result<u64> {
        let expected = 2 * self.block_bytes();
        if bytes != expected {
            let expected = format!("[{expected}] bytes");
            return Err(KernelError::Shape { what: "exported block", found: vec![bytes], expected });
        }
        self.offset(block)
    }
}
