//! Kernels that go along a row: norms, gates and the quantisation of activations.

use std::arch::x86_64::{
    __m256, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_max_epi32, _mm_shuffle_epi32, _mm256_add_epi32,
    _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cvtps_epi32, _mm256_extracti128_si256,
    _mm256_loadu_ps, _mm256_max_epi32, _mm256_mul_ps, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
    _mm256_storeu_si256,
};

use super::{array, load, store};
use crate::activation::{Activation, gated};
use crate::lanes::{Lanes, sum8};
use crate::packed::GROUP;

/// See `norm::norm_row`.
#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn norm(row: &mut [f32], weight: &[f32], eps: f32) {
    let mut squares = _mm256_setzero_ps();
    for x in row.chunks(8) {
        let x = load(x);
        squares = x.mul_add(x, squares);
    }
    let scale = 1.0 / (sum8(&array(squares)) / row.len() as f32 + eps).sqrt();
    for (x, weight) in row.chunks_mut(8).zip(weight.chunks(8)) {
        let normed = load(x).mul(_mm256_set1_ps(scale)).mul(load(weight));
        store(x, normed);
    }
}

/// See `activation::gated`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn gate(out: &mut [f32], gate: &[f32], up: &[f32], activation: Activation) {
    for ((out, gate), up) in out.chunks_mut(8).zip(gate.chunks(8)).zip(up.chunks(8)) {
        store(out, gated(load(gate), load(up), activation));
    }
}

/// The largest magnitude of a group, as bits: a value that is not finite is larger than all others.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn largest(x: &[f32; GROUP]) -> u32 {
    let magnitude = |x: __m256| _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fff_ffff));
    let [a, b, c, d] = four(x).map(magnitude);
    let eight = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
    let four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
    let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two))).cast_unsigned()
}

/// Multiplies by `inverse`, rounds, and returns the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn codes(x: &[f32; GROUP], inverse: f32, codes: &mut [i8; GROUP]) -> i32 {
    let code = |x: __m256| _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(inverse)));
    let [a, b, c, d] = four(x).map(code);
    // Packing works on each half of a vector; the permutation brings the bytes back in order.
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    // SAFETY: 32 places.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast::<__m256i>(), bytes) };
    let eight = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
    let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(x: &[f32; GROUP]) -> [__m256; 4] {
    // SAFETY: 32 values.
    unsafe { [0, 8, 16, 24].map(|i| _mm256_loadu_ps(x.as_ptr().add(i))) }
}
