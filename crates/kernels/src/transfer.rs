//! Blocks of the paged cache as bytes, to be kept elsewhere and brought back.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Tensor, WithDType};
use half::{bf16, f16};

use crate::pages::{Element, with_pages_mut};
use crate::{BLOCK, KernelError, Kernels, KvPages, Result, tensor};

/// An element as bytes, little endian on every machine.
trait Portable: Element {
    fn write(from: &[Self], to: &mut [u8]);
    fn read(from: &[u8], to: &mut [Self]);
}

macro_rules! portable {
    ($($type:ty),*) => {
        $(impl Portable for $type {
            fn write(from: &[Self], to: &mut [u8]) {
                for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from) {
                    *to = from.to_le_bytes();
                }
            }

            fn read(from: &[u8], to: &mut [Self]) {
                for (to, from) in to.iter_mut().zip(from.as_chunks().0) {
                    *to = Self::from_le_bytes(*from);
                }
            }
        })*
    };
}

portable!(f16, bf16, f32);

impl KvPages {
    /// Bytes of one exported block, keys and values together.
    ///
    /// # Errors
    /// The pages are malformed.
    pub fn block_bytes(&self) -> Result<usize> {
        let blocks = self.blocks()?.max(1);
        Ok(2 * self.key.elem_count() / blocks * self.key.dtype().size_in_bytes())
    }

    /// Writes zeros for the positions from `tokens` on in an exported block.
    pub(crate) fn blank(&self, tokens: usize, block: &mut [u8]) {
        if tokens >= BLOCK {
            return;
        }
        let size = self.key.dtype().size_in_bytes();
        let dim = self.value.dims().last().copied().unwrap_or(1);
        let (keys, values) = block.split_at_mut(block.len() / 2);
        for (block, row) in [(keys, size), (values, dim * size)] {
            for (index, row) in block.chunks_exact_mut(row).enumerate() {
                if index % BLOCK >= tokens {
                    row.fill(0);
                }
            }
        }
    }

    /// Where a block begins, in elements; `bytes` are what it is exchanged with.
    fn locate(&self, block: u32, bytes: usize) -> Result<usize> {
        let count = self.blocks()?;
        if block as usize >= count {
            return Err(KernelError::Range { what: "block", index: block as usize, count });
        }
        let expected = self.block_bytes()?;
        if bytes != expected {
            let expected = format!("[{expected}] bytes");
            return Err(KernelError::Shape { what: "exported block", found: vec![bytes], expected });
        }
        Ok(self.key.elem_count() / count * block as usize)
    }
}

impl Kernels {
    /// Copies a block out as bytes: keys, then values. Only its first `tokens` positions are copied; the others may
    /// hold what somebody else left there, so that zeros are written for them.
    ///
    /// # Errors
    /// The pages are malformed, the block does not exist, or `to` has not [`KvPages::block_bytes`].
    pub fn export_block(&self, pages: &KvPages, block: u32, tokens: usize, to: &mut [u8]) -> Result<()> {
        let start = pages.locate(block, to.len())?;
        let (keys, values) = to.split_at_mut(to.len() / 2);
        export(&pages.key, start, keys)?;
        export(&pages.value, start, values)?;
        pages.blank(tokens, to);
        Ok(())
    }

    /// Copies a block in that was copied out of pages of the same shape and type.
    ///
    /// # Errors
    /// The pages are malformed, the block does not exist, or `from` has not [`KvPages::block_bytes`].
    pub fn import_block(&self, pages: &KvPages, block: u32, from: &[u8]) -> Result<()> {
        let start = pages.locate(block, from.len())?;
        let (keys, values) = from.split_at(from.len() / 2);
        pages.key.inplace_op1(&Import { start, from: keys })?;
        pages.value.inplace_op1(&Import { start, from: values })?;
        Ok(())
    }
}

/// The refusal of host memory that has not so many bytes where they should be.
pub(crate) fn short(bytes: usize) -> KernelError {
    KernelError::Shape { what: "staged memory", found: Vec::new(), expected: format!("{bytes} bytes for the blocks") }
}

/// Elements from `start` on, as many as `to` has room for.
fn export(pages: &Tensor, start: usize, to: &mut [u8]) -> Result<()> {
    match pages.dtype() {
        DType::F16 => export_as::<f16>(pages, start, to),
        DType::BF16 => export_as::<bf16>(pages, start, to),
        _ => export_as::<f32>(pages, start, to),
    }
}

fn export_as<T: Portable + WithDType>(pages: &Tensor, start: usize, to: &mut [u8]) -> Result<()> {
    let (storage, layout) = pages.storage_and_layout();
    let pages = tensor::slice::<T>(&storage, layout, "pages")?;
    T::write(&pages[start..], to);
    Ok(())
}

/// Overwrites elements from `start` on.
struct Import<'a> {
    start: usize,
    from: &'a [u8],
}

impl InplaceOp1 for Import<'_> {
    fn name(&self) -> &'static str {
        "import-block"
    }

    fn cpu_fwd(&self, pages: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        with_pages_mut!(pages, layout, |pages| Portable::read(self.from, &mut pages[self.start..]));
        Ok(())
    }
}
