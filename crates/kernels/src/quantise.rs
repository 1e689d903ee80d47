//! Activations as whole numbers, with a scale for each group of 32, as in the `Q8_1` blocks of llama.cpp.

use crate::Kernels;
use crate::packed::GROUP;
use crate::threads::Parts;

/// Rows of activations: `scale * code`.
pub(crate) struct Quantities {
    /// Groups in a row.
    pub(crate) groups: usize,
    /// [rows, groups * GROUP] Between -127 and 127.
    pub(crate) codes: Vec<i8>,
    /// [rows, groups]
    pub(crate) scales: Vec<f32>,
    /// [rows, groups] The sum of a group's codes.
    pub(crate) sums: Vec<i32>,
    /// [rows, groups] The sum of a group's codes, times its scale.
    pub(crate) scaled_sums: Vec<f32>,
}

/// One row to be filled in.
struct RowMut<'a> {
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    scaled_sums: &'a mut [f32],
}

impl Kernels {
    /// Quantises `x` [rows, width], where `width` is a whole number of groups.
    pub(crate) fn quantise(&self, x: &[f32], width: usize) -> Quantities {
        let (rows, groups) = (x.len() / width, width / GROUP);
        let mut quantities = Quantities {
            groups,
            codes: vec![0; x.len()],
            scales: vec![0.0; rows * groups],
            sums: vec![0; rows * groups],
            scaled_sums: vec![0.0; rows * groups],
        };
        let codes = Parts::new(&mut quantities.codes);
        let scales = Parts::new(&mut quantities.scales);
        let sums = Parts::new(&mut quantities.sums);
        let scaled_sums = Parts::new(&mut quantities.scaled_sums);
        self.rows(rows, width, &|first, rows| {
            let (start, len) = (first * groups, rows * groups);
            // SAFETY: row tiles do not overlap.
            let mut tile = unsafe {
                RowMut {
                    codes: codes.part(first * width, rows * width),
                    scales: scales.part(start, len),
                    sums: sums.part(start, len),
                    scaled_sums: scaled_sums.part(start, len),
                }
            };
            self.quantise_groups(&x[first * width..][..rows * width], &mut tile);
        });
        quantities
    }

    fn quantise_groups(&self, x: &[f32], to: &mut RowMut<'_>) {
        let (x, codes) = (x.as_chunks::<GROUP>().0, to.codes.as_chunks_mut::<GROUP>().0);
        for (index, (x, codes)) in x.iter().zip(codes).enumerate() {
            let (scale, sum) = self.quantise_group(x, codes);
            to.scales[index] = scale;
            to.sums[index] = sum;
            to.scaled_sums[index] = scaled_sum(scale, sum);
        }
    }

    /// Returns the scale and the sum of the codes. A group with a value that is not finite gets the scale NaN, so that
    /// whatever it takes part in is NaN.
    fn quantise_group(&self, x: &[f32; GROUP], codes: &mut [i8; GROUP]) -> (f32, i32) {
        /// Groups of values below this are zero; its reciprocal is still finite.
        const SMALLEST: f32 = 1e-30;
        let largest = f32::from_bits(match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are no kernels of this set where it is not available.
            crate::Isa::Avx2 => unsafe { crate::avx2::rows::largest(x) },
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
            crate::Isa::Avx2 => unsafe { crate::avx2::rows::codes(x, inverse, codes) },
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
