//! Elementary functions, written once for one value and for several.
//!
//! A kernel that is generic over [`Lanes`] does the same operations in the same order on `f32` and on a vector, so both
//! give the same bits. No operation here is reordered or contracted by the compiler.

/// One or several `f32` values that are computed side by side.
pub(crate) trait Lanes: Copy {
    /// The same value in every lane.
    fn splat(value: f32) -> Self;
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self - other`
    fn sub(self, other: Self) -> Self;
    /// `self * other`
    fn mul(self, other: Self) -> Self;
    /// `self / other`
    fn div(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The smaller of both; NaN if `self` is NaN.
    fn min(self, bound: Self) -> Self;
    /// The larger of both; NaN if `self` is NaN.
    fn max(self, bound: Self) -> Self;
    /// The nearest whole number, ties to even.
    fn round(self) -> Self;
    /// `2^self` of a whole number between -126 and 127.
    fn power_of_two(self) -> Self;
    /// Zero where `self < bound`, else `value`.
    fn zero_below(self, bound: Self, value: Self) -> Self;
    /// Without the sign.
    fn abs(self) -> Self;
    /// `self` with the sign of `sign`, which is not NaN.
    fn with_sign(self, sign: Self) -> Self;
}

impl Lanes for f32 {
    fn splat(value: f32) -> Self {
        value
    }
    fn add(self, other: Self) -> Self {
        self + other
    }
    fn sub(self, other: Self) -> Self {
        self - other
    }
    fn mul(self, other: Self) -> Self {
        self * other
    }
    fn div(self, other: Self) -> Self {
        self / other
    }
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        f32::mul_add(self, factor, addend)
    }
    fn min(self, bound: Self) -> Self {
        if bound < self { bound } else { self }
    }
    fn max(self, bound: Self) -> Self {
        if bound > self { bound } else { self }
    }
    fn round(self) -> Self {
        self.round_ties_even()
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number between -126 and 127, or NaN, which gives 0")]
    fn power_of_two(self) -> Self {
        f32::from_bits(((self as i32 + 127) << 23).cast_unsigned())
    }
    fn zero_below(self, bound: Self, value: Self) -> Self {
        if self < bound { 0.0 } else { value }
    }
    fn abs(self) -> Self {
        f32::abs(self)
    }
    fn with_sign(self, sign: Self) -> Self {
        self.copysign(sign)
    }
}

/// Calls `$kernel` compiled for the instruction set of `$kernels`.
macro_rules! compiled {
    ($kernels:expr, $kernel:ident ( $($argument:ident : $type:ty),* )) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn wide($($argument: $type),*) {
            $kernel($($argument),*);
        }
        match $kernels.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are no kernels of this set where it is not available.
            crate::Isa::Avx2 | crate::Isa::Avx512 => unsafe { wide($($argument),*) },
            _ => $kernel($($argument),*),
        }
    }};
}

pub(crate) use compiled;

/// `e^x` within 2 units in the last place; 0 below -87.33, and what 88.37 gives above it.
///
/// The reduction and the polynomial are those of `expf` in the Cephes library (S. Moshier), evaluated with fused steps.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L) -> L {
    const LOWEST: f32 = -87.336_54;
    let splat = L::splat;
    let bounded = x.max(splat(LOWEST)).min(splat(88.376_26));
    let n = bounded.mul(splat(std::f32::consts::LOG2_E)).round();
    let r = n.mul_add(splat(-0.693_359_4), bounded);
    let r = n.mul_add(splat(2.121_944_4e-4), r);
    let mut p = splat(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, splat(coefficient));
    }
    let y = p.mul_add(r.mul(r), r).add(splat(1.0));
    x.zero_below(splat(LOWEST), y.mul(n.power_of_two()))
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(crate) fn sigmoid<L: Lanes>(x: L) -> L {
    L::splat(1.0).div(L::splat(1.0).add(exp(L::splat(0.0).sub(x))))
}

/// The hyperbolic tangent, within 3e-7.
#[inline(always)]
pub(crate) fn tanh<L: Lanes>(x: L) -> L {
    let e = exp(x.abs().mul(L::splat(-2.0)));
    let magnitude = L::splat(1.0).sub(e).div(L::splat(1.0).add(e));
    magnitude.with_sign(x)
}

/// The error function, within 1e-6: formula 7.1.26 of Abramowitz and Stegun.
#[inline(always)]
pub(crate) fn erf<L: Lanes>(x: L) -> L {
    let splat = L::splat;
    let a = x.abs();
    let t = splat(1.0).div(a.mul_add(splat(0.327_591_1), splat(1.0)));
    let mut p = splat(1.061_405_4);
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = p.mul_add(t, splat(coefficient));
    }
    let tail = p.mul(t).mul(exp(splat(0.0).sub(a.mul(a))));
    splat(1.0).sub(tail).with_sign(x)
}

/// The sum of eight partial sums, always in the same order.
pub(crate) fn sum8(v: &[f32; 8]) -> f32 {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every 4099th bit pattern, and the ends.
    pub(crate) fn sample() -> impl Iterator<Item = f32> {
        let ends = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, -87.336_54, 88.376_26, f32::INFINITY, f32::NEG_INFINITY];
        (0..u32::MAX).step_by(4099).map(f32::from_bits).filter(|x| !x.is_nan()).chain(ends)
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        assert_eq!(exp(0.0f32).to_bits(), 1.0f32.to_bits());
        assert!(exp(f32::NAN).is_nan());
        for x in sample() {
            let (found, exact) = (f64::from(exp(x)), f64::from(x.clamp(-200.0, 88.376_26)).exp());
            if x < -87.336_54 {
                assert_eq!(found.to_bits(), 0, "exp({x})");
            } else {
                assert!(
                    (found - exact).abs() <= 2.0 * exact * f64::from(f32::EPSILON),
                    "exp({x}) = {found}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn tanh_and_erf_are_within_their_bounds() {
        // The series of erf converges in f64 up to about 5; beyond 4 the function is 1.
        let erf_exact = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..150 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            if x.abs() > 4.0 { x.signum() } else { sum * 2.0 / std::f64::consts::PI.sqrt() }
        };
        for x in sample() {
            let tanh_error = (f64::from(tanh(x)) - f64::from(x).tanh()).abs();
            assert!(tanh_error <= 3e-7, "tanh({x}) is off by {tanh_error}");
            let erf_error = (f64::from(erf(x)) - erf_exact(f64::from(x))).abs();
            assert!(erf_error <= 1e-6, "erf({x}) is off by {erf_error}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn eight_lanes_give_the_bits_of_one() {
        use std::arch::x86_64::{__m256, _mm256_loadu_ps, _mm256_storeu_ps};

        #[target_feature(enable = "avx2,fma,f16c")]
        fn eight(x: &[f32; 8], out: &mut [[f32; 8]; 4]) {
            // SAFETY: eight values each.
            unsafe {
                let x = _mm256_loadu_ps(x.as_ptr());
                let results: [__m256; 4] = [exp(x), sigmoid(x), tanh(x), erf(x)];
                for (out, result) in out.iter_mut().zip(results) {
                    _mm256_storeu_ps(out.as_mut_ptr(), result);
                }
            }
        }

        if !crate::Isa::Avx2.is_available() {
            return;
        }
        let values: Vec<f32> = sample().collect();
        for x in values.as_chunks::<8>().0 {
            let mut found = [[0.0; 8]; 4];
            // SAFETY: checked above.
            unsafe { eight(x, &mut found) };
            let expected = [x.map(exp), x.map(sigmoid), x.map(tanh), x.map(erf)];
            assert_eq!(found.map(|row| row.map(f32::to_bits)), expected.map(|row| row.map(f32::to_bits)), "{x:?}");
        }
    }
}
