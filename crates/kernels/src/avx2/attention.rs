//! Attention of a few rows that read the same keys.
//!
//! The query heads of one key head and the rows of a unit are *lines* here: all are multiplied with the same keys and
//! values, which are read and widened once for all of them.

use std::arch::x86_64::{
    __m256, _MM_HINT_T1, _mm_prefetch, _mm256_and_si256, _mm256_blendv_ps, _mm256_castsi256_ps, _mm256_cmpgt_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
    _mm256_storeu_ps,
};
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Float, array, load};
use crate::attention::units::{Unit, cover};
use crate::attention::{AttentionParams, PARTITION, Work};
use crate::lanes::{Lanes, exp, sum8};
use crate::pages::Element;
use crate::threads::Parts;
use crate::{BLOCK, Heads};

/// Lines from which on it pays to widen a block once instead of at every use.
const MANY_LINES: usize = 7;

/// Results of single partitions, for rows that several units have a part in.
pub(crate) struct Partials<'a> {
    /// [tokens] Where a row's partitions begin.
    pub(crate) places: &'a [usize],
    /// [partitions, query heads] The largest score and the sum.
    pub(crate) tops: Parts<'a, [f32; 2]>,
    /// [partitions, query heads, dim]
    pub(crate) values: Parts<'a, MaybeUninit<f32>>,
}

/// What one partition gives the lines of a unit.
struct Scratch {
    /// [lines, PARTITION] Scores, then weights.
    weights: Vec<f32>,
    /// [lines, dim]
    values: Vec<f32>,
    /// [lines] The largest score and the sum.
    tops: Vec<[f32; 2]>,
    /// A block of keys or values: [BLOCK * dim]
    wide: Vec<f32>,
}

/// The loops that most of the time goes into, for vectors of one width.
pub(crate) trait Vectors {
    /// For each line, adds up the rows, each times the line's factor of that step.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn products<'f, T: Element>(
        lines: usize,
        factors: impl Fn(usize) -> &'f [f32],
        steps: Steps<'_, T>,
        sums: Sums<'_, impl Fn(usize) -> usize>,
    );

    /// Turns products into weights, and returns the largest score and the sum of the weights. There are a multiple of
    /// [`BLOCK`] products.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn softmax(weights: &mut [f32], visible: Range<usize>, params: &AttentionParams) -> [f32; 2];
}

/// Vectors of eight.
pub(crate) struct Eight;

impl Vectors for Eight {
    #[inline(always)]
    unsafe fn products<'f, T: Element>(
        lines: usize,
        factors: impl Fn(usize) -> &'f [f32],
        steps: Steps<'_, T>,
        sums: Sums<'_, impl Fn(usize) -> usize>,
    ) {
        // SAFETY: by this function's contract.
        unsafe { products(lines, factors, steps, sums) }
    }

    #[inline(always)]
    unsafe fn softmax(weights: &mut [f32], visible: Range<usize>, params: &AttentionParams) -> [f32; 2] {
        // SAFETY: by this function's contract.
        unsafe { softmax(weights, visible, params) }
    }
}

/// Computes a unit for one key head, and writes its rows or, if others have a part in them, its partitions.
///
/// # Safety
/// The machine has the instructions of `V`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn unit<T: Element, V: Vectors>(
    work: &Work<'_, T>,
    unit: &Unit<'_>,
    kv_head: usize,
    partials: &Partials<'_>,
) {
    let Heads { query: heads, dim, .. } = work.cache.heads;
    let group = work.cache.heads.group();
    let lines = unit.rows.len() * group;
    let place = |line: usize| (unit.rows.start + line / group, kv_head * group + line % group);
    let mut scratch = Scratch {
        weights: vec![0.0; lines * PARTITION],
        values: vec![0.0; lines * dim],
        tops: vec![[0.0; 2]; lines],
        wide: vec![0.0; if lines < MANY_LINES { 0 } else { BLOCK * dim }],
    };
    let mut states = vec![[f32::NEG_INFINITY, 0.0]; lines];
    for partition in unit.partitions.clone() {
        // SAFETY: by this function's contract.
        unsafe { compute::<T, V>(work, unit, kv_head, partition, &mut scratch) };
        for (line, state) in states.iter_mut().enumerate() {
            let (row, head) = place(line);
            let seen = work.params.partitions(work.layout.positions[row] as usize);
            if !seen.contains(&partition) {
                continue;
            }
            let values = &scratch.values[line * dim..][..dim];
            if unit.partial {
                let slot = (partials.places[row] + partition - seen.start) * heads + head;
                // SAFETY: one unit computes this partition of this row, and one task this head.
                let (top, to) = unsafe { (partials.tops.part(slot, 1), partials.values.part(slot * dim, dim)) };
                top[0] = scratch.tops[line];
                to.write_copy_of_slice(values);
            } else {
                // SAFETY: one unit computes this row, and one task this head.
                let out = unsafe { work.out.part((row * heads + head) * dim, dim) };
                merge(state, out, scratch.tops[line], values);
            }
        }
    }
    if unit.partial {
        return;
    }
    for (line, [_, sum]) in states.into_iter().enumerate() {
        let (row, head) = place(line);
        // SAFETY: as above.
        divide(unsafe { work.out.part((row * heads + head) * dim, dim) }, sum);
    }
}

/// Merges the partitions of a row that several units had a part in.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn merge_row<T: Element>(work: &Work<'_, T>, row: usize, partials: &Partials<'_>) {
    let Heads { query: heads, dim, .. } = work.cache.heads;
    let count = work.params.partitions(work.layout.positions[row] as usize).len();
    for head in 0..heads {
        let mut state = [f32::NEG_INFINITY, 0.0];
        // SAFETY: each row is one task.
        let out = unsafe { work.out.part((row * heads + head) * dim, dim) };
        for partition in 0..count {
            let slot = (partials.places[row] + partition) * heads + head;
            // SAFETY: each row is one task, and the units have written every partition that the row sees.
            let (top, values) =
                unsafe { (partials.tops.part(slot, 1)[0], partials.values.part(slot * dim, dim).assume_init_ref()) };
            merge(&mut state, out, top, values);
        }
        divide(out, state[1]);
    }
}

/// Adds a partition to what those before it gave: the largest score and the sum, and the values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn merge(state: &mut [f32; 2], out: &mut [f32], [top, sum]: [f32; 2], values: &[f32]) {
    let largest = top.max(state[0]);
    let (old_part, new_part) = (exp(state[0] - largest), exp(top - largest));
    *state = [largest, state[1].mul_add(old_part, sum * new_part)];
    let (old_part, new_part) = (_mm256_set1_ps(old_part), _mm256_set1_ps(new_part));
    for (out, values) in out.as_chunks_mut().0.iter_mut().zip(values.as_chunks().0) {
        *out = array(load(out).mul_add(old_part, load(values).mul(new_part)));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn divide(out: &mut [f32], sum: f32) {
    for out in out.as_chunks_mut().0 {
        *out = array(load(out).div(_mm256_set1_ps(sum)));
    }
}

/// One partition for all lines of a unit.
///
/// # Safety
/// The machine has the instructions of `V`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn compute<T: Element, V: Vectors>(
    work: &Work<'_, T>,
    unit: &Unit<'_>,
    kv_head: usize,
    partition: usize,
    scratch: &mut Scratch,
) {
    let Heads { query: heads, dim, .. } = work.cache.heads;
    let group = work.cache.heads.group();
    let first_key = partition * PARTITION;
    // The keys of this partition that any row sees, counted from its first.
    let rows = work.layout.positions[unit.rows.clone()].iter();
    let rows = rows.map(|&position| visible(work.params, position, first_key)).filter(|keys| !keys.is_empty());
    let seen = rows.reduce(cover).unwrap_or_default();
    let blocks = seen.start / BLOCK..seen.end.div_ceil(BLOCK);

    let lines = scratch.tops.len();
    for block in blocks.clone() {
        let page = work.cache.key_page(unit.blocks[first_key / BLOCK + block] as usize, kv_head);
        // The values are wanted soon, and the next keys.
        prefetch(work.cache.value_page(unit.blocks[first_key / BLOCK + block] as usize, kv_head));
        if let Some(&next) = unit.blocks.get(first_key / BLOCK + block + 1) {
            prefetch(work.cache.key_page(next as usize, kv_head));
        }
        let query = |line: usize| {
            let (row, head) = (unit.rows.start + line / group, kv_head * group + line % group);
            &work.query[(row * heads + head) * dim..][..dim]
        };
        let at = |line: usize| line * PARTITION + block * BLOCK;
        let sums = Sums { to: &mut scratch.weights, at, fresh: true };
        if lines < MANY_LINES {
            let steps = Steps { rows: page, stride: BLOCK, width: BLOCK, count: dim };
            // SAFETY: by this function's contract.
            unsafe { V::products(lines, query, steps, sums) };
        } else {
            widen(page, &mut scratch.wide);
            let steps = Steps { rows: &scratch.wide, stride: BLOCK, width: BLOCK, count: dim };
            // SAFETY: as above.
            unsafe { V::products(lines, query, steps, sums) };
        }
    }
    for (line, weights) in scratch.weights.chunks_exact_mut(PARTITION).enumerate() {
        let row = visible(work.params, work.layout.positions[unit.rows.start + line / group], first_key);
        // SAFETY: as above.
        scratch.tops[line] = unsafe { V::softmax(&mut weights[..blocks.end * BLOCK], row, work.params) };
    }
    for block in blocks.clone() {
        let page = work.cache.value_page(unit.blocks[first_key / BLOCK + block] as usize, kv_head);
        if lines >= MANY_LINES {
            widen(page, &mut scratch.wide);
        }
        let weight = |line: usize| &scratch.weights[line * PARTITION + block * BLOCK..][..BLOCK];
        // What lies behind the last key that was written is not even multiplied by zero.
        let count = (seen.end - block * BLOCK).min(BLOCK);
        for part in (0..dim).step_by(BLOCK) {
            let width = BLOCK.min(dim - part);
            let at = |line: usize| line * dim + part;
            let sums = Sums { to: &mut scratch.values, at, fresh: block == blocks.start };
            if lines < MANY_LINES {
                let steps = Steps { rows: &page[part..], stride: dim, width, count };
                // SAFETY: as above.
                unsafe { V::products(lines, weight, steps, sums) };
            } else {
                let steps = Steps { rows: &scratch.wide[part..], stride: dim, width, count };
                // SAFETY: as above.
                unsafe { V::products(lines, weight, steps, sums) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch<T>(page: &[T]) {
    /// Bytes that are fetched together.
    const FETCHED: usize = 64;
    for part in page.chunks((FETCHED / size_of::<T>()).max(1)) {
        _mm_prefetch::<_MM_HINT_T1>(part.as_ptr().cast::<i8>());
    }
}

/// The keys that a row sees among those of a partition, counted from its first.
fn visible(params: &AttentionParams, position: u32, first_key: usize) -> Range<usize> {
    let visible = params.visible(position as usize);
    let inside = |key: usize| key.saturating_sub(first_key).min(PARTITION);
    inside(visible.start)..inside(visible.end)
}

/// See [`Vectors::softmax`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn softmax(weights: &mut [f32], visible: Range<usize>, params: &AttentionParams) -> [f32; 2] {
    if visible.is_empty() {
        weights.fill(0.0);
        return [f32::NEG_INFINITY, 0.0];
    }
    let lowest = _mm256_set1_ps(f32::NEG_INFINITY);
    let vectors = visible.start / 8..visible.end.div_ceil(8);
    let mut largest = lowest;
    let weights = weights.as_chunks_mut::<8>().0;
    for (vector, place) in weights.iter_mut().enumerate().take(vectors.end).skip(vectors.start) {
        let scores = only(params.score(load(place)), lowest, vector * 8, &visible);
        largest = scores.max(largest);
        *place = array(scores);
    }
    let top = array(largest).into_iter().fold(f32::NEG_INFINITY, |top, score| score.max(top));
    let mut sums = _mm256_setzero_ps();
    weights[..vectors.start].fill([0.0; 8]);
    for place in &mut weights[vectors.clone()] {
        let weight = exp(load(place).sub(_mm256_set1_ps(top)));
        sums = sums.add(weight);
        *place = array(weight);
    }
    weights[vectors.end..].fill([0.0; 8]);
    [top, sum8(&array(sums))]
}

/// `lanes` where `first + lane` is in `range`, and `other` elsewhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "positions inside a partition")]
fn only(lanes: __m256, other: __m256, first: usize, range: &Range<usize>) -> __m256 {
    if range.start <= first && first + 8 <= range.end {
        return lanes;
    }
    let (start, end) = (range.start as i32 - first as i32, range.end as i32 - first as i32);
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let after = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(start - 1));
    let before = _mm256_cmpgt_epi32(_mm256_set1_epi32(end), lane);
    _mm256_blendv_ps(other, lanes, _mm256_castsi256_ps(_mm256_and_si256(after, before)))
}

/// The whole block as floats.
#[target_feature(enable = "avx2,fma,f16c")]
fn widen<T: Float>(page: &[T], wide: &mut [f32]) {
    for (wide, page) in wide.as_chunks_mut().0.iter_mut().zip(page.as_chunks::<8>().0) {
        // SAFETY: eight values.
        *wide = array(unsafe { T::eight(page.as_ptr()) });
    }
}

/// Rows of up to 32 elements, one a step.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a, T> {
    pub(crate) rows: &'a [T],
    /// From one row to the next.
    pub(crate) stride: usize,
    /// Elements of a row: a multiple of 8, at most 32.
    pub(crate) width: usize,
    pub(crate) count: usize,
}

/// Where a line's sums are, and whether they begin at zero.
pub(crate) struct Sums<'a, A> {
    pub(crate) to: &'a mut [f32],
    pub(crate) at: A,
    pub(crate) fresh: bool,
}

/// See [`Vectors::products`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<'f, T: Float, A: Fn(usize) -> usize>(
    lines: usize,
    factors: impl Fn(usize) -> &'f [f32],
    steps: Steps<'_, T>,
    sums: Sums<'_, A>,
) {
    let Sums { to, at, fresh } = sums;
    for line in (0..lines).step_by(3) {
        let line = |i: usize| (line + i).min(lines - 1);
        let (a, b, c) = (factors(line(0)), factors(line(1)), factors(line(2)));
        let (to_a, to_b, to_c) = (at(line(0)), at(line(1)), at(line(2)));
        match lines - line(0) {
            1 => square_of_width([a], steps, to, [to_a], fresh),
            2 => square_of_width([a, b], steps, to, [to_a, to_b], fresh),
            _ => square_of_width([a, b, c], steps, to, [to_a, to_b, to_c], fresh),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn square_of_width<T: Float, const LINES: usize>(
    factors: [&[f32]; LINES],
    steps: Steps<'_, T>,
    to: &mut [f32],
    at: [usize; LINES],
    fresh: bool,
) {
    match steps.width {
        8 => square::<T, LINES, 1>(factors, steps, to, at, fresh),
        16 => square::<T, LINES, 2>(factors, steps, to, at, fresh),
        24 => square::<T, LINES, 3>(factors, steps, to, at, fresh),
        _ => square::<T, LINES, 4>(factors, steps, to, at, fresh),
    }
}

/// Every sum grows from the first step to the last, each with one rounding.
#[target_feature(enable = "avx2,fma,f16c")]
fn square<T: Float, const LINES: usize, const VECTORS: usize>(
    factors: [&[f32]; LINES],
    steps: Steps<'_, T>,
    to: &mut [f32],
    at: [usize; LINES],
    fresh: bool,
) {
    let Steps { rows, stride, count, .. } = steps;
    assert!(count == 0 || rows.len() >= (count - 1) * stride + 8 * VECTORS);
    assert!(factors.iter().all(|factors| factors.len() >= count));
    assert!(at.iter().all(|at| to.len() >= at + 8 * VECTORS));
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; LINES];
    if !fresh {
        for (sums, at) in sums.iter_mut().zip(at) {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: checked above.
                *sum = unsafe { _mm256_loadu_ps(to.as_ptr().add(at + 8 * vector)) };
            }
        }
    }
    for step in 0..count {
        let mut factor = [_mm256_setzero_ps(); LINES];
        for (factor, factors) in factor.iter_mut().zip(factors) {
            // SAFETY: checked above.
            *factor = _mm256_set1_ps(unsafe { *factors.get_unchecked(step) });
        }
        for vector in 0..VECTORS {
            // SAFETY: checked above.
            let row = unsafe { T::eight(rows.as_ptr().add(step * stride + 8 * vector)) };
            for (sums, factor) in sums.iter_mut().zip(factor) {
                sums[vector] = _mm256_fmadd_ps(factor, row, sums[vector]);
            }
        }
    }
    for (sums, at) in sums.into_iter().zip(at) {
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: checked above.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr().add(at + 8 * vector), sum) };
        }
    }
}
