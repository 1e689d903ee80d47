//! A mixture of experts on the device.

use candle_core::DType;

use crate::cuda::device::{Argument, Shape};
use crate::cuda::rows::{each, same_rows, word};
use crate::cuda::{DeviceMatrix, DeviceRows, Gpu};
use crate::{Activation, Experts, KernelError, Result};

/// Experts that a layer may have; the same as in `experts.cu`.
const MOST: usize = 1024;

impl Gpu {
    /// What the experts of each row of `x` make of it, weighted, [rows, hidden].
    ///
    /// Which expert a row goes through is known on the device only, and a step that is recorded cannot wait for it: so each
    /// expert computes all rows, and those that do not go through it get nothing of that.
    pub(crate) fn mixed_rows(
        &self,
        x: &DeviceRows,
        scores: &DeviceRows,
        experts: &Experts<DeviceMatrix>,
        activation: Activation,
    ) -> Result<DeviceRows> {
        let count = experts.all.len();
        scores.expect(DType::F32, count, "router scores")?;
        same_rows(scores, x)?;
        if experts.used == 0 || experts.used > count || count > MOST {
            let text = format!("a row is to go through {} of {count} experts, of at most {MOST}", experts.used);
            return Err(KernelError::Parameter(text));
        }
        let weights = self.rows(x.rows, count, DType::F32)?;
        let shape = Shape { grid: (x.rows, 1), block: 32, shared: 0 };
        let (used, normalised) = (word(experts.used), u32::from(experts.normalised));
        let arguments: [&dyn Argument; 5] = [&scores.pointer(), &weights.pointer(), &word(count), &used, &normalised];
        // SAFETY: scores and weights have this many experts for each row.
        unsafe { self.device.launch("route_f32", shape, &arguments) }?;
        let sum = self.rows(x.rows, x.width, DType::F32)?;
        for (index, expert) in experts.all.iter().enumerate() {
            let inner = self.gate_rows(&self.product(x, &expert.gate_up, false)?, activation)?;
            let given = self.product(&inner, &expert.down, false)?;
            given.expect(self.dtype, x.width, "an expert's output")?;
            let arguments: [&dyn Argument; 6] =
                [&sum.pointer(), &given.pointer(), &weights.pointer(), &word(x.width), &word(count), &word(index)];
            let shape = Shape { grid: (x.width.div_ceil(256), x.rows), block: 256, shared: 0 };
            // SAFETY: sum and given are of these rows and this width.
            unsafe { self.device.launch(self.named(["add_expert_f16", "add_expert_bf16"]), shape, &arguments) }?;
        }
        let out = self.rows(x.rows, x.width, self.dtype)?;
        let numbers = x.rows * x.width;
        let arguments: [&dyn Argument; 3] = [&sum.pointer(), &out.pointer(), &word(numbers)];
        // SAFETY: both have as many numbers.
        unsafe { self.device.launch(self.named(["narrow_f16", "narrow_bf16"]), each(numbers), &arguments) }?;
        Ok(out)
    }
}
