//! The float types of weights and pages, widened eight at a time.

use std::arch::x86_64::{
    __m128i, __m256, _mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_loadu_ps,
    _mm256_slli_epi32,
};

use half::{bf16, f16};

/// A float type that eight lanes are loaded from.
pub(crate) trait Float: Copy {
    /// # Safety
    /// Eight values can be read, and the machine has AVX2 and F16C.
    unsafe fn eight(from: *const Self) -> __m256;
}

impl Float for f32 {
    #[inline(always)]
    unsafe fn eight(from: *const Self) -> __m256 {
        // SAFETY: by this function's contract.
        unsafe { _mm256_loadu_ps(from) }
    }
}
impl Float for f16 {
    #[inline(always)]
    unsafe fn eight(from: *const Self) -> __m256 {
        // SAFETY: by this function's contract.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast::<__m128i>())) }
    }
}
impl Float for bf16 {
    #[inline(always)]
    unsafe fn eight(from: *const Self) -> __m256 {
        // SAFETY: by this function's contract. A bf16 is the upper half of an f32.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast::<__m128i>()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
}
