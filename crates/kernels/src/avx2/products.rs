//! Tiles of products with packed weights: a few rows of activations times a few panels.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_load_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_srli_epi16, _mm256_sub_epi32,
};

use std::marker::PhantomData;

use half::f16;

use super::float::Float;
use crate::matmul::{Square, Sums};
use crate::packed::{GROUP, PANEL, Quantised, Zero};
use crate::quantise::Quantities;

/// How codes are stored in lines.
pub(crate) trait Codes {
    /// Lines in a group.
    const LINES: usize;
}

/// Two codes in a byte.
pub(crate) struct Nibbles;
/// A code in a byte.
pub(crate) struct Bytes;

impl Codes for Nibbles {
    const LINES: usize = 4;
}
impl Codes for Bytes {
    const LINES: usize = 8;
}

/// Products with quantised weights.
pub(crate) struct QuantisedSquare<'a, C> {
    weights: &'a Quantised,
    x: &'a Quantities,
    codes: PhantomData<C>,
}

impl<'a, C: Codes> QuantisedSquare<'a, C> {
    /// For kernels of `Isa::Avx2` only.
    pub(crate) fn new(weights: &'a Quantised, x: &'a Quantities) -> Self {
        Self { weights, x, codes: PhantomData }
    }
}

impl<C: Codes> Square for QuantisedSquare<'_, C> {
    const PANELS: usize = if C::LINES == 4 { 2 } else { 1 };

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize) -> Sums<ROWS, PANELS> {
        // SAFETY: made for kernels of `Isa::Avx2`, and there are none where it is not available.
        unsafe { quantised::<C, ROWS, PANELS>(self.weights, self.x, panel, row) }
    }
}

/// Products with float weights, for kernels of `Isa::Avx2` only.
pub(crate) struct FloatSquare<'a, T> {
    pub(crate) weights: &'a [T],
    /// [rows, cols]
    pub(crate) x: &'a [f32],
    pub(crate) cols: usize,
}

impl<T: Float> Square for FloatSquare<'_, T> {
    const PANELS: usize = 2;

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize) -> Sums<ROWS, PANELS> {
        // SAFETY: made for kernels of `Isa::Avx2`, and there are none where it is not available.
        unsafe { float::<T, ROWS, PANELS>(self.weights, self.x, self.cols, panel, row) }
    }
}

/// Quantised weights of `PANELS` panels from `panel`, times `ROWS` rows from `row`.
///
/// Products of a code below 16 and an activation are at most 15 * 127, so sixteen of them can be added in 16 bits. A code of
/// eight bits is taken as two of four.
#[target_feature(enable = "avx2,fma,f16c")]
fn quantised<C: Codes, const ROWS: usize, const PANELS: usize>(
    weights: &Quantised,
    x: &Quantities,
    panel: usize,
    row: usize,
) -> Sums<ROWS, PANELS> {
    let groups = x.groups;
    let places = (panel + PANELS) * groups;
    assert!(weights.codes.len() >= places * C::LINES && weights.scales.len() >= places * PANEL);
    assert!(x.codes.len() >= (row + ROWS) * groups * GROUP && x.scales.len() >= (row + ROWS) * groups);
    assert!(x.sums.len() == x.scales.len() && x.scaled_sums.len() == x.scales.len());
    let zero = if let Zero::Code(zero) = weights.zero { i32::from(zero) } else { 0 };
    let minimums = if let Zero::Minimums(minimums) = &weights.zero {
        assert!(minimums.len() >= places * PANEL);
        Some(minimums.as_ptr())
    } else {
        None
    };
    let mut sums = [[_mm256_setzero_ps(); PANELS]; ROWS];
    for group in 0..groups {
        let first_place = panel * groups + group;
        // SAFETY: the group is inside the rows and panels that were checked above.
        let dots = unsafe {
            let codes = weights.codes.as_ptr().cast::<__m256i>().add(first_place * C::LINES);
            let x_codes = x.codes.as_ptr().add((row * groups + group) * GROUP);
            dots::<C, ROWS, PANELS>(codes, groups * C::LINES, x_codes, groups * GROUP)
        };
        for p in 0..PANELS {
            let place = (first_place + p * groups) * PANEL;
            // SAFETY: as above; a panel has eight scales and eight minimums of two bytes in each group.
            let scale = unsafe { halves(weights.scales.as_ptr().add(place)) };
            // SAFETY: as above.
            let minimum = minimums.map(|minimums| unsafe { halves(minimums.add(place)) });
            for r in 0..ROWS {
                let at = (row + r) * groups + group;
                // SAFETY: as above.
                let (x_scale, x_sum, x_scaled_sum) = unsafe {
                    (*x.scales.get_unchecked(at), *x.sums.get_unchecked(at), *x.scaled_sums.get_unchecked(at))
                };
                let mut dot = dots[r][p];
                if minimum.is_none() {
                    dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(zero * x_sum));
                }
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(x_scale));
                sums[r][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[r][p]);
                if let Some(minimum) = minimum {
                    sums[r][p] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(x_scaled_sum), sums[r][p]);
                }
            }
        }
    }
    arrays(sums)
}

/// Whole-number products of one group. `codes` points to the group's lines in the first panel, the next panel is `next_panel`
/// lines on; `x` points to the group in the first row, the next row is `next_row` on.
///
/// # Safety
/// All of that can be read, and `codes` is aligned.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots<C: Codes, const ROWS: usize, const PANELS: usize>(
    codes: *const __m256i,
    next_panel: usize,
    x: *const i8,
    next_row: usize,
) -> [[__m256i; PANELS]; ROWS] {
    let low_bits = _mm256_set1_epi8(15);
    let mut low = [[_mm256_setzero_si256(); PANELS]; ROWS];
    let mut high = [[_mm256_setzero_si256(); PANELS]; ROWS];
    for line in 0..C::LINES {
        let mut nibbles = [[_mm256_setzero_si256(); 2]; PANELS];
        for (p, nibbles) in nibbles.iter_mut().enumerate() {
            // SAFETY: by this function's contract.
            let line = unsafe { _mm256_load_si256(codes.add(p * next_panel + line)) };
            *nibbles = [_mm256_and_si256(line, low_bits), _mm256_and_si256(_mm256_srli_epi16::<4>(line), low_bits)];
        }
        for r in 0..ROWS {
            // SAFETY: by this function's contract.
            let four = |i: usize| unsafe { x.add(r * next_row + 4 * i).cast::<i32>().read_unaligned() };
            if C::LINES == 4 {
                // Inputs 8 * line + 0..4 are the low nibbles, the next four the high ones.
                let (first, second) = (_mm256_set1_epi32(four(2 * line)), _mm256_set1_epi32(four(2 * line + 1)));
                for p in 0..PANELS {
                    low[r][p] = _mm256_add_epi16(low[r][p], _mm256_maddubs_epi16(nibbles[p][0], first));
                    low[r][p] = _mm256_add_epi16(low[r][p], _mm256_maddubs_epi16(nibbles[p][1], second));
                }
            } else {
                let inputs = _mm256_set1_epi32(four(line));
                for p in 0..PANELS {
                    low[r][p] = _mm256_add_epi16(low[r][p], _mm256_maddubs_epi16(nibbles[p][0], inputs));
                    high[r][p] = _mm256_add_epi16(high[r][p], _mm256_maddubs_epi16(nibbles[p][1], inputs));
                }
            }
        }
    }
    let mut dots = [[_mm256_setzero_si256(); PANELS]; ROWS];
    for r in 0..ROWS {
        for p in 0..PANELS {
            dots[r][p] = _mm256_madd_epi16(low[r][p], _mm256_set1_epi16(1));
            if C::LINES == 8 {
                dots[r][p] = _mm256_add_epi32(dots[r][p], _mm256_madd_epi16(high[r][p], _mm256_set1_epi16(16)));
            }
        }
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn arrays<const ROWS: usize, const PANELS: usize>(sums: [[__m256; PANELS]; ROWS]) -> Sums<ROWS, PANELS> {
    let mut arrays = [[[0.0; PANEL]; PANELS]; ROWS];
    for (arrays, sums) in arrays.iter_mut().zip(sums) {
        for (array, sum) in arrays.iter_mut().zip(sums) {
            *array = super::array(sum);
        }
    }
    arrays
}

/// Eight halves as floats.
///
/// # Safety
/// They can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn halves(from: *const f16) -> __m256 {
    // SAFETY: by this function's contract.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast::<__m128i>()) })
}

/// Float weights of `PANELS` panels from `panel`, times `ROWS` rows of `x` [rows, cols] from `row`.
#[target_feature(enable = "avx2,fma,f16c")]
fn float<T: Float, const ROWS: usize, const PANELS: usize>(
    weights: &[T],
    x: &[f32],
    cols: usize,
    panel: usize,
    row: usize,
) -> Sums<ROWS, PANELS> {
    assert!(weights.len() >= (panel + PANELS) * cols * PANEL && x.len() >= (row + ROWS) * cols);
    let mut sums = [[_mm256_setzero_ps(); PANELS]; ROWS];
    for col in 0..cols {
        let mut lanes = [_mm256_setzero_ps(); PANELS];
        for (p, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: the column is inside the panels that were checked above.
            *lanes = unsafe { T::eight(weights.as_ptr().add(((panel + p) * cols + col) * PANEL)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the column is inside the rows that were checked above.
            let x = _mm256_set1_ps(unsafe { *x.get_unchecked((row + r) * cols + col) });
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = _mm256_fmadd_ps(lanes, x, *sum);
            }
        }
    }
    arrays(sums)
}
