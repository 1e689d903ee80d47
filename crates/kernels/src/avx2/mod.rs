//! x86-64 with AVX2, FMA and F16C: eight lanes of f32, thirty-two of i8.
//!
//! Every function here does what its plain definition does, in the same order, and gives the same bits. All are compiled
//! for these instruction sets and may be called only where [`crate::Isa::Avx2`] is available.

pub(crate) mod attention;
mod float;
mod lanes;
pub(crate) mod products;
pub(crate) mod rows;

pub(crate) use float::Float;

use std::arch::x86_64::{__m256, _mm256_loadu_ps, _mm256_storeu_ps};

/// Eight lanes from up to eight values; zero where there is none.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(values: &[f32]) -> __m256 {
    let mut lanes = [0.0f32; 8];
    let whole = match values.first_chunk::<8>() {
        Some(whole) => whole,
        None => {
            lanes[..values.len()].copy_from_slice(values);
            &lanes
        }
    };
    // SAFETY: eight values.
    unsafe { _mm256_loadu_ps(whole.as_ptr()) }
}

/// The first lanes into up to eight places.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store(to: &mut [f32], lanes: __m256) {
    if let Some(whole) = to.first_chunk_mut::<8>() {
        // SAFETY: eight places.
        unsafe { _mm256_storeu_ps(whole.as_mut_ptr(), lanes) };
    } else {
        let count = to.len();
        to.copy_from_slice(&array(lanes)[..count]);
    }
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
