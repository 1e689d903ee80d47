//! The float types of weights and pages, widened sixteen at a time.

use std::arch::x86_64::{
    __m128i, __m256i, __m512, _mm_loadu_si128, _mm256_castsi128_si256, _mm256_inserti128_si256, _mm256_loadu_ps,
    _mm512_castps256_ps512, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_insertf32x8,
    _mm512_slli_epi32,
};

use half::{bf16, f16};

/// A float type that sixteen lanes are loaded from.
pub(crate) trait Float: crate::avx2::Float {
    /// Eight values from `low` on, and eight from `high` on.
    ///
    /// # Safety
    /// They can be read, and the machine has AVX-512 F and DQ.
    unsafe fn sixteen(low: *const Self, high: *const Self) -> __m512;
}

impl Float for f32 {
    #[inline(always)]
    unsafe fn sixteen(low: *const Self, high: *const Self) -> __m512 {
        // SAFETY: by this function's contract.
        unsafe { _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high)) }
    }
}
impl Float for f16 {
    #[inline(always)]
    unsafe fn sixteen(low: *const Self, high: *const Self) -> __m512 {
        // SAFETY: by this function's contract.
        unsafe { _mm512_cvtph_ps(halves(low.cast(), high.cast())) }
    }
}
impl Float for bf16 {
    #[inline(always)]
    unsafe fn sixteen(low: *const Self, high: *const Self) -> __m512 {
        // SAFETY: by this function's contract. A bf16 is the upper half of an f32.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(halves(low.cast(), high.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
}

/// Sixteen bytes from each.
#[inline(always)]
unsafe fn halves(low: *const __m128i, high: *const __m128i) -> __m256i {
    // SAFETY: by the contract of the callers.
    unsafe { _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high)) }
}
