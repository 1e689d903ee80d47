//! The paged cache of one layer.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{BLOCK, Heads, KernelError, Kernels, Result};

/// Keys and values of one layer, changed in place. Both tensors are [blocks, [`BLOCK`], kv heads, head dim] in F16, BF16 or F32.
///
/// The order of elements inside a block is the kernels' own business. On the CPU a block of keys is
/// [kv heads, head dim, [`BLOCK`]], so that one load fetches neighbouring positions, and a block of values is
/// [kv heads, [`BLOCK`], head dim].
#[derive(Clone, Debug)]
pub struct KvPages {
    /// Keys, after rotation.
    pub key: Tensor,
    /// Values.
    pub value: Tensor,
}

impl KvPages {
    /// The order of elements inside a block, as part of the name of whatever was copied out of one.
    pub const ORDER: &'static str = "keys [kv heads, head dim, block], values [kv heads, block, head dim]";

    /// The number of blocks, if the pages fit the heads.
    pub(crate) fn check(&self, heads: Heads) -> Result<usize> {
        let blocks = self.blocks()?;
        let expected = [blocks, BLOCK, heads.kv, heads.dim];
        for (what, pages) in [("key pages", &self.key), ("value pages", &self.value)] {
            if pages.dims() != expected {
                let expected = format!("[blocks, {BLOCK}, {}, {}], the same for both", heads.kv, heads.dim);
                return Err(KernelError::Shape { what, found: pages.dims().to_vec(), expected });
            }
        }
        Ok(blocks)
    }

    /// The number of blocks, if the pages fit each other.
    pub(crate) fn blocks(&self) -> Result<usize> {
        for (what, pages) in [("key pages", &self.key), ("value pages", &self.value)] {
            if !matches!(pages.dtype(), DType::F16 | DType::BF16 | DType::F32) {
                return Err(KernelError::DType { what, found: pages.dtype(), expected: "F16, BF16 or F32" });
            }
            if !pages.is_contiguous() {
                return Err(KernelError::Strided { what });
            }
            if pages.rank() != 4 || pages.dims() != self.key.dims() || pages.dtype() != self.key.dtype() {
                let expected = format!("[blocks, {BLOCK}, kv heads, head dim], the same for both");
                return Err(KernelError::Shape { what, found: pages.dims().to_vec(), expected });
            }
        }
        Ok(self.key.dims()[0])
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use crate::avx512::Float as Widen;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use Copy as Widen;

/// A type that pages are made of.
pub(crate) trait Element: Widen + Default + Send + Sync + 'static {
    /// Exact.
    fn widen(self) -> f32;
    /// Rounds each to nearest. What is too large, or infinite, becomes the largest finite value: an infinity in the cache
    /// would spoil rows that give it no weight.
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Element for f32 {
    fn widen(self) -> f32 {
        self
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        clamp(from, f32::MAX, to);
    }
}

impl Element for f16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        for (from, to) in from.chunks(64).zip(to.chunks_mut(64)) {
            let mut bounded = [0.0; 64];
            let bounded = &mut bounded[..from.len()];
            clamp(from, f16::MAX.to_f32(), bounded);
            to.convert_from_f32_slice(bounded);
        }
    }
}

impl Element for bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        for (&from, to) in from.iter().zip(to) {
            let largest = bf16::MAX.to_f32();
            *to = bf16::from_f32(from.clamp(-largest, largest));
        }
    }
}

fn clamp(from: &[f32], largest: f32, to: &mut [f32]) {
    for (&from, to) in from.iter().zip(to) {
        *to = from.clamp(-largest, largest);
    }
}

/// Runs `$body` with `$pages` bound to the mutable elements of contiguous pages.
macro_rules! with_pages_mut {
    ($storage:expr, $layout:expr, |$pages:ident| $body:expr) => {{
        let (start, end) =
            $layout.contiguous_offsets().ok_or_else(|| candle_core::Error::Msg("pages are a strided view".into()))?;
        match $storage {
            CpuStorage::F16(pages) => {
                let $pages = &mut pages[start..end];
                $body
            }
            CpuStorage::BF16(pages) => {
                let $pages = &mut pages[start..end];
                $body
            }
            CpuStorage::F32(pages) => {
                let $pages = &mut pages[start..end];
                $body
            }
            other => candle_core::bail!("pages hold {:?}", candle_core::backend::BackendStorage::dtype(other)),
        }
    }};
}

pub(crate) use with_pages_mut;

/// Writes [tokens, kv heads * dim] from a row of queries, keys and values into pages.
pub(crate) struct WritePages<'a, F> {
    pub(crate) slots: &'a [u32],
    pub(crate) heads: Heads,
    /// Whether the pages hold keys, whose blocks are [kv heads, dim, BLOCK].
    pub(crate) keys: bool,
    /// Fills the row to write, [kv heads * dim], from the row's index and its queries, keys and values.
    pub(crate) row: F,
}

impl<F: Fn(usize, &[f32], &mut [f32])> InplaceOp2 for WritePages<'_, F> {
    fn name(&self) -> &'static str {
        "write-pages"
    }

    fn cpu_fwd(
        &self,
        pages: &mut CpuStorage,
        layout: &Layout,
        qkv: &CpuStorage,
        from: &Layout,
    ) -> candle_core::Result<()> {
        let (start, end) =
            from.contiguous_offsets().ok_or_else(|| candle_core::Error::Msg("qkv is a strided view".into()))?;
        let qkv = &qkv.as_slice::<f32>()?[start..end];
        with_pages_mut!(pages, layout, |pages| self.write(pages, qkv));
        Ok(())
    }
}

impl<F: Fn(usize, &[f32], &mut [f32])> WritePages<'_, F> {
    fn write<T: Element>(&self, pages: &mut [T], qkv: &[f32]) {
        let Heads { kv, dim, .. } = self.heads;
        let mut row = vec![0.0; kv * dim];
        let mut narrow = vec![T::default(); kv * dim];
        for (index, (qkv, &slot)) in qkv.chunks_exact(self.heads.qkv_width()).zip(self.slots).enumerate() {
            (self.row)(index, qkv, &mut row);
            T::narrow(&row, &mut narrow);
            let (block, offset) = (slot as usize / BLOCK, slot as usize % BLOCK);
            let page = &mut pages[block * BLOCK * kv * dim..][..BLOCK * kv * dim];
            for (page, head) in page.chunks_exact_mut(BLOCK * dim).zip(narrow.chunks_exact(dim)) {
                if self.keys {
                    for (lane, &x) in page.as_chunks_mut::<BLOCK>().0.iter_mut().zip(head) {
                        lane[offset] = x;
                    }
                } else {
                    page[offset * dim..][..dim].copy_from_slice(head);
                }
            }
        }
    }
}

struct CopyBlock {
    from: usize,
    to: usize,
    len: usize,
}

impl candle_core::InplaceOp1 for CopyBlock {
    fn name(&self) -> &'static str {
        "copy-block"
    }

    fn cpu_fwd(&self, pages: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let from = self.from * self.len;
        with_pages_mut!(pages, layout, |pages| pages.copy_within(from..from + self.len, self.to * self.len));
        Ok(())
    }
}

impl Kernels {
    /// Copies one block of keys and values onto another.
    ///
    /// # Errors
    /// If the pages are malformed or a block does not exist.
    pub fn copy_block(&self, pages: &KvPages, from: u32, to: u32) -> Result<()> {
        let count = pages.blocks()?;
        for index in [from, to] {
            if index as usize >= count {
                return Err(KernelError::Range { what: "block", index: index as usize, count });
            }
        }
        for pages in [&pages.key, &pages.value] {
            let len = pages.elem_count() / count;
            pages.inplace_op1(&CopyBlock { from: from as usize, to: to as usize, len })?;
        }
        Ok(())
    }
}
