//! Sixteen `f32` as [`Lanes`].

use std::arch::x86_64::{
    __m512, _CMP_NLT_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm512_add_epi32, _mm512_add_ps, _mm512_and_ps,
    _mm512_andnot_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_or_ps, _mm512_roundscale_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_sub_ps,
};

use crate::lanes::Lanes;

/// Calls intrinsics of AVX-512.
macro_rules! lanes {
    ($expression:expr) => {{
        // SAFETY: `__m512` as lanes is used only inside functions that are compiled for AVX-512 (see the module).
        unsafe { $expression }
    }};
}

impl Lanes for __m512 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        lanes!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        lanes!(_mm512_add_ps(self, other))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        lanes!(_mm512_sub_ps(self, other))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        lanes!(_mm512_mul_ps(self, other))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        lanes!(_mm512_div_ps(self, other))
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        lanes!(_mm512_fmadd_ps(self, factor, addend))
    }
    // The instructions give their second operand if either is NaN.
    #[inline(always)]
    fn min(self, bound: Self) -> Self {
        lanes!(_mm512_min_ps(bound, self))
    }
    #[inline(always)]
    fn max(self, bound: Self) -> Self {
        lanes!(_mm512_max_ps(bound, self))
    }
    #[inline(always)]
    fn round(self) -> Self {
        lanes!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self))
    }
    #[inline(always)]
    fn power_of_two(self) -> Self {
        lanes!({
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        })
    }
    #[inline(always)]
    fn zero_below(self, bound: Self, value: Self) -> Self {
        lanes!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self, bound), value))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        lanes!(_mm512_andnot_ps(_mm512_set1_ps(-0.0), self))
    }
    #[inline(always)]
    fn with_sign(self, sign: Self) -> Self {
        let bit = Self::splat(-0.0);
        lanes!(_mm512_or_ps(_mm512_andnot_ps(bit, self), _mm512_and_ps(bit, sign)))
    }
}

#[cfg(test)]
mod tests {
    use std::arch::x86_64::{_mm512_loadu_ps, _mm512_storeu_ps};

    use super::*;
    use crate::Isa;
    use crate::lanes::{erf, exp, sigmoid, tanh};

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn sixteen(x: &[f32; 16], out: &mut [[f32; 16]; 4]) {
        // SAFETY: sixteen values each.
        unsafe {
            let x = _mm512_loadu_ps(x.as_ptr());
            let results: [__m512; 4] = [exp(x), sigmoid(x), tanh(x), erf(x)];
            for (out, result) in out.iter_mut().zip(results) {
                _mm512_storeu_ps(out.as_mut_ptr(), result);
            }
        }
    }

    #[test]
    fn sixteen_lanes_give_the_bits_of_one() {
        if !Isa::Avx512.is_available() {
            return;
        }
        let values: Vec<f32> = crate::lanes::tests::sample().collect();
        for x in values.as_chunks::<16>().0 {
            let mut found = [[0.0; 16]; 4];
            // SAFETY: checked above.
            unsafe { sixteen(x, &mut found) };
            let expected = [x.map(exp), x.map(sigmoid), x.map(tanh), x.map(erf)];
            assert_eq!(found.map(|row| row.map(f32::to_bits)), expected.map(|row| row.map(f32::to_bits)), "{x:?}");
        }
    }
}
