//! A mixture of experts on the device.

use candle_core::DType;

use crate::cuda::device::{Argument, Shape};
use crate::cuda::matrix::Stored;
use crate::cuda::memory::Buffer;
use crate::cuda::rows::{each, same_rows, word};
use crate::cuda::{DeviceMatrix, DeviceRows, Gpu};
use crate::{Activation, Experts, KernelError, Result};

/// Experts that a layer may have, pairs of a tile, and outputs of a block; the same as in `experts.cu`.
const MOST: usize = 1024;
const PAIRS: usize = 16;
const OUTPUTS: usize = 32;
/// Blocks in the second direction of a grid.
const MOST_TILES: usize = 65_535;
/// How many times slower products of pairs, which read their rows again and again, are taken to be than large ones. If there
/// are this many experts for each that a row goes through, they are worth it anyway. An estimate: not measured on a device.
const SPARE: usize = 12;

/// The experts of one layer on the device.
#[derive(Debug)]
pub struct DeviceExperts {
    all: Experts<DeviceMatrix>,
    /// [experts, 2] Where the matrices lie, if none is quantised.
    table: Option<Buffer>,
}

/// The rows' experts on the device, [rows, used], and their weights there.
struct Choice {
    chosen: DeviceRows,
    shares: DeviceRows,
}

/// Pairs of a row and one of its experts, in tiles of the same expert.
struct Tiles {
    most: usize,
    pairs: usize,
    /// [most] Of each tile, its expert.
    experts: DeviceRows,
    /// [most, PAIRS]
    slots: DeviceRows,
}

impl Gpu {
    /// The experts with the table of where they lie.
    pub(crate) fn bundle_experts(&self, all: Experts<DeviceMatrix>) -> Result<DeviceExperts> {
        let plain = |matrix: &DeviceMatrix| match &matrix.stored {
            Stored::Plain(memory) => Some(memory.pointer()),
            Stored::Coded(_) => None,
        };
        let pointers = all.all.iter().flat_map(|expert| [plain(&expert.gate_up), plain(&expert.down)]);
        let table = pointers.map(|pointer| Some(pointer?.to_le_bytes())).collect::<Option<Vec<_>>>();
        let upload = |bytes: Vec<[u8; 8]>| Buffer::from_bytes(&self.device.context, bytes.as_flattened());
        Ok(DeviceExperts { all, table: table.map(upload).transpose()? })
    }

    /// What the experts of each row of `x` make of it, weighted, [rows, hidden].
    ///
    /// Which expert a row goes through is known on the device only, and a step that is recorded cannot wait for it. Few rows
    /// are grouped by expert there; of many, each expert computes all, by large products, and those that do not go through
    /// it get nothing of that.
    pub(crate) fn mixed_rows(
        &self,
        x: &DeviceRows,
        scores: &DeviceRows,
        experts: &DeviceExperts,
        activation: Activation,
    ) -> Result<DeviceRows> {
        let DeviceExperts { all: experts, table } = experts;
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
        let pairs = x.rows * experts.used;
        let few = pairs <= PAIRS * count || count >= SPARE * experts.used;
        if let Some(table) = table.as_ref().filter(|_| few && pairs.div_ceil(PAIRS) + count <= MOST_TILES) {
            let choice = self.list_experts(&weights, experts.used)?;
            return self.mixed_pairs(x, (experts, table), &choice, activation);
        }
        self.mixed_by_all(x, &weights, experts, activation)
    }

    /// The experts of each row in their order, of the weights of all, [rows, experts].
    fn list_experts(&self, weights: &DeviceRows, used: usize) -> Result<Choice> {
        // Numbers of 32 bits, too.
        let chosen = self.rows(weights.rows, used, DType::F32)?;
        let shares = self.rows(weights.rows, used, DType::F32)?;
        let arguments: [&dyn Argument; 5] =
            [&weights.pointer(), &chosen.pointer(), &shares.pointer(), &word(weights.width), &word(used)];
        // SAFETY: all have as many rows, and those that are written `used` words in each.
        unsafe {
            self.device.launch("list_experts", Shape { grid: (weights.rows, 1), block: 32, shared: 0 }, &arguments)
        }?;
        Ok(Choice { chosen, shares })
    }

    /// By products of pairs: an expert's weights are read once for every 16 of its rows.
    fn mixed_pairs(
        &self,
        x: &DeviceRows,
        (experts, table): (&Experts<DeviceMatrix>, &Buffer),
        choice: &Choice,
        activation: Activation,
    ) -> Result<DeviceRows> {
        let pairs = x.rows * experts.used;
        // An expert's last tile need not be full.
        let most = pairs.min(pairs.div_ceil(PAIRS) + experts.all.len());
        let (of_tiles, slots) = (self.rows(most, 1, DType::F32)?, self.rows(most, PAIRS, DType::F32)?);
        let arguments: [&dyn Argument; 5] =
            [&choice.chosen.pointer(), &word(pairs), &of_tiles.pointer(), &slots.pointer(), &word(most)];
        let shape = Shape { grid: (1, 1), block: 1024, shared: 0 };
        // SAFETY: there is a choice for each pair, and there are never more tiles.
        unsafe { self.device.launch("group_pairs", shape, &arguments) }?;
        let tiles = Tiles { most, pairs, experts: of_tiles, slots };
        let first = experts.all.first().ok_or_else(|| KernelError::Parameter("a layer without experts".to_owned()))?;
        x.expect(self.dtype, first.gate_up.inputs, "x")?;
        let up = self.product_of_pairs(x, (&first.gate_up, table, 0), &tiles, experts.used)?;
        let inner = self.gate_rows(&up, activation)?;
        inner.expect(self.dtype, first.down.inputs, "an expert's inner rows")?;
        let given = self.product_of_pairs(&inner, (&first.down, table, 1), &tiles, 1)?;
        given.expect(self.dtype, x.width, "an expert's output")?;
        let out = self.rows(x.rows, x.width, self.dtype)?;
        let (chosen, shares) = (choice.chosen.pointer(), choice.shares.pointer());
        let arguments: [&dyn Argument; 6] =
            [&given.pointer(), &chosen, &shares, &out.pointer(), &word(x.width), &word(experts.used)];
        let shape = Shape { grid: (x.width.div_ceil(256), x.rows), block: 256, shared: 0 };
        // SAFETY: each row has `used` pairs, and both are as wide.
        unsafe { self.device.launch(self.named(["mix_experts_f16", "mix_experts_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// Of each pair, row `pair / each` of `x` times its expert's matrix `part`, which is like `matrix`.
    fn product_of_pairs(
        &self,
        x: &DeviceRows,
        (matrix, table, part): (&DeviceMatrix, &Buffer, u32),
        tiles: &Tiles,
        each: usize,
    ) -> Result<DeviceRows> {
        let out = self.rows(tiles.pairs, matrix.outputs, self.dtype)?;
        let arguments: [&dyn Argument; 9] = [
            &x.pointer(),
            &table.pointer(),
            &out.pointer(),
            &tiles.experts.pointer(),
            &tiles.slots.pointer(),
            &word(matrix.outputs),
            &word(matrix.inputs),
            &word(each),
            &part,
        ];
        let shape = Shape { grid: (matrix.outputs.div_ceil(OUTPUTS), tiles.most), block: 256, shared: 0 };
        // SAFETY: all experts' matrices have this shape, whose rows are whole vectors, and `x` has a row for every `each` pairs.
        unsafe { self.device.launch(self.named(["expert_product_f16", "expert_product_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// By large products of all rows with each expert.
    fn mixed_by_all(
        &self,
        x: &DeviceRows,
        weights: &DeviceRows,
        experts: &Experts<DeviceMatrix>,
        activation: Activation,
    ) -> Result<DeviceRows> {
        let count = experts.all.len();
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
