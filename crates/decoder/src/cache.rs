//! Keys and values of all layers, in blocks that sequences borrow.

use baton_kernels::{BLOCK, Kernels, KvPages};
use candle_core::{DType, Device, Shape, Tensor};
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};

use crate::{Architecture, Error};

/// The paged cache of one decoder: for each layer, keys and values of [blocks, [`BLOCK`], kv heads, head dim].
///
/// What lies in a block nobody has written is not to be read; the batch's spans see to that.
#[derive(Debug)]
pub struct PagedCache {
    pub(crate) layers: Vec<KvPages>,
    blocks: usize,
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
        Ok(Self { layers: layers.collect::<Result<_, Error>>()?, blocks })
    }

    /// Bytes that one block takes in all layers together.
    pub fn bytes_per_block(architecture: &Architecture, dtype: DType) -> usize {
        let row = architecture.heads.kv * architecture.heads.dim * dtype.size_in_bytes();
        2 * architecture.layers * BLOCK * row
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
