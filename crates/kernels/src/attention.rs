//! Attention over a paged cache.
//!
//! The positions of a sequence are cut into partitions of [`PARTITION`] keys, counted from position 0. Each partition gives a
//! row its largest score, the sum of the exponentials, and the values weighted by them; the partitions are then merged in
//! their order. Nothing of this depends on other rows, on where the blocks lie or on who computes which partition.

use candle_core::{DType, Tensor};
use half::{bf16, f16};

use crate::lanes::{Lanes, exp, sum8, tanh};
use crate::pages::Element;
use crate::tensor::{matrix_of, output, slice};
use crate::threads::Parts;
use crate::{BLOCK, Heads, KernelError, Kernels, KvPages, Layout, Result, SpanLayout};

/// Keys in a partition.
pub const PARTITION: usize = 128;

/// How scores are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionParams {
    /// Multiplies every score, usually `1 / sqrt(dim)`.
    pub scale: f32,
    /// Scores become `softcap * tanh(score / softcap)`.
    pub softcap: Option<f32>,
    /// How many positions a row sees, its own included; all if absent.
    pub window: Option<usize>,
}

impl AttentionParams {
    fn check(&self) -> Result<()> {
        if self.window == Some(0) {
            return Err(KernelError::Parameter("an attention window of 0 positions sees nothing".into()));
        }
        if self.softcap.is_some_and(|cap| !(cap.is_finite() && cap > 0.0)) || !self.scale.is_finite() {
            return Err(KernelError::Parameter("attention needs a finite scale and a positive softcap".into()));
        }
        Ok(())
    }

    /// The positions that a row at `position` sees.
    fn visible(&self, position: usize) -> std::ops::Range<usize> {
        let end = position + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }

    /// A score from a product of query and key.
    #[inline(always)]
    fn score<L: Lanes>(&self, product: L) -> L {
        let score = product.mul(L::splat(self.scale));
        match self.softcap {
            Some(cap) => tanh(score.div(L::splat(cap))).mul(L::splat(cap)),
            None => score,
        }
    }
}

impl Kernels {
    /// For each row of `query` [tokens, query heads * dim], the values of its sequence up to and including its own position,
    /// weighted by the softmax of their scores: [tokens, query heads * dim].
    ///
    /// # Errors
    /// If shapes, types or the layout do not fit.
    pub fn attend(
        &self,
        query: &Tensor,
        heads: Heads,
        pages: &KvPages,
        layout: &Layout,
        params: &AttentionParams,
    ) -> Result<Tensor> {
        heads.check()?;
        params.check()?;
        let tokens = layout.positions.len();
        let query = matrix_of(query, tokens, heads.query * heads.dim, "query")?;
        layout.check(tokens, pages.check(heads)?)?;
        match pages.key.dtype() {
            DType::F16 => self.attend_typed::<f16>(&query, heads, pages, layout, params),
            DType::BF16 => self.attend_typed::<bf16>(&query, heads, pages, layout, params),
            _ => self.attend_typed::<f32>(&query, heads, pages, layout, params),
        }
    }

    fn attend_typed<T: Element + candle_core::WithDType>(
        &self,
        query: &Tensor,
        heads: Heads,
        pages: &KvPages,
        layout: &Layout,
        params: &AttentionParams,
    ) -> Result<Tensor> {
        let (query, query_layout) = query.storage_and_layout();
        let (key, key_layout) = pages.key.storage_and_layout();
        let (value, value_layout) = pages.value.storage_and_layout();
        let query = slice::<f32>(&query, query_layout, "query")?;
        let cache = Cache {
            key: slice::<T>(&key, key_layout, "key pages")?,
            value: slice::<T>(&value, value_layout, "value pages")?,
            heads,
        };
        let mut out = vec![0.0; query.len()];
        let parts = Parts::new(&mut out);
        let width = heads.query * heads.dim;
        for span in &layout.spans {
            self.pool.run(span.rows, &|task| {
                let row = span.first_row + task;
                for head in 0..heads.query {
                    let at = row * width + head * heads.dim;
                    // SAFETY: each row is one task.
                    let out = unsafe { parts.part(at, heads.dim) };
                    cache.attend_row(&query[at..][..heads.dim], head, span, span.start() + task, params, out);
                }
            });
        }
        output(out, layout.positions.len(), width)
    }
}

/// The pages of a layer.
struct Cache<'a, T> {
    /// [blocks, kv heads, dim, BLOCK]
    key: &'a [T],
    /// [blocks, kv heads, BLOCK, dim]
    value: &'a [T],
    heads: Heads,
}

impl<T: Element> Cache<'_, T> {
    /// The definition, for one head of one row.
    fn attend_row(
        &self,
        query: &[f32],
        head: usize,
        span: &SpanLayout,
        position: usize,
        params: &AttentionParams,
        out: &mut [f32],
    ) {
        let visible = params.visible(position);
        let (mut largest, mut sum) = (f32::NEG_INFINITY, 0.0f32);
        for partition in visible.start / PARTITION..visible.end.div_ceil(PARTITION) {
            let keys = partition * PARTITION..((partition + 1) * PARTITION).min(visible.end);
            let mut weights = [f32::NEG_INFINITY; PARTITION];
            for (weight, key) in weights.iter_mut().zip(keys.clone()) {
                if key >= visible.start {
                    *weight = params.score(self.product(query, head, span, key));
                }
            }
            let top = weights.iter().fold(f32::NEG_INFINITY, |top, &score| score.max(top));
            let mut lanes = [0.0f32; 8];
            for (index, weight) in weights.iter_mut().enumerate() {
                *weight = exp(*weight - top);
                lanes[index % 8] += *weight;
            }
            let mut values = vec![0.0f32; out.len()];
            for (weight, key) in weights.iter().zip(keys) {
                let row = self.value_row(head, span, key);
                for (value, &element) in values.iter_mut().zip(row) {
                    *value = weight.mul_add(element.widen(), *value);
                }
            }
            let new = top.max(largest);
            let (old_part, new_part) = (exp(largest - new), exp(top - new));
            sum = sum.mul_add(old_part, sum8(&lanes) * new_part);
            for (out, value) in out.iter_mut().zip(values) {
                *out = out.mul_add(old_part, value * new_part);
            }
            largest = new;
        }
        out.iter_mut().for_each(|out| *out /= sum);
    }

    /// Elements are multiplied and added from the first to the last, each with one rounding.
    fn product(&self, query: &[f32], head: usize, span: &SpanLayout, key: usize) -> f32 {
        let Heads { kv, dim, .. } = self.heads;
        let block = span.blocks[key / BLOCK] as usize;
        let page = &self.key[(block * kv + head / self.heads.group()) * dim * BLOCK..][..dim * BLOCK];
        page.chunks_exact(BLOCK)
            .zip(query)
            .fold(0.0, |sum, (lane, query)| query.mul_add(lane[key % BLOCK].widen(), sum))
    }

    fn value_row(&self, head: usize, span: &SpanLayout, key: usize) -> &[T] {
        let Heads { kv, dim, .. } = self.heads;
        let block = span.blocks[key / BLOCK] as usize;
        &self.value[((block * kv + head / self.heads.group()) * BLOCK + key % BLOCK) * dim..][..dim]
    }
}
