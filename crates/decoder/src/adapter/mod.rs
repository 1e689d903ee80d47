//! LoRA adapters: low-rank additions to the projections of one model.

mod config;
mod error;
mod peft;

use baton_kernels::Backend;
use baton_kernels::lora::{LowRank, Site};

pub use error::AdapterError;
pub use peft::AdapterFiles;

use crate::{Architecture, Error};

/// Places of a layer to which adapters add: queries, keys and values; the attention's output; gate and up; down.
pub(crate) const SITES: usize = 4;
pub(crate) const QKV: usize = 0;
pub(crate) const OUTPUT: usize = 1;
pub(crate) const GATE_UP: usize = 2;
pub(crate) const DOWN: usize = 3;

/// An adapter that fits one model, in the host's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterWeights {
    /// [layers, [`SITES`]]
    pub(crate) sites: Vec<Site>,
}

/// An adapter where a model's kernels read it.
pub struct Adapter<B: Backend>(pub(crate) B::Adapter);

impl AdapterWeights {
    /// Random matrices for every projection, for measurements and tests, of numbers that 16 bits hold: what is added is
    /// about `size` times what is added to.
    ///
    /// # Errors
    /// The rank is too large.
    pub fn random(architecture: &Architecture, rank: usize, seed: u32, size: f32) -> Result<Self, Error> {
        let mut seeds = seed.wrapping_mul(1 << 16)..;
        let mut matrix = |rows: usize, columns: usize| -> Vec<f32> {
            let seed = seeds.next().unwrap_or(seed);
            let weight = |index| half::bf16::from_f32(baton_kernels::random_weight(seed, index, columns)).to_f32();
            (0..).take(rows * columns).map(weight).collect()
        };
        let mut sites = Vec::with_capacity(architecture.layers * SITES);
        for _ in 0..architecture.layers {
            for (inputs, widths) in shapes(architecture) {
                let mut part =
                    |width| LowRank { rank, down: matrix(rank, inputs), up: matrix(width, rank), scale: size };
                sites.push(Site::new(inputs, widths.into_iter().map(|width| (width, part(width))).collect())?);
            }
        }
        Ok(Self { sites })
    }

    /// Bytes in the host's memory.
    pub fn bytes(&self) -> usize {
        let parts = self.sites.iter().flat_map(Site::parts);
        parts.map(|part| size_of_val(&part.down[..]) + size_of_val(&part.up[..])).sum()
    }
}

impl<B: Backend> Adapter<B> {
    /// Bytes where the kernels read it.
    pub fn bytes(&self) -> usize {
        B::adapter_bytes(&self.0)
    }
}

impl<B: Backend> std::fmt::Debug for Adapter<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Inputs and parts' widths of a layer's sites.
fn shapes(architecture: &Architecture) -> [(usize, Vec<usize>); SITES] {
    let Architecture { hidden, feed_forward, heads, .. } = *architecture;
    let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
    let up = if architecture.variations.gateless { 1 } else { 2 };
    [
        (hidden, vec![query, kv, kv]),
        (query, vec![hidden]),
        (hidden, vec![feed_forward; up]),
        (feed_forward, vec![hidden]),
    ]
}
