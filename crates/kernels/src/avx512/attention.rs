//! The loops of attention over sixteen elements at a time; all else is in [`crate::avx2::attention`].

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_castps512_ps256, _mm512_extractf32x8_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::array::from_fn;
use std::ops::Range;

use super::Float;
use crate::attention::AttentionParams;
use crate::avx2::attention::{Steps, Sums, Vectors};
use crate::lanes::{Lanes, exp, sum8};
use crate::pages::Element;

/// Vectors of sixteen.
pub(crate) struct Sixteen;

impl Vectors for Sixteen {
    unsafe fn products<'f, T: Element>(
        lines: usize,
        factors: impl Fn(usize) -> &'f [f32],
        steps: Steps<'_, T>,
        sums: Sums<'_, impl Fn(usize) -> usize>,
    ) {
        // SAFETY: by this function's contract.
        unsafe { products(lines, factors, steps, sums) }
    }

    unsafe fn softmax(weights: &mut [f32], visible: Range<usize>, params: &AttentionParams) -> [f32; 2] {
        // SAFETY: by this function's contract.
        unsafe { softmax(weights, visible, params) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn softmax(weights: &mut [f32], visible: Range<usize>, params: &AttentionParams) -> [f32; 2] {
    if visible.is_empty() {
        weights.fill(0.0);
        return [f32::NEG_INFINITY, 0.0];
    }
    let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
    let vectors = visible.start / 16..visible.end.div_ceil(16);
    let mut largest = lowest;
    let weights = weights.as_chunks_mut::<16>().0;
    for (vector, place) in weights.iter_mut().enumerate().take(vectors.end).skip(vectors.start) {
        let scores = only(params.score(load(place)), lowest, vector * 16, &visible);
        largest = scores.max(largest);
        *place = array(scores);
    }
    let top = array(largest).into_iter().fold(f32::NEG_INFINITY, |top, score| score.max(top));
    // Eight partial sums: every weight belongs to the one of its place modulo eight.
    let mut sums = _mm256_setzero_ps();
    weights[..vectors.start].fill([0.0; 16]);
    for place in &mut weights[vectors.clone()] {
        let weight = exp(load(place).sub(_mm512_set1_ps(top)));
        sums = _mm256_add_ps(sums, _mm512_castps512_ps256(weight));
        sums = _mm256_add_ps(sums, _mm512_extractf32x8_ps::<1>(weight));
        *place = array(weight);
    }
    weights[vectors.end..].fill([0.0; 16]);
    [top, sum8(&eight(sums))]
}

/// `lanes` where `first + lane` is in `range`, and `other` elsewhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[expect(clippy::cast_possible_truncation, reason = "at most 16")]
fn only(lanes: __m512, other: __m512, first: usize, range: &Range<usize>) -> __m512 {
    let before = |end: usize| !u16::MAX.unbounded_shl(end.saturating_sub(first).min(16) as u32);
    _mm512_mask_blend_ps(before(range.end) & !before(range.start), other, lanes)
}

/// As many lines at a time as there are registers for the sums of.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn products<'f, T: Float>(
    lines: usize,
    factors: impl Fn(usize) -> &'f [f32],
    steps: Steps<'_, T>,
    sums: Sums<'_, impl Fn(usize) -> usize>,
) {
    let Sums { to, at, fresh } = sums;
    let mut line = 0;
    while line < lines {
        let (factors, at) = (|i: usize| factors(line + i), |i: usize| at(line + i));
        line += match lines - line {
            6.. => square_of_width::<T, 6>(from_fn(factors), steps, to, from_fn(at), fresh),
            3.. => square_of_width::<T, 3>(from_fn(factors), steps, to, from_fn(at), fresh),
            2 => square_of_width::<T, 2>(from_fn(factors), steps, to, from_fn(at), fresh),
            _ => square_of_width::<T, 1>(from_fn(factors), steps, to, from_fn(at), fresh),
        };
    }
}

/// Returns the number of lines.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn square_of_width<T: Float, const LINES: usize>(
    factors: [&[f32]; LINES],
    steps: Steps<'_, T>,
    to: &mut [f32],
    at: [usize; LINES],
    fresh: bool,
) -> usize {
    match steps.width {
        8 => square::<T, LINES, 1, 8>(factors, steps, to, at, fresh),
        16 => square::<T, LINES, 1, 16>(factors, steps, to, at, fresh),
        24 => square::<T, LINES, 2, 24>(factors, steps, to, at, fresh),
        _ => square::<T, LINES, 2, 32>(factors, steps, to, at, fresh),
    }
    LINES
}

/// Every sum grows from the first step to the last, each with one rounding. If `WIDTH` is not a multiple of 16, the last
/// vector has its eight elements twice.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn square<T: Float, const LINES: usize, const VECTORS: usize, const WIDTH: usize>(
    factors: [&[f32]; LINES],
    steps: Steps<'_, T>,
    to: &mut [f32],
    at: [usize; LINES],
    fresh: bool,
) {
    let Steps { rows, stride, count, .. } = steps;
    assert!(count == 0 || rows.len() >= (count - 1) * stride + WIDTH);
    assert!(factors.iter().all(|factors| factors.len() >= count));
    assert!(at.iter().all(|at| to.len() >= at + WIDTH));
    // Where the upper eight elements of a vector are.
    let upper = |vector: usize| if 16 * vector + 8 < WIDTH { 16 * vector + 8 } else { 16 * vector };
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; LINES];
    if !fresh {
        for (sums, at) in sums.iter_mut().zip(at) {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: checked above.
                *sum = unsafe {
                    let from = to.as_ptr().add(at);
                    f32::sixteen(from.add(16 * vector), from.add(upper(vector)))
                };
            }
        }
    }
    for step in 0..count {
        let mut row = [_mm512_setzero_ps(); VECTORS];
        for (vector, row) in row.iter_mut().enumerate() {
            // SAFETY: checked above.
            *row = unsafe {
                let from = rows.as_ptr().add(step * stride);
                T::sixteen(from.add(16 * vector), from.add(upper(vector)))
            };
        }
        for (sums, factors) in sums.iter_mut().zip(factors) {
            // SAFETY: checked above.
            let factor = _mm512_set1_ps(unsafe { *factors.get_unchecked(step) });
            for (sum, row) in sums.iter_mut().zip(row) {
                *sum = _mm512_fmadd_ps(factor, row, *sum);
            }
        }
    }
    for (sums, at) in sums.into_iter().zip(at) {
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: checked above.
            unsafe {
                let to = to.as_mut_ptr().add(at + 16 * vector);
                if 16 * vector + 8 < WIDTH {
                    _mm512_storeu_ps(to, sum);
                } else {
                    _mm256_storeu_ps(to, _mm512_castps512_ps256(sum));
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn load(values: &[f32; 16]) -> __m512 {
    // SAFETY: sixteen values.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

/// The lanes as values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn array(lanes: __m512) -> [f32; 16] {
    let mut values = [0.0; 16];
    // SAFETY: sixteen places.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), lanes) };
    values
}

/// The lanes as values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn eight(lanes: __m256) -> [f32; 8] {
    let mut values = [0.0; 8];
    // SAFETY: eight places.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), lanes) };
    values
}
