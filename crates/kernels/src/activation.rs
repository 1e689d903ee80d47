//! Gated activations.

use candle_core::Tensor;

use crate::lanes::{Lanes, compiled, erf, sigmoid, tanh};
use crate::tensor::{matrix, output, slice};
use crate::threads::Parts;
use crate::{KernelError, Kernels, Result};

/// What the gate goes through before it multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// The tangent form of the Gaussian error linear unit.
    GeluTanh,
    /// The Gaussian error linear unit.
    Gelu,
}

impl Kernels {
    /// `activation(gate) * up` [rows, width] of `gate_up` [rows, 2 * width], the gate in the first half of each row.
    ///
    /// # Errors
    /// If the shape or type does not fit.
    pub fn gated(&self, gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
        let (gate_up, rows, double) = matrix(gate_up, "gate_up")?;
        if !double.is_multiple_of(2) {
            let expected = "[rows, 2 * width]".into();
            return Err(KernelError::Shape { what: "gate_up", found: vec![rows, double], expected });
        }
        let width = double / 2;
        let (gate_up, layout) = gate_up.storage_and_layout();
        let gate_up = slice::<f32>(&gate_up, layout, "gate_up")?;
        let mut values = vec![0.0; rows * width];
        let parts = Parts::new(&mut values);
        self.rows(rows, double, &|first, rows| {
            for row in first..first + rows {
                // SAFETY: each row is in one tile.
                let out = unsafe { parts.part(row * width, width) };
                let (gate, up) = gate_up[row * double..][..double].split_at(width);
                match self.isa {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: there are no kernels of this set where it is not available.
                    crate::Isa::Avx2 | crate::Isa::Avx512 => unsafe {
                        crate::avx2::rows::gate(out, gate, up, activation);
                    },
                    _ => gated_row(out, gate, up, activation),
                }
            }
        });
        output(values, rows, width)
    }
}

impl Kernels {
    /// `activation(x)` of each number of `x` [rows, width].
    ///
    /// # Errors
    /// If the shape or type does not fit.
    pub fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let (x, rows, width) = matrix(x, "x")?;
        let (x, layout) = x.storage_and_layout();
        let x = slice::<f32>(&x, layout, "x")?;
        let mut values = vec![0.0; x.len()];
        let parts = Parts::new(&mut values);
        self.rows(rows, width, &|first, rows| {
            // SAFETY: row tiles do not overlap.
            let out = unsafe { parts.part(first * width, rows * width) };
            let x = &x[first * width..];
            compiled!(self, activate(x: &[f32], activation: Activation, out: &mut [f32]));
        });
        output(values, rows, width)
    }

    /// `cap * tanh(x / cap)` of each number of `x` [rows, width].
    ///
    /// # Errors
    /// If the shape or type does not fit, or `cap` is not above zero.
    pub fn capped(&self, x: &Tensor, cap: f32) -> Result<Tensor> {
        if !(cap.is_finite() && cap > 0.0) {
            return Err(KernelError::Parameter(format!("a cap of {cap}")));
        }
        self.each(x, "x", |x| tanh(x / cap) * cap)
    }

    fn each(&self, x: &Tensor, what: &'static str, function: impl Fn(f32) -> f32 + Sync) -> Result<Tensor> {
        let (x, rows, width) = matrix(x, what)?;
        let (x, layout) = x.storage_and_layout();
        let x = slice::<f32>(&x, layout, what)?;
        let mut values = vec![0.0; x.len()];
        let parts = Parts::new(&mut values);
        self.rows(rows, width, &|first, rows| {
            // SAFETY: row tiles do not overlap.
            let out = unsafe { parts.part(first * width, rows * width) };
            out.iter_mut().zip(&x[first * width..]).for_each(|(out, x)| *out = function(*x));
        });
        output(values, rows, width)
    }
}

#[inline(always)]
fn activate(x: &[f32], activation: Activation, out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = gated(*x, 1.0, activation));
}

fn gated_row(out: &mut [f32], gate: &[f32], up: &[f32], activation: Activation) {
    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
        *out = gated(gate, up, activation);
    }
}

/// The definition, for one value or eight.
#[inline(always)]
pub(crate) fn gated<L: Lanes>(gate: L, up: L, activation: Activation) -> L {
    match activation {
        Activation::Silu => gate.mul(sigmoid(gate)),
        Activation::GeluTanh => {
            // (1 + tanh(u)) / 2 = sigmoid(2u)
            let cube = gate.mul(gate).mul(gate);
            let u = cube.mul_add(L::splat(0.044_715), gate).mul(L::splat(2.0 * 0.797_884_6));
            gate.mul(sigmoid(u))
        }
        Activation::Gelu => {
            let normal = erf(gate.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2)));
            gate.mul(L::splat(0.5)).mul(normal.add(L::splat(1.0)))
        }
    }
    .mul(up)
}
