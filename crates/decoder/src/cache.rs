//! Keys and values of all layers, in blocks that sequences borrow.

use std::fmt;

use baton_kernels::{BLOCK, Backend, Kernels, REVISION};
use candle_core::DType;

use crate::{Architecture, BatchError, Error};

/// The paged cache of one decoder: for each layer, keys and values of [blocks, [`BLOCK`], kv heads, head dim].
///
/// What lies in a block nobody has written is not to be read; the batch's spans see to that.
pub struct PagedCache<B: Backend = Kernels> {
    pub(crate) layers: Vec<B::Pages>,
    /// Steps that were recorded over these pages.
    pub(crate) recorded: B::Recorded,
    blocks: usize,
    form: CacheForm,
}

impl<B: Backend> fmt::Debug for PagedCache<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedCache").field("blocks", &self.blocks).field("form", &self.form).finish_non_exhaustive()
    }
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
    /// The order of elements inside a block, and what else of the device their bits depend on.
    pub order: &'static str,
}

impl CacheForm {
    /// The form of a cache for this model, whose pages have this order.
    pub fn new(architecture: &Architecture, dtype: DType, order: &'static str) -> Self {
        let Architecture { layers, heads, .. } = *architecture;
        Self { layers, kv_heads: heads.kv, head_dim: heads.dim, dtype, order }
    }

    /// Bytes that one block takes in all layers together.
    pub fn block_bytes(&self) -> usize {
        self.layers * self.layer_bytes(1)
    }

    /// Bytes of one layer of so many blocks.
    pub fn layer_bytes(&self, blocks: usize) -> usize {
        2 * blocks * BLOCK * self.kv_heads * self.head_dim * self.dtype.size_in_bytes()
    }
}

impl fmt::Display for CacheForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layers, kv_heads, head_dim, dtype, order } = self;
        let dtype = dtype.as_str();
        write!(f, "{layers} layers of {kv_heads} heads of {head_dim} {dtype}, little endian, blocks of {BLOCK}, ")?;
        write!(f, "{order}, revision {REVISION}")
    }
}

impl<B: Backend> PagedCache<B> {
    /// A cache of `blocks` blocks where `kernels` compute. On the CPU its memory is promised at once, but taken as blocks
    /// are first written.
    ///
    /// # Errors
    /// The device has not enough memory, or the kernels cannot keep keys and values as `dtype`.
    pub fn new(kernels: &B, architecture: &Architecture, blocks: usize, dtype: DType) -> Result<Self, Error> {
        let layers = (0..architecture.layers).map(|_| Ok(kernels.pages(blocks, architecture.heads, dtype)?));
        let layers = layers.collect::<Result<_, Error>>()?;
        let form = CacheForm::new(architecture, dtype, kernels.pages_order());
        Ok(Self { layers, recorded: B::Recorded::default(), blocks, form })
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
    pub fn copy_block(&mut self, kernels: &B, from: u32, to: u32) -> Result<(), Error> {
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
    pub fn export(&self, kernels: &B, blocks: &[u32], tokens: usize) -> Result<Vec<u8>, Error> {
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
    pub fn import_layer(&mut self, kernels: &B, layer: usize, blocks: &[u32], from: &[u8]) -> Result<(), Error> {
        let fits = from.len() == self.form.layer_bytes(blocks.len());
        let pages = self.layers.get(layer).filter(|_| fits).ok_or(BatchError::Cache)?;
        for (block, from) in blocks.iter().zip(from.chunks_exact(self.form.layer_bytes(1))) {
            kernels.import_block(pages, *block, from)?;
        }
        Ok(())
    }
}
