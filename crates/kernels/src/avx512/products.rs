//! Squares of products with packed weights: up to eight rows of activations times two panels, whose outputs lie side by
//! side in one vector. A single panel is taken as two equal ones.

use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_load_si256, _mm256_storeu_ps, _mm512_and_si512,
    _mm512_castps512_ps256, _mm512_castsi256_si512, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_inserti64x4, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_sub_epi32,
};

use half::f16;

use super::Float;
use crate::matmul::{PanelKernel, Sums};
use crate::packed::{Line, PANEL, Quantised, Zero};
use crate::quantise::{QUAD, Quantities};

/// Bytes of weights that are fetched ahead, as in [`crate::avx2::products`].
const AHEAD: usize = 1536;

/// Products with quantised weights of `LINES` lines a group, for kernels of `Isa::Avx512` only.
pub(crate) struct Quants<'a, const LINES: usize> {
    pub(crate) weights: &'a Quantised,
    pub(crate) x: &'a Quantities,
    /// See `Quantities::zero_sums`.
    pub(crate) zero_sums: &'a [[i32; QUAD]],
}

/// Products with codes below 16.
pub(crate) type Nibbles<'a> = Quants<'a, 4>;
/// Products with codes below 256.
pub(crate) type Bytes<'a> = Quants<'a, 8>;

/// Products with float weights, for kernels of `Isa::Avx512` only.
pub(crate) struct Floats<'a, T> {
    pub(crate) weights: &'a [T],
    /// [rows, cols]
    pub(crate) x: &'a [f32],
    pub(crate) cols: usize,
}

impl<const LINES: usize> PanelKernel for Quants<'_, LINES> {
    const PANELS: usize = 2;

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        // SAFETY: made for kernels of `Isa::Avx512`, and there are none where it is not available.
        unsafe {
            match &self.weights.zero {
                Zero::Code(_) => self.square::<false, ROWS, PANELS>(panel, row, &[], sums),
                Zero::Minimums(minimums) => self.square::<true, ROWS, PANELS>(panel, row, minimums, sums),
            }
        }
    }

    fn quads<const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        self.sums::<{ 2 * QUAD }, PANELS>(panel, row, sums);
    }
}

impl<const LINES: usize> Quants<'_, LINES> {
    /// The weights have `minimums` or, without `MINIMUM`, a zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn square<const MINIMUM: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        panel: usize,
        row: usize,
        minimums: &[f16],
        to: Sums<'_>,
    ) {
        let Self { weights, x, zero_sums } = *self;
        let (groups, places) = (x.groups, (panel + PANELS) * x.groups);
        assert!(weights.codes.len() >= places * LINES && weights.scales.len() >= places * PANEL);
        assert!(row.is_multiple_of(QUAD) && ROWS <= 2 * QUAD && row + ROWS <= x.rows);
        // The two quads of each group.
        let quad = |q: usize| (row / QUAD + q.min((ROWS - 1) / QUAD)) * groups;
        let quads = [0, 1].map(|q| &x.quads[quad(q)..][..groups]);
        let zero_sums = [0, 1].map(|q| if MINIMUM { &[][..] } else { &zero_sums[quad(q)..][..groups] });
        assert!(!MINIMUM || minimums.len() >= places * PANEL);
        let mut sums = [_mm512_setzero_ps(); ROWS];
        for group in 0..groups {
            let (low, high) = (panel * groups + group, (panel + PANELS - 1) * groups + group);
            // SAFETY: the group is inside the panels and quads that were checked above.
            let (quads, codes, scale, minimum) = unsafe {
                let lines = weights.codes.as_ptr();
                let eights = |from: *const f16| f16::sixteen(from.add(low * PANEL), from.add(high * PANEL));
                (
                    quads.map(|quads| quads.get_unchecked(group)),
                    codes::<LINES>(lines.add(low * LINES), lines.add(high * LINES)),
                    eights(weights.scales.as_ptr()),
                    if MINIMUM { eights(minimums.as_ptr()) } else { _mm512_setzero_ps() },
                )
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                let (q, r) = (r / QUAD, r % QUAD);
                let mut dot = _mm512_setzero_si512();
                if !MINIMUM {
                    // SAFETY: as above.
                    dot = _mm512_sub_epi32(dot, _mm512_set1_epi32(unsafe { zero_sums[q].get_unchecked(group)[r] }));
                }
                // Four products of a code and an input are added to a whole number of 32 bits at once.
                for (codes, inputs) in codes.into_iter().zip(quads[q].codes[r].as_chunks().0) {
                    dot = _mm512_dpbusd_epi32(
                        dot,
                        codes,
                        _mm512_set1_epi32(i32::from_ne_bytes(inputs.map(i8::cast_unsigned))),
                    );
                }
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(quads[q].scales[r]));
                *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *sum);
                if MINIMUM {
                    *sum = _mm512_fmadd_ps(minimum, _mm512_set1_ps(quads[q].scaled_sums[r]), *sum);
                }
            }
        }
        store::<ROWS, PANELS>(sums, to);
    }
}

/// A group's codes for four inputs at a time: `low` points to the group's lines in the first panel, `high` in the second.
///
/// # Safety
/// `LINES` lines can be read from both.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn codes<const LINES: usize>(low: *const Line, high: *const Line) -> [__m512i; 8] {
    let low_bits = _mm512_set1_epi8(15);
    let mut codes = [low_bits; 8];
    for line in 0..LINES {
        if line % 2 == 0 {
            for lines in [low, high] {
                // A prefetch may point anywhere: past a panel's end is the next one, or nothing.
                _mm_prefetch::<_MM_HINT_T0>(lines.wrapping_add(line).wrapping_byte_add(AHEAD).cast::<i8>());
            }
        }
        // SAFETY: by this function's contract; a line is 32 aligned bytes.
        let [low, high] = [low, high].map(|lines| unsafe { _mm256_load_si256(lines.add(line).cast()) });
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        if LINES == 4 {
            // Inputs 8 * line + 0..4 are the low nibbles, the next four the high ones.
            codes[2 * line] = _mm512_and_si512(both, low_bits);
            codes[2 * line + 1] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), low_bits);
        } else {
            codes[line] = both;
        }
    }
    codes
}

impl<T: Float> PanelKernel for Floats<'_, T> {
    const PANELS: usize = 2;

    fn sums<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        // SAFETY: made for kernels of `Isa::Avx512`, and there are none where it is not available.
        unsafe { self.square::<ROWS, PANELS>(panel, row, sums) }
    }

    fn quads<const PANELS: usize>(&self, panel: usize, row: usize, sums: Sums<'_>) {
        self.sums::<{ 2 * QUAD }, PANELS>(panel, row, sums);
    }
}

impl<T: Float> Floats<'_, T> {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn square<const ROWS: usize, const PANELS: usize>(&self, panel: usize, row: usize, to: Sums<'_>) {
        let Self { weights, x, cols } = *self;
        assert!(weights.len() >= (panel + PANELS) * cols * PANEL && x.len() >= (row + ROWS) * cols);
        let (low, high) = (panel * cols, (panel + PANELS - 1) * cols);
        let mut sums = [_mm512_setzero_ps(); ROWS];
        for col in 0..cols {
            // SAFETY: the column is inside the panels that were checked above.
            let lanes = unsafe {
                let weights = weights.as_ptr();
                T::sixteen(weights.add((low + col) * PANEL), weights.add((high + col) * PANEL))
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the column is inside the rows that were checked above.
                let x = unsafe { *x.get_unchecked((row + r) * cols + col) };
                *sum = _mm512_fmadd_ps(lanes, _mm512_set1_ps(x), *sum);
            }
        }
        store::<ROWS, PANELS>(sums, to);
    }
}

/// Writes the sums of some rows and one panel, or two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn store<const ROWS: usize, const PANELS: usize>(sums: [__m512; ROWS], to: Sums<'_>) {
    let Sums { values, stride } = to;
    assert!(values.len() >= (ROWS - 1) * stride + PANELS * PANEL);
    for (r, sums) in sums.into_iter().enumerate() {
        // SAFETY: checked above.
        unsafe {
            let to = values.as_mut_ptr().add(r * stride).cast::<f32>();
            if PANELS == 2 { _mm512_storeu_ps(to, sums) } else { _mm256_storeu_ps(to, _mm512_castps512_ps256(sums)) }
        }
    }
}
