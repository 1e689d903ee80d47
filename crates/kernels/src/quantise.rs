//! Activations as whole numbers, with a scale for each group of 32, as in the `Q8_1` blocks of llama.cpp.

use crate::Kernels;
use crate::packed::{GROUP, Zero};
use crate::threads::Parts;

/// Rows of activations: `scale * code`.
pub(crate) struct Quantities {
    pub(crate) rows: usize,
    /// Groups in a row.
    pub(crate) groups: usize,
    /// [rows / 4, groups] What lies beyond the last row is zero.
    pub(crate) quads: Vec<Quad>,
}

/// A group of four neighbouring rows, which kernels read together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quad {
    /// Between -127 and 127.
    pub(crate) codes: [[i8; GROUP]; QUAD],
    pub(crate) scales: [f32; QUAD],
    /// The sum of a row's codes.
    pub(crate) sums: [i32; QUAD],
    /// The sum of a row's codes, times its scale.
    pub(crate) scaled_sums: [f32; QUAD],
}

/// Rows in a [`Quad`].
pub(crate) const QUAD: usize = 4;

impl Quantities {
    /// What a product with codes that are too large by `zero` is too large by: [rows / 4, groups, 4], or nothing if they
    /// are not.
    pub(crate) fn zero_sums(&self, zero: &Zero) -> Vec<[i32; QUAD]> {
        match zero {
            Zero::Code(zero) => self.quads.iter().map(|quad| quad.sums.map(|sum| i32::from(*zero) * sum)).collect(),
            Zero::Minimums(_) => Vec::new(),
        }
    }
}

impl Kernels {
    /// Quantises `x` [rows, width], where `width` is a whole number of groups.
    pub(crate) fn quantise(&self, x: &[f32], width: usize) -> Quantities {
        let (rows, groups) = (x.len() / width, width / GROUP);
        let mut quads = vec![Quad::default(); rows.div_ceil(QUAD) * groups];
        let parts = Parts::new(&mut quads);
        self.rows(rows.div_ceil(QUAD), QUAD * width, &|first, count| {
            // SAFETY: tiles do not overlap.
            let quads = unsafe { parts.part(first * groups, count * groups) };
            let x = &x[first * QUAD * width..];
            for (quads, x) in quads.chunks_exact_mut(groups).zip(x.chunks(QUAD * width)) {
                for (row, x) in x.chunks_exact(width).enumerate() {
                    for (quad, x) in quads.iter_mut().zip(x.as_chunks::<GROUP>().0) {
                        (quad.scales[row], quad.sums[row]) = self.quantise_group(x, &mut quad.codes[row]);
                        quad.scaled_sums[row] = scaled_sum(quad.scales[row], quad.sums[row]);
                    }
                }
            }
        });
        Quantities { rows, groups, quads }
    }

    /// Returns the scale and the sum of the codes. A group with a value that is not finite gets the scale NaN, so that
    /// whatever it takes part in is NaN.
    fn quantise_group(&self, x: &[f32; GROUP], codes: &mut [i8; GROUP]) -> (f32, i32) {
        /// Groups of values below this are zero; its reciprocal is still finite.
        const SMALLEST: f32 = 1e-30;
        let largest = f32::from_bits(match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are no kernels of this set where it is not available.
            crate::Isa::Avx2 | crate::Isa::Avx512 => unsafe { crate::avx2::rows::largest(x) },
            _ => largest_magnitude(x),
        });
        if !largest.is_finite() || largest < SMALLEST {
            codes.fill(0);
            return (if largest.is_finite() { 0.0 } else { f32::NAN }, 0);
        }
        let inverse = 127.0 / largest;
        let sum = match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are no kernels of this set where it is not available.
            crate::Isa::Avx2 | crate::Isa::Avx512 => unsafe { crate::avx2::rows::codes(x, inverse, codes) },
            _ => round_codes(x, inverse, codes),
        };
        (largest / 127.0, sum)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of 32 codes is at most 4064")]
fn scaled_sum(scale: f32, sum: i32) -> f32 {
    scale * sum as f32
}

/// As bits, so that a value that is not finite is larger than all others.
fn largest_magnitude(x: &[f32; GROUP]) -> u32 {
    x.iter().map(|x| x.abs().to_bits()).max().unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, reason = "codes are between -127 and 127")]
fn round_codes(x: &[f32; GROUP], inverse: f32, codes: &mut [i8; GROUP]) -> i32 {
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (x * inverse).round_ties_even() as i8;
    }
    codes.iter().map(|&code| i32::from(code)).sum()
}
