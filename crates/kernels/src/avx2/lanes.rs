//! Eight `f32` as [`Lanes`].

use std::arch::x86_64::{
    __m256, _CMP_LT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps,
    _mm256_andnot_ps, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtps_epi32, _mm256_div_ps, _mm256_fmadd_ps,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_or_ps, _mm256_round_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_slli_epi32, _mm256_sub_ps,
};

use crate::lanes::Lanes;

/// Calls intrinsics of AVX2 and FMA.
macro_rules! lanes {
    ($expression:expr) => {{
        // SAFETY: `__m256` as lanes is used only inside functions that are compiled for AVX2, FMA and F16C (see the module).
        unsafe { $expression }
    }};
}

impl Lanes for __m256 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        lanes!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        lanes!(_mm256_add_ps(self, other))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        lanes!(_mm256_sub_ps(self, other))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        lanes!(_mm256_mul_ps(self, other))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        lanes!(_mm256_div_ps(self, other))
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        lanes!(_mm256_fmadd_ps(self, factor, addend))
    }
    // The instructions give their second operand if either is NaN.
    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        lanes!(_mm256_min_ps(bound, self))
    }
    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        lanes!(_mm256_max_ps(bound, self))
    }
    #[inline(always)]
    fn round(self) -> Self {
        lanes!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self))
    }
    #[inline(always)]
    fn power_of_two(self) -> Self {
        lanes!({
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(self), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        })
    }
    #[inline(always)]
    fn zero_below(self, bound: Self, value: Self) -> Self {
        lanes!(_mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(self, bound), value))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        lanes!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self))
    }
    #[inline(always)]
    fn with_sign(self, sign: Self) -> Self {
        let bit = Self::splat(-0.0);
        lanes!(_mm256_or_ps(_mm256_andnot_ps(bit, self), _mm256_and_ps(bit, sign)))
    }
}
