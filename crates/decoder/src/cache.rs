//! Keys and values of all layers, in blocks that sequences borrow.

use std::fmt;

use baton_kernels::{BLOCK, Kernels, KvPages, REVISION};
use candle_core::{DType, Device, Shape, Tensor};
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};

use crate::{Architecture, BatchError, Error};

/// The paged cache of one decoder: for each layer, keys and values of [blocks, [`BLOCK`], kv heads, head dim].
///
/// What lies in a block nobody has written is not to be read; the batch's spans see to that.
#[derive(Debug)]
pub struct PagedCache {
    pub(crate) layers: Vec<KvPages>,
    blocks: usize,
    form: CacheForm,
}

/// What exported blocks look like. Caches of one form can exchange them, if model and tokens are the same.
///
/// Its text names all that their bits depend on beside model and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheForm {
    /// Layers.
    pub layers: usize,
    /// Key and value heads of a layer.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// How keys and values are kept.
    pub dtype: DType,
}

impl CacheForm {
    /// The form of a cache for this model.
    pub fn new(architecture: &Architecture, dtype: DType) -> Self {
        let Architecture { layers, heads, .. } = *architecture;
        Self { layers, kv_heads: heads.kv, head_dim: heads.dim, dtype }
    }

    /// Bytes of one layer of so many blocks.
    pub fn layer_bytes(&self, blocks: usize) -> usize {
        2 * blocks * BLOCK * self.kv_heads * self.head_dim * self.dtype.size_in_bytes()
    }
}

impl fmt::Display for CacheForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layers, kv_heads, head_dim, dtype } = self;
        let dtype = dtype.as_str();
        write!(f, "{layers} layers of {kv_heads} heads of {head_dim} {dtype}, little endian, blocks of {BLOCK}, ")?;
        write!(f, "{}, revision {REVISION}", KvPages::ORDER)
    }
}

impl PagedCache {
    /// A cache of `blocks` blocks. On the CPU its memory is promised at once, but taken as blocks are first written.
    ///
    /// # Errors
    /// The device has not enough memory, or the kernels cannot keep keys and values as `dtype`.
    pub fn new(architecture: &Architecture, blocks: usize, dtype: DType, device: &Device) -> Result<Self, Error> {
        let shape = Shape::from((blocks, BLOCK, architecture.heads.kv, architecture.heads.dim));
        let pages = || Ok::<_, Error>(zeros(&shape, dtype, device)?);
        let layers = (0..architecture.layers).map(|_| Ok(KvPages { key: pages()?, value: pages()? }));
        Ok(Self { layers: layers.collect::<Result<_, Error>>()?, blocks, form: CacheForm::new(architecture, dtype) })
    }

    /// Bytes that one block takes in all layers together.
    pub fn bytes_per_block(architecture: &Architecture, dtype: DType) -> usize {
        architecture.layers * CacheForm::new(architecture, dtype).layer_bytes(1)
    }

    /// What exported blocks look like.
    pub fn form(&self) -> CacheForm {
        self.form
    }

    /// Blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Copies keys and values of all layers from one block onto another.
    ///
    /// # Errors
    /// One of the blocks does not exist.
    pub fn copy_block(&mut self, kernels: &Kernels, from: u32, to: u32) -> Result<(), Error> {
        for pages in &self.layers {
            kernels.copy_block(pages, from, to)?;
        }
        Ok(())
    }

    /// Copies `tokens` positions out of `blocks`: layer by layer, of each all blocks. What is left of the last block
    /// is zeros, whatever the cache holds there.
    ///
    /// # Errors
    /// One of the blocks does not exist.
    pub fn export(&self, kernels: &Kernels, blocks: &[u32], tokens: usize) -> Result<Vec<u8>, Error> {
        let layer_bytes = self.form.layer_bytes(blocks.len());
        let mut bytes = vec![0; self.form.layers * layer_bytes];
        for (pages, to) in self.layers.iter().zip(bytes.chunks_exact_mut(layer_bytes.max(1))) {
            for (index, (block, to)) in blocks.iter().zip(to.chunks_exact_mut(self.form.layer_bytes(1))).enumerate() {
                kernels.export_block(pages, *block, tokens.saturating_sub(index * BLOCK).min(BLOCK), to)?;
            }
        }
        Ok(bytes)
    }

    /// Copies one layer of blocks in that were exported from a cache of the same form.
    ///
    /// # Errors
    /// There is no such layer or block, or `from` is not as long as one layer of the blocks.
    pub fn import_layer(&mut self, kernels: &Kernels, layer: usize, blocks: &[u32], from: &[u8]) -> Result<(), Error> {
        let fits = from.len() == self.form.layer_bytes(blocks.len());
        let pages = self.layers.get(layer).filter(|_| fits).ok_or(BatchError::Cache)?;
        for (block, from) in blocks.iter().zip(from.chunks_exact(self.form.layer_bytes(1))) {
            kernels.import_block(pages, *block, from)?;
        }
        Ok(())
    }
}

/// Zeros that the operating system gives out page by page as they are touched.
///
/// The library's own zeros write 16-bit values one by one, so a cache of gigabytes would be resident, and the start
/// would wait for it, before anything is in it.
fn zeros(shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
    let bits = || vec![0u16; shape.elem_count()];
    match dtype {
        DType::F16 if device.is_cpu() => Tensor::from_vec(bits().reinterpret_into::<f16>(), shape, device),
        DType::BF16 if device.is_cpu() => Tensor::from_vec(bits().reinterpret_into::<bf16>(), shape, device),
        _ => Tensor::zeros(shape, dtype, device),
    }
}
