//! x86-64 with AVX2, FMA and F16C: eight lanes of f32, thirty-two of i8.
//!
//! Every function here does what its plain definition does, in the same order, and gives the same bits. All are compiled
//! for these instruction sets and may be called only where [`crate::Isa::Avx2`] is available.
#![expect(clippy::cast_ptr_alignment, reason = "the loads and stores that such pointers go to need no alignment")]

pub(crate) mod attention;
mod float;
mod lanes;
pub(crate) mod products;
pub(crate) mod rows;

pub(crate) use float::Float;

use std::arch::x86_64::{__m256, _mm256_loadu_ps, _mm256_storeu_ps};

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(values: &[f32; 8]) -> __m256 {
    // SAFETY: eight values.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Up to eight values, and zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_part(values: &[f32]) -> __m256 {
    let mut lanes = [0.0; 8];
    lanes[..values.len()].copy_from_slice(values);
    load(&lanes)
}

/// As many lanes as there are places.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store_part(to: &mut [f32], lanes: __m256) {
    to.copy_from_slice(&array(lanes)[..to.len()]);
}

/// The lanes as values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn array(lanes: __m256) -> [f32; 8] {
    let mut values = [0.0; 8];
    // SAFETY: eight places.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), lanes) };
    values
}
