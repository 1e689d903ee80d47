//! Norms of rows: root-mean-square, and with the mean taken away.

use candle_core::Tensor;

use crate::lanes::{compiled, sum8};
use crate::tensor::{matrix, matrix_of, output, slice, vector_of};
use crate::threads::Parts;
use crate::{Kernels, Result};

impl Kernels {
    /// `x / sqrt(mean(x²) + eps) * weight` for each row of `x` [rows, width], with `weight` [width].
    ///
    /// # Errors
    /// If shapes or types do not fit.
    pub fn rms_norm(&self, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
        let (x, rows, width) = matrix(x, "x")?;
        let weight = vector_of(weight, width, "weight")?;
        let (x, x_layout) = x.storage_and_layout();
        let (weight, weight_layout) = weight.storage_and_layout();
        let x = slice::<f32>(&x, x_layout, "x")?;
        let weight = slice::<f32>(&weight, weight_layout, "weight")?;
        let mut normed = vec![0.0; x.len()];
        let parts = Parts::new(&mut normed);
        self.rows(rows, width, &|first, rows| {
            // SAFETY: row tiles do not overlap.
            let normed = unsafe { parts.part(first * width, rows * width) };
            self.norm_rows(&x[first * width..][..rows * width], weight, eps, normed);
        });
        output(normed, rows, width)
    }

    /// `residual + x`, and the norm of it (see [`Kernels::rms_norm`]); both [rows, width].
    ///
    /// # Errors
    /// If shapes or types do not fit.
    pub fn add_rms_norm(&self, residual: &Tensor, x: &Tensor, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
        let (residual, rows, width) = matrix(residual, "residual")?;
        let x = matrix_of(x, rows, width, "x")?;
        let weight = vector_of(weight, width, "weight")?;
        let (residual, residual_layout) = residual.storage_and_layout();
        let (x, x_layout) = x.storage_and_layout();
        let (weight, weight_layout) = weight.storage_and_layout();
        let residual = slice::<f32>(&residual, residual_layout, "residual")?;
        let x = slice::<f32>(&x, x_layout, "x")?;
        let weight = slice::<f32>(&weight, weight_layout, "weight")?;
        let (mut sum, mut normed) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (sums, norms) = (Parts::new(&mut sum), Parts::new(&mut normed));
        self.rows(rows, width, &|first, rows| {
            let (start, len) = (first * width, rows * width);
            // SAFETY: row tiles do not overlap.
            let (sum, normed) = unsafe { (sums.part(start, len), norms.part(start, len)) };
            for ((sum, a), b) in sum.iter_mut().zip(&residual[start..][..len]).zip(&x[start..][..len]) {
                *sum = a + b;
            }
            self.norm_rows(sum, weight, eps, normed);
        });
        Ok((output(sum, rows, width)?, output(normed, rows, width)?))
    }

    /// `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias` for each row of `x` [rows, width], with `weight` and `bias`
    /// [width].
    ///
    /// # Errors
    /// If shapes or types do not fit.
    pub fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
        let (x, rows, width) = matrix(x, "x")?;
        let (weight, bias) = (vector_of(weight, width, "weight")?, vector_of(bias, width, "bias")?);
        let (x, x_layout) = x.storage_and_layout();
        let (weight, weight_layout) = weight.storage_and_layout();
        let (bias, bias_layout) = bias.storage_and_layout();
        let x = slice::<f32>(&x, x_layout, "x")?;
        let weight = slice::<f32>(&weight, weight_layout, "weight")?;
        let bias = slice::<f32>(&bias, bias_layout, "bias")?;
        let mut normed = vec![0.0; x.len()];
        let parts = Parts::new(&mut normed);
        self.rows(rows, width, &|first, rows| {
            // SAFETY: row tiles do not overlap.
            let normed = unsafe { parts.part(first * width, rows * width) };
            let x = &x[first * width..];
            compiled!(self, centred(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, normed: &mut [f32]));
        });
        output(normed, rows, width)
    }

    fn norm_rows(&self, x: &[f32], weight: &[f32], eps: f32, normed: &mut [f32]) {
        for (x, normed) in x.chunks_exact(weight.len()).zip(normed.chunks_exact_mut(weight.len())) {
            match self.isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: there are no kernels of this set where it is not available.
                crate::Isa::Avx2 | crate::Isa::Avx512 => unsafe { crate::avx2::rows::norm(x, weight, eps, normed) },
                _ => norm(x, weight, eps, normed),
            }
        }
    }
}

/// The definition: squares are summed in eight lanes, element `i` in lane `i % 8`, and the lanes by [`sum8`].
fn norm(x: &[f32], weight: &[f32], eps: f32, normed: &mut [f32]) {
    let mut lanes = [0.0f32; 8];
    for chunk in x.chunks(8) {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = x.mul_add(x, *lane);
        }
    }
    let scale = inverse_root(&lanes, x.len(), eps);
    for ((normed, x), weight) in normed.iter_mut().zip(x).zip(weight) {
        *normed = x * scale * weight;
    }
}

/// The rows of `x` as long as `weight`, as many as there are places. Sums run in eight lanes as those of [`norm`].
#[inline(always)]
fn centred(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, normed: &mut [f32]) {
    for (x, normed) in x.chunks_exact(weight.len()).zip(normed.chunks_exact_mut(weight.len())) {
        let mut lanes = [0.0f32; 8];
        for chunk in x.chunks(8) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
        }
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
        let mean = sum8(&lanes) / x.len() as f32;
        let mut lanes = [0.0f32; 8];
        for chunk in x.chunks(8) {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = (x - mean).mul_add(x - mean, *lane);
            }
        }
        let scale = inverse_root(&lanes, x.len(), eps);
        for (((normed, x), weight), bias) in normed.iter_mut().zip(x).zip(weight).zip(bias) {
            *normed = (x - mean) * scale * weight + bias;
        }
    }
}

/// `1 / sqrt(mean + eps)` from partial sums of squares.
#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
pub(crate) fn inverse_root(squares: &[f32; 8], width: usize, eps: f32) -> f32 {
    1.0 / (sum8(squares) / width as f32 + eps).sqrt()
}
