//! Tiles of products with packed weights: a few rows of activations times a few panels.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_load_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_sub_epi32,
};
use std::marker::PhantomData;

use half::f16;

use super::float::Float;
use crate::matmul::{PanelKernel, Sums};
use crate::packed::{PANEL, Quantised, Zero};
use crate::quantise::{QUAD, Quantities};

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

/// Bytes of weights that are fetched ahead. A core that waits for each line in turn reads half of what the memory gives.
const AHEAD: usize = 1536;

/// Products with quantised weights, for kernels of `Isa::Avx2` only.
pub(crate) struct Quants<'a, C> {
    weights: &'a Quantised,
    x: &'a Quantities,
    /// See `Quantities::zero_sums`.
    zero_sums: &'a [[i32; QUAD]],
    codes: PhantomData<C>,
}

/// Products with float weights, for kernels of `Isa::Avx2` only.
pub(crate) struct Floats<'a, T> {
    pub(crate) weights: &'a [T],
    /// [rows, cols]
    pub(crate) x: &'a [f32],
    pub(crate) cols: usize,
}

impl<'a, C: Codes> Quants<'a, C> {
    /// Products of `weights` and `x`, with the zero sums of both.
    pub(crate) fn new(weights: &'a Quantised, x: &'a Quantities, zero_sums: &'a [[i32; QUAD]]) -> Self {
        Self { weights, x, zero_sums, codes: PhantomData }
    }
}

impl<C: Codes> PanelKernel for Quants<'_, C> {
    const PANELS: usize = if C::LINES == 4 { 2 } else { 1 };

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        // SAFETY: made for kernels of `Isa::Avx2`, and there are none where it is not available.
        unsafe { quantised::<C, ROWS, PANELS>(self, panel, row, sums) }
    }
}

impl<T: Float> PanelKernel for Floats<'_, T> {
    const PANELS: usize = 2;

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        // SAFETY: made for kernels of `Isa::Avx2`, and there are none where it is not available.
        unsafe { floats::<T, ROWS, PANELS>(self, panel, row, sums) }
    }
}

/// Quantised weights of `PANELS` panels from `panel`, times `ROWS` rows from `row`.
///
/// Products of a code below 16 and an activation are at most 15 * 127, so sixteen of them can be added in 16 bits. A code of
/// eight bits is taken as two of four.
#[target_feature(enable = "avx2,fma,f16c")]
fn quantised<C: Codes, const ROWS: usize, const PANELS: usize>(
    product: &Quants<'_, C>,
    panel: usize,
    row: usize,
    to: Sums<'_>,
) {
    let Quants { weights, x, zero_sums, .. } = *product;
    let groups = x.groups;
    let places = (panel + PANELS) * groups;
    assert!(weights.codes.len() >= places * C::LINES && weights.scales.len() >= places * PANEL);
    assert!(row.is_multiple_of(QUAD) && ROWS <= QUAD && row + ROWS <= x.rows);
    let quads = &x.quads[row / QUAD * groups..][..groups];
    let zero_sums = if zero_sums.is_empty() { &[][..] } else { &zero_sums[row / QUAD * groups..][..groups] };
    let minimums = if let Zero::Minimums(minimums) = &weights.zero {
        assert!(minimums.len() >= places * PANEL);
        Some(minimums.as_ptr())
    } else {
        assert!(zero_sums.len() == groups);
        None
    };
    let mut sums = [[_mm256_setzero_ps(); PANELS]; ROWS];
    for (group, quad) in quads.iter().enumerate() {
        let first_place = panel * groups + group;
        // SAFETY: the group is inside the rows and panels that were checked above.
        let dots = unsafe {
            let codes = weights.codes.as_ptr().cast::<__m256i>().add(first_place * C::LINES);
            dots::<C, ROWS, PANELS>(codes, groups * C::LINES, quad.codes.as_ptr().cast::<i32>())
        };
        for p in 0..PANELS {
            let place = (first_place + p * groups) * PANEL;
            // SAFETY: as above; a panel has eight scales and eight minimums of two bytes in each group.
            let scale = unsafe { halves(weights.scales.as_ptr().add(place)) };
            // SAFETY: as above.
            let minimum = minimums.map(|minimums| unsafe { halves(minimums.add(place)) });
            for r in 0..ROWS {
                let mut dot = dots[r][p];
                if minimum.is_none() {
                    // SAFETY: as above.
                    dot = _mm256_sub_epi32(dot, _mm256_set1_epi32(unsafe { zero_sums.get_unchecked(group)[r] }));
                }
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(quad.scales[r]));
                sums[r][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[r][p]);
                if let Some(minimum) = minimum {
                    sums[r][p] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(quad.scaled_sums[r]), sums[r][p]);
                }
            }
        }
    }
    store(sums, to);
}

/// Whole-number products of one group. `codes` points to the group's lines in the first panel, the next panel is `next_panel`
/// lines on; `x` points to the group in the first row, the other rows follow, eight times four inputs each.
///
/// # Safety
/// All of that can be read, and `codes` is aligned.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots<C: Codes, const ROWS: usize, const PANELS: usize>(
    codes: *const __m256i,
    next_panel: usize,
    x: *const i32,
) -> [[__m256i; PANELS]; ROWS] {
    let low_bits = _mm256_set1_epi8(15);
    let mut low = [[_mm256_setzero_si256(); PANELS]; ROWS];
    let mut high = [[_mm256_setzero_si256(); PANELS]; ROWS];
    for line in 0..C::LINES {
        if line % 2 == 0 {
            for p in 0..PANELS {
                // A prefetch may point anywhere: past a panel's end is the next one, or nothing.
                let ahead = codes.wrapping_add(p * next_panel + line).wrapping_byte_add(AHEAD);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast::<i8>());
            }
        }
        let mut nibbles = [[_mm256_setzero_si256(); 2]; PANELS];
        for (p, nibbles) in nibbles.iter_mut().enumerate() {
            // SAFETY: by this function's contract.
            let line = unsafe { _mm256_load_si256(codes.add(p * next_panel + line)) };
            *nibbles = [_mm256_and_si256(line, low_bits), _mm256_and_si256(_mm256_srli_epi16::<4>(line), low_bits)];
        }
        for r in 0..ROWS {
            // SAFETY: by this function's contract.
            let four = |i: usize| unsafe { x.add(8 * r + i).read_unaligned() };
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

/// Writes the sums of some rows and panels.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store<const ROWS: usize, const PANELS: usize>(sums: [[__m256; PANELS]; ROWS], to: Sums<'_>) {
    let Sums { values, stride } = to;
    assert!(values.len() >= (ROWS - 1) * stride + PANELS * PANEL);
    for (r, sums) in sums.into_iter().enumerate() {
        for (p, sum) in sums.into_iter().enumerate() {
            // SAFETY: checked above.
            unsafe { _mm256_storeu_ps(values.as_mut_ptr().add(r * stride + p * PANEL).cast::<f32>(), sum) };
        }
    }
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

/// Float weights of `PANELS` panels from `panel`, times `ROWS` rows from `row`.
#[target_feature(enable = "avx2,fma,f16c")]
fn floats<T: Float, const ROWS: usize, const PANELS: usize>(
    product: &Floats<'_, T>,
    panel: usize,
    row: usize,
    to: Sums<'_>,
) {
    let Floats { weights, x, cols } = *product;
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
    store(sums, to);
}
