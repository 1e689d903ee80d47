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

    /// Begins to copy one layer of `blocks` out to its place in `to`, which holds layer after layer, of each all blocks.
    /// [`Backend::begin_export`] says what may be done meanwhile.
    ///
    /// # Errors
    /// There is no such layer or block, or `to` is too short.
    pub fn begin_export(&self, kernels: &B, layer: usize, blocks: &[u32], to: &mut B::Staged) -> Result<(), Error> {
        let pages = self.layers.get(layer).ok_or(BatchError::Cache)?;
        Ok(kernels.begin_export(pages, blocks, to, layer * self.form.layer_bytes(blocks.len()))?)
    }

    /// Begins to copy one layer of `blocks` in from its place in `from`, which was copied out of a cache of the same form.
    /// [`Backend::begin_import`] says what may be done meanwhile.
    ///
    /// # Errors
    /// There is no such layer or block, or `from` is too short.
    pub fn begin_import(&self, kernels: &B, layer: usize, blocks: &[u32], from: &B::Staged) -> Result<(), Error> {
        let pages = self.layers.get(layer).ok_or(BatchError::Cache)?;
        Ok(kernels.begin_import(pages, blocks, from, layer * self.form.layer_bytes(blocks.len()))?)
    }

    /// Writes zeros over what lies behind the first `tokens` positions of exported blocks: it may be anybody's.
    pub fn blank(&self, kernels: &B, tokens: usize, exported: &mut [u8]) {
        let blocks = tokens.div_ceil(BLOCK);
        let (layer, block) = (self.form.layer_bytes(blocks).max(1), self.form.layer_bytes(1));
        for (pages, layer) in self.layers.iter().zip(exported.chunks_exact_mut(layer)) {
            if let Some(last) = layer.chunks_exact_mut(block.max(1)).next_back() {
                kernels.blank(pages, tokens - (blocks - 1) * BLOCK, last);
            }
        }
    }
}
