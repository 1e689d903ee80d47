//! Attention over a paged cache.
//!
//! The positions of a sequence are cut into partitions of [`PARTITION`] keys, counted from position 0. Each partition gives a
//! row its largest score, the sum of the exponentials, and the values weighted by them; the partitions are then merged in
//! their order. Nothing of this depends on other rows, on where the blocks lie or on who computes which partition.

mod plain;
#[cfg(target_arch = "x86_64")]
pub(crate) mod units;

use candle_core::{DType, Tensor};
use half::{bf16, f16};

use crate::lanes::{Lanes, tanh};
use crate::pages::Element;
use crate::tensor::{matrix_of, output, slice};
use crate::threads::Parts;
use crate::{BLOCK, Heads, KernelError, Kernels, KvPages, Layout, Result};

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
    pub(crate) fn check(&self) -> Result<()> {
        if self.window == Some(0) {
            return Err(KernelError::Parameter("an attention window of 0 positions sees nothing".into()));
        }
        if self.softcap.is_some_and(|cap| !(cap.is_finite() && cap > 0.0)) || !self.scale.is_finite() {
            return Err(KernelError::Parameter("attention needs a finite scale and a positive softcap".into()));
        }
        Ok(())
    }

    /// The positions that a row at `position` sees.
    pub(crate) fn visible(&self, position: usize) -> std::ops::Range<usize> {
        let end = position + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }

    /// The partitions that a row at `position` sees.
    pub(crate) fn partitions(&self, position: usize) -> std::ops::Range<usize> {
        let visible = self.visible(position);
        visible.start / PARTITION..visible.end.div_ceil(PARTITION)
    }

    /// A score from a product of query and key.
    #[inline(always)]
    pub(crate) fn score<L: Lanes>(&self, product: L) -> L {
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
        let work = Work { query, cache, layout, params, out: Parts::new(&mut out) };
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            crate::Isa::Avx512 if heads.dim.is_multiple_of(8) => {
                self.attend_units::<T, crate::avx512::attention::Sixteen>(&work);
            }
            #[cfg(target_arch = "x86_64")]
            crate::Isa::Avx2 if heads.dim.is_multiple_of(8) => {
                self.attend_units::<T, crate::avx2::attention::Eight>(&work);
            }
            _ => self.attend_rows(&work),
        }
        output(out, layout.positions.len(), heads.query * heads.dim)
    }

    fn attend_rows<T: Element>(&self, work: &Work<'_, T>) {
        let Heads { query: heads, dim, .. } = work.cache.heads;
        for span in &work.layout.spans {
            self.pool.run(span.rows, &|task| {
                for head in 0..heads {
                    let at = ((span.first_row + task) * heads + head) * dim;
                    // SAFETY: each row is one task.
                    let out = unsafe { work.out.part(at, dim) };
                    let place = (span, span.start() + task);
                    work.cache.attend_row(&work.query[at..][..dim], head, place, work.params, out);
                }
            });
        }
    }

    /// Units of rows that read the same keys, and then the rows that several units had a part in.
    #[cfg(target_arch = "x86_64")]
    fn attend_units<T: Element, V: crate::avx2::attention::Vectors>(&self, work: &Work<'_, T>) {
        use crate::avx2::attention::{Partials, merge_row, unit};
        let Heads { query, kv, dim } = work.cache.heads;
        let units = units::Units::new(work.layout, work.params, kv, self.threads());
        let slots = units.partitions * query;
        let (mut tops, mut values) = (vec![[0.0; 2]; slots], Vec::with_capacity(slots * dim));
        let partials = Partials {
            places: &units.places,
            tops: Parts::new(&mut tops),
            values: Parts::new(&mut values.spare_capacity_mut()[..slots * dim]),
        };
        self.pool.run(units.all.len() * kv, &|task| {
            // SAFETY: there are no kernels of this set where it is not available.
            unsafe { unit::<T, V>(work, &units.all[task / kv], task % kv, &partials) };
        });
        self.pool.run(units.merged.len(), &|task| {
            // SAFETY: as above.
            unsafe { merge_row(work, units.merged[task], &partials) };
        });
    }
}

/// One call.
pub(crate) struct Work<'a, T> {
    /// [tokens, query heads * dim]
    pub(crate) query: &'a [f32],
    pub(crate) cache: Cache<'a, T>,
    pub(crate) layout: &'a Layout,
    pub(crate) params: &'a AttentionParams,
    /// [tokens, query heads * dim]
    pub(crate) out: Parts<'a, f32>,
}

/// The pages of a layer.
pub(crate) struct Cache<'a, T> {
    /// [blocks, kv heads, dim, BLOCK]
    pub(crate) key: &'a [T],
    /// [blocks, kv heads, BLOCK, dim]
    pub(crate) value: &'a [T],
    pub(crate) heads: Heads,
}

impl<T: Element> Cache<'_, T> {
    /// [dim, BLOCK]
    pub(crate) fn key_page(&self, block: usize, kv_head: usize) -> &[T] {
        let len = self.heads.dim * BLOCK;
        &self.key[(block * self.heads.kv + kv_head) * len..][..len]
    }

    /// [BLOCK, dim]
    pub(crate) fn value_page(&self, block: usize, kv_head: usize) -> &[T] {
        let len = self.heads.dim * BLOCK;
        &self.value[(block * self.heads.kv + kv_head) * len..][..len]
    }
}
