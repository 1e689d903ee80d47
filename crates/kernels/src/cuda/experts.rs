//! A mixture of experts on the device.

use candle_core::DType;

use crate::blocks::Codes;
use crate::cuda::coded::{STAGED_OUTPUTS, STAGED_ROWS, STAGED_SHARED, STAGED_THREADS, for_codes, named};
use crate::cuda::device::{Argument, Shape};
use crate::cuda::memory::Buffer;
use crate::cuda::rows::{same_rows, word};
use crate::cuda::{DeviceMatrix, DeviceRows, Gpu};
use crate::{Activation, Expert, Experts, KernelError, Result};

/// Experts that a layer may have; the same as in `experts.cu`.
const MOST: usize = 1024;
/// Pairs of a tile where there are few, and outputs of a block for these, with quantised weights or not; the same as in
/// `grouped.cu`.
const FEW: usize = 16;
const FEW_OUTPUTS: usize = 32;
const CODED_OUTPUTS: usize = 16;
/// Pairs of a tile where there are many.
const MANY: usize = STAGED_ROWS;
/// Pairs of a usual expert from which on they are many. An estimate: not measured on a device.
const MANY_EACH: usize = 24;
/// Blocks in the second direction of a grid.
const MOST_TILES: usize = 65_535;
/// Names of the kernels that keep weights of many pairs in shared memory: of the device's types, then of codes.
const OF_MANY: [&str; 2] = ["grouped_64_f16", "grouped_64_bf16"];
const OF_MANY_CODED: [[&str; 4]; 2] = [for_codes!("grouped_64", "f16"), for_codes!("grouped_64", "bf16")];
/// The same for few pairs.
const OF_FEW: [&str; 2] = ["grouped_16_f16", "grouped_16_bf16"];
const OF_FEW_CODED: [[&str; 4]; 2] = [for_codes!("grouped_16", "f16"), for_codes!("grouped_16", "bf16")];

/// The experts of one layer on the device.
#[derive(Debug)]
pub struct DeviceExperts {
    all: Experts<DeviceMatrix>,
    gate_up: Matrices,
    down: Matrices,
}

/// The same matrix of all experts.
#[derive(Debug)]
struct Matrices {
    outputs: usize,
    inputs: usize,
    /// Its outputs one part after the other.
    parts: Vec<Part>,
}

/// Some outputs of all experts, which are kept alike.
#[derive(Debug)]
struct Part {
    /// How, if they are quantised.
    kept: Option<Codes>,
    outputs: usize,
    /// [experts, 2] Where the weights lie, or the codes and their scales.
    table: Buffer,
}

/// Pairs of a row and one of its experts, in tiles of the same expert.
struct Tiles {
    /// Pairs of a tile.
    height: usize,
    most: usize,
    pairs: usize,
    /// [most] Of each tile, its expert.
    experts: DeviceRows,
    /// [most, height]
    slots: DeviceRows,
}

impl Gpu {
    /// The experts with the tables of where they lie. Where matrices are not kept alike by all experts, they are widened.
    pub(crate) fn bundle_experts(&self, experts: Experts<DeviceMatrix>) -> Result<DeviceExperts> {
        let Experts { all, used, normalised } = experts;
        let (gate_up, down) = all.into_iter().map(|expert| (expert.gate_up, expert.down)).unzip();
        let (gate_up, of_gate_up) = self.of_all_experts(gate_up)?;
        let (down, of_down) = self.of_all_experts(down)?;
        let all = gate_up.into_iter().zip(down).map(|(gate_up, down)| Expert { gate_up, down }).collect();
        Ok(DeviceExperts { all: Experts { all, used, normalised }, gate_up: of_gate_up, down: of_down })
    }

    /// One matrix of each expert, and where they lie.
    fn of_all_experts(&self, mut matrices: Vec<DeviceMatrix>) -> Result<(Vec<DeviceMatrix>, Matrices)> {
        let Some(first) = matrices.first() else {
            return Err(KernelError::Parameter("a layer without experts".to_owned()));
        };
        let (outputs, inputs) = (first.outputs, first.inputs);
        if let Some(other) = matrices.iter().find(|other| (other.outputs, other.inputs) != (outputs, inputs)) {
            let (found, expected) =
                (vec![other.outputs, other.inputs], format!("[{outputs}, {inputs}] as of the others"));
            return Err(KernelError::Shape { what: "an expert's matrix", found, expected });
        }
        let forms = first.forms();
        if matrices.iter().any(|other| other.forms() != forms) {
            matrices = matrices.into_iter().map(|matrix| self.widen_matrix(matrix)).collect::<Result<_>>()?;
        }
        let parts = matrices.first().map(DeviceMatrix::forms).unwrap_or_default();
        if let Some((_, odd)) = parts.iter().find(|(_, outputs)| !outputs.is_multiple_of(2)) {
            return Err(KernelError::Parameter(format!("an expert's matrix has {odd} outputs, which is odd")));
        }
        let parts = (0..).zip(parts).map(|(part, (kept, outputs))| {
            let places = matrices.iter().flat_map(|matrix| matrix.stored.places(part));
            let bytes: Vec<u8> = places.flat_map(u64::to_le_bytes).collect();
            Ok(Part { kept, outputs, table: Buffer::from_bytes(&self.device.context, &bytes)? })
        });
        let parts = parts.collect::<Result<_>>()?;
        Ok((matrices, Matrices { outputs, inputs, parts }))
    }

    /// Lets the kernels have the shared memory that they need.
    pub(crate) fn allow_experts(&self) -> Result<()> {
        let names = OF_MANY.into_iter().chain(OF_MANY_CODED.into_iter().flatten());
        names.into_iter().try_for_each(|name| self.device.allow_shared(name, STAGED_SHARED))
    }

    /// What the experts of each row of `x` make of it, weighted, [rows, hidden].
    ///
    /// Which expert a row goes through is known on the device only, and a step that is recorded cannot wait for it: rows are
    /// grouped by expert there, so that an expert's weights are read once for all rows of a tile.
    pub(crate) fn mixed_rows(
        &self,
        x: &DeviceRows,
        scores: &DeviceRows,
        experts: &DeviceExperts,
        activation: Activation,
    ) -> Result<DeviceRows> {
        let DeviceExperts { all: Experts { all, used, normalised }, gate_up, down } = experts;
        let (count, used) = (all.len(), *used);
        scores.expect(DType::F32, count, "router scores")?;
        same_rows(scores, x)?;
        if used == 0 || used > count || count > MOST {
            let text = format!("a row is to go through {used} of {count} experts, of at most {MOST}");
            return Err(KernelError::Parameter(text));
        }
        // The first holds numbers of 32 bits, too.
        let (chosen, shares) = (self.rows(x.rows, used, DType::F32)?, self.rows(x.rows, used, DType::F32)?);
        let shape = Shape { grid: (x.rows, 1), block: 32, shared: 0 };
        let arguments: [&dyn Argument; 6] = [
            &scores.pointer(),
            &chosen.pointer(),
            &shares.pointer(),
            &word(count),
            &word(used),
            &u32::from(*normalised),
        ];
        // SAFETY: scores have this many experts for each row, and what is written has `used` words.
        unsafe { self.device.launch("route_f32", shape, &arguments) }?;
        let tiles = self.group_pairs(&chosen, count)?;
        x.expect(self.dtype, gate_up.inputs, "x")?;
        let inner = self.gate_rows(&self.product_of_pairs(x, gate_up, &tiles, used)?, activation)?;
        inner.expect(self.dtype, down.inputs, "an expert's inner rows")?;
        let given = self.product_of_pairs(&inner, down, &tiles, 1)?;
        given.expect(self.dtype, x.width, "an expert's output")?;
        let out = self.rows(x.rows, x.width, self.dtype)?;
        let arguments: [&dyn Argument; 6] =
            [&given.pointer(), &chosen.pointer(), &shares.pointer(), &out.pointer(), &word(x.width), &word(used)];
        let shape = Shape { grid: (x.width.div_ceil(256), x.rows), block: 256, shared: 0 };
        // SAFETY: each row has `used` pairs, and both are as wide.
        unsafe { self.device.launch(self.named(["mix_experts_f16", "mix_experts_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// The pairs of all rows, whose experts, of `count`, are [rows, used] numbers.
    fn group_pairs(&self, chosen: &DeviceRows, count: usize) -> Result<Tiles> {
        let pairs = chosen.rows * chosen.width;
        let height = if pairs < MANY_EACH * count { FEW } else { MANY };
        // An expert's last tile need not be full.
        let most = pairs.min(pairs.div_ceil(height) + count);
        if most > MOST_TILES {
            let text =
                format!("{} rows that go through {} experts each are too many for one step", chosen.rows, chosen.width);
            return Err(KernelError::Parameter(text));
        }
        let (experts, slots) = (self.rows(most, 1, DType::F32)?, self.rows(most, height, DType::F32)?);
        let arguments: [&dyn Argument; 6] =
            [&chosen.pointer(), &word(pairs), &experts.pointer(), &slots.pointer(), &word(most), &word(height)];
        let shape = Shape { grid: (1, 1), block: 1024, shared: 0 };
        // SAFETY: there is a choice for each pair, and there are never more tiles.
        unsafe { self.device.launch("group_pairs", shape, &arguments) }?;
        Ok(Tiles { height, most, pairs, experts, slots })
    }

    /// Of each pair, row `pair / each` of `x` times its expert's matrix, [pairs, outputs].
    fn product_of_pairs(&self, x: &DeviceRows, matrices: &Matrices, tiles: &Tiles, each: usize) -> Result<DeviceRows> {
        let out = self.rows(tiles.pairs, matrices.outputs, self.dtype)?;
        let mut first = 0;
        for part in &matrices.parts {
            let many = tiles.height == MANY;
            let of_codes =
                |kept, [f16, bf16]: [[&'static str; 4]; 2]| self.named([named(kept, f16), named(kept, bf16)]);
            let (name, outputs, threads) = match part.kept {
                None if many => (self.named(OF_MANY), STAGED_OUTPUTS, STAGED_THREADS),
                None => (self.named(OF_FEW), FEW_OUTPUTS, 256),
                Some(kept) if many => (of_codes(kept, OF_MANY_CODED), STAGED_OUTPUTS, STAGED_THREADS),
                Some(kept) => (of_codes(kept, OF_FEW_CODED), CODED_OUTPUTS, 256),
            };
            let arguments: [&dyn Argument; 9] = [
                &x.pointer(),
                &part.table.pointer(),
                &(out.pointer() + (first * self.dtype.size_in_bytes()) as u64),
                &tiles.experts.pointer(),
                &tiles.slots.pointer(),
                &word(part.outputs),
                &word(matrices.inputs),
                &word(matrices.outputs),
                &word(each),
            ];
            let shared = if many { STAGED_SHARED } else { 0 };
            let shape = Shape { grid: (part.outputs.div_ceil(outputs), tiles.most), block: threads, shared };
            // SAFETY: all experts' matrices have this shape, whose rows are whole vectors, and `x` has a row for every
            // `each` pairs.
            unsafe { self.device.launch(name, shape, &arguments) }?;
            first += part.outputs;
        }
        Ok(out)
    }
}
