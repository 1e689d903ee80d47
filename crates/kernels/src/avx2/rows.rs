//! Kernels that go along a row: norms, gates and the quantisation of activations.

use std::arch::x86_64::{
    __m256, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_max_epi32, _mm_shuffle_epi32, _mm256_add_epi32,
    _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cvtps_epi32, _mm256_extracti128_si256,
    _mm256_loadu_ps, _mm256_max_epi32, _mm256_mul_ps, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
    _mm256_storeu_si256,
};

use super::{array, load, load_part, store_part};
use crate::activation::{Activation, gated};
use crate::lanes::Lanes;
use crate::norm::inverse_root;
use crate::packed::GROUP;

/// See `norm::norm`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn norm(x: &[f32], weight: &[f32], eps: f32, normed: &mut [f32]) {
    let (whole, rest) = x.as_chunks::<8>();
    let mut squares = _mm256_setzero_ps();
    for x in whole {
        let x = load(x);
        squares = x.mul_add(x, squares);
    }
    let last = load_part(rest);
    squares = last.mul_add(last, squares);
    let scale = _mm256_set1_ps(inverse_root(&array(squares), x.len(), eps));
    let (weights, last_weights) = weight.as_chunks::<8>();
    let (to, last_to) = normed.as_chunks_mut::<8>();
    for ((to, x), weight) in to.iter_mut().zip(whole).zip(weights) {
        *to = array(load(x).mul(scale).mul(load(weight)));
    }
    store_part(last_to, last.mul(scale).mul(load_part(last_weights)));
}

/// See `activation::gated`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn gate(out: &mut [f32], gate: &[f32], up: &[f32], activation: Activation) {
    let ((out, last_out), (gate, last_gate)) = (out.as_chunks_mut::<8>(), gate.as_chunks::<8>());
    let (up, last_up) = up.as_chunks::<8>();
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = array(gated(load(gate), load(up), activation));
    }
    store_part(last_out, gated(load_part(last_gate), load_part(last_up), activation));
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
