//! Weights that stay quantised on the device: those of 4 bits have a third of the bytes of 16-bit ones, to keep and to read.
//!
//! For few rows, a kernel of ours turns codes into numbers in registers. For more, another does so on the way into shared memory.
//! For many, where the arithmetic counts, they are widened into scratch memory, and the library multiplies. Which of them computes
//! a product is found out by trying.

mod tiles;

use std::sync::Arc;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use cudarc::driver::result;
use half::f16;

use crate::Result;
use crate::blocks::Codes;
use crate::cuda::device::{Argument, Shape};
use crate::cuda::fault::failed;
use crate::cuda::memory::Buffer;
use crate::cuda::rows::{threads, word};
use crate::cuda::{DeviceRows, Gpu, Placed};
use tiles::{TILE_INPUTS, TILE_OUTPUTS, Tiles};

/// The names of a kernel for each way of keeping codes.
macro_rules! for_codes {
    ($name:literal, $kind:literal) => {
        [
            concat!($name, "_4_32_", $kind),
            concat!($name, "_4_16_", $kind),
            concat!($name, "_8_32_", $kind),
            concat!($name, "_8_16_", $kind),
        ]
    };
}
pub(crate) use for_codes;

/// The same for each type: F16, F16 with results in f32, BF16, and BF16 with results in f32.
macro_rules! for_types {
    ($name:literal) => {
        [
            for_codes!($name, "f16"),
            for_codes!($name, "f16_f32"),
            for_codes!($name, "bf16"),
            for_codes!($name, "bf16_f32"),
        ]
    };
}

/// Rows, outputs and threads of a block that keeps what it multiplies in shared memory, three steps of 64 inputs; the same as in
/// `staged.cuh`.
pub(crate) const STAGED_ROWS: usize = 64;
pub(crate) const STAGED_OUTPUTS: usize = 128;
pub(crate) const STAGED_THREADS: usize = 128;
pub(crate) const STAGED_SHARED: usize = 3 * (STAGED_ROWS + STAGED_OUTPUTS) * 64 * 2;
/// Its kernels for quantised weights.
const STAGED: [[&str; 4]; 4] = for_types!("staged");

/// Outputs that are widened at once: a bound on the scratch memory.
const SLICE: usize = 16_384;

/// Quantised weights, [outputs, inputs].
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) kept: Codes,
    pub(crate) outputs: usize,
    inputs: usize,
    codes: Buffer,
    scales: Buffer,
}

/// Some outputs of quantised weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodedSlice {
    pub(crate) kept: Codes,
    /// The first of them.
    pub(crate) first: usize,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    codes: u64,
    scales: u64,
}

/// Of the names of a kernel for each way of keeping codes, that for one of them.
pub(crate) fn named(kept: Codes, names: [&'static str; 4]) -> &'static str {
    let [nibbles, fine_nibbles, bytes, fine_bytes] = names;
    match (kept.bits, kept.group) {
        (4, 32) => nibbles,
        (4, _) => fine_nibbles,
        (_, 32) => bytes,
        _ => fine_bytes,
    }
}

impl Coded {
    /// Where codes and scales lie.
    pub(crate) fn places(&self) -> [u64; 2] {
        [self.codes.pointer(), self.scales.pointer()]
    }

    /// Whether other outputs can follow in the same memory.
    pub(crate) fn fills_tiles(&self) -> bool {
        self.outputs.is_multiple_of(TILE_OUTPUTS)
    }

    /// All outputs, in slices whose widened weights scratch memory is kept for.
    pub(crate) fn slices(&self) -> impl Iterator<Item = CodedSlice> + '_ {
        (0..self.outputs).step_by(SLICE).map(|first| {
            let tiles = tiles::count(first, self.inputs) as u64;
            CodedSlice {
                kept: self.kept,
                first,
                outputs: SLICE.min(self.outputs - first),
                inputs: self.inputs,
                codes: self.codes.pointer() + tiles * tiles::code_bytes(self.kept) as u64,
                scales: self.scales.pointer() + tiles * tiles::scale_bytes(self.kept) as u64,
            }
        })
    }
}

impl Gpu {
    /// Uploads a GGUF tensor of a form that is kept as `kept`; its bytes fill its shape.
    pub(crate) fn upload_coded(
        &self,
        form: GgmlDType,
        kept: Codes,
        [outputs, inputs]: [usize; 2],
        bytes: &[u8],
    ) -> Result<Coded> {
        let Tiles { codes, scales } = Tiles::pack(form, kept, outputs, inputs, bytes);
        let upload = |bytes: &[u8]| Buffer::from_bytes(&self.device.context, bytes);
        Ok(Coded { kept, outputs, inputs, codes: upload(&codes)?, scales: upload(&scales)? })
    }

    /// Random weights of 4 bits, uniform with the variance 1 / `inputs`.
    pub(crate) fn random_coded(&self, outputs: usize, inputs: usize, seed: u32) -> Result<Coded> {
        let kept = Codes { bits: 4, group: 32 };
        let tiles = tiles::count(outputs, inputs);
        let (code_bytes, scale_bytes) = (tiles * tiles::code_bytes(kept), tiles * tiles::scale_bytes(kept));
        let new = |bytes| Buffer::new(&self.device.context, bytes);
        let random = Coded { kept, outputs, inputs, codes: new(code_bytes)?, scales: new(scale_bytes)? };
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
        let scale = (12.0 / (255.0 * inputs as f32)).sqrt();
        let both = u32::from(f16::from_f32(scale).to_bits()) | u32::from(f16::from_f32(-7.5 * scale).to_bits()) << 16;
        let shape = Shape { grid: (8 * self.device.info.processors, 1), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 6] = [
            &random.codes.pointer(),
            &word(code_bytes / 4),
            &random.scales.pointer(),
            &word(scale_bytes / 4),
            &both,
            &seed,
        ];
        // SAFETY: both have so many words.
        unsafe { self.device.launch("random_codes", shape, &arguments) }?;
        Ok(random)
    }

    /// One part of several that are kept alike and, but for the last, fill their tiles.
    pub(crate) fn join_coded(&self, parts: &[Arc<Coded>]) -> Result<Coded> {
        let (kept, inputs) = parts.first().map_or((Codes { bits: 8, group: 32 }, 0), |part| (part.kept, part.inputs));
        let join = |buffers: Vec<&Buffer>| -> Result<Buffer> {
            let all = Buffer::new(&self.device.context, buffers.iter().map(|buffer| buffer.bytes()).sum())?;
            let mut at = all.pointer();
            for buffer in buffers {
                // SAFETY: the new memory has room for all of them.
                unsafe { result::memcpy_dtod_sync(at, buffer.pointer(), buffer.bytes()) }
                    .map_err(failed("copying on the device"))?;
                at += buffer.bytes() as u64;
            }
            Ok(all)
        };
        Ok(Coded {
            kept,
            inputs,
            outputs: parts.iter().map(|part| part.outputs).sum(),
            codes: join(parts.iter().map(|part| &part.codes).collect())?,
            scales: join(parts.iter().map(|part| &part.scales).collect())?,
        })
    }

    /// `x` [rows, inputs] times these weights' transpose, by our own kernel, into columns of rows of `stride` numbers.
    ///
    /// `y` points to the first column; rows are f32 if `wide`.
    pub(crate) fn product_of_codes(
        &self,
        x: &DeviceRows,
        weights: &CodedSlice,
        y: u64,
        (stride, wide): (usize, bool),
    ) -> Result<()> {
        // Tiles of 8 rows in each block.
        let (most, names) = match x.rows {
            0..=8 => (8, for_types!("coded_1")),
            9..=16 => (16, for_types!("coded_2")),
            17..=32 => (32, for_types!("coded_4")),
            _ => (64, for_types!("coded_8")),
        };
        // As many outputs as a block of the kernel has.
        let outputs = TILE_OUTPUTS * (most / 16).max(1);
        let grid = (weights.outputs.div_ceil(outputs), x.rows.div_ceil(most));
        self.launch_coded(names, Shape { grid, block: 256, shared: 0 }, (x, weights, y), (stride, wide))
    }

    /// The same by our kernel for many rows; outputs and `stride` are even in number, and `y` lies where two outputs may.
    pub(crate) fn product_of_staged_codes(
        &self,
        x: &DeviceRows,
        weights: &CodedSlice,
        y: u64,
        (stride, wide): (usize, bool),
    ) -> Result<()> {
        let grid = (weights.outputs.div_ceil(STAGED_OUTPUTS), x.rows.div_ceil(STAGED_ROWS));
        let shape = Shape { grid, block: STAGED_THREADS, shared: STAGED_SHARED };
        self.launch_coded(STAGED, shape, (x, weights, y), (stride, wide))
    }

    /// Lets kernels have the shared memory that they need.
    pub(crate) fn allow_staged(&self) -> Result<()> {
        STAGED.into_iter().flatten().try_for_each(|name| self.device.allow_shared(name, STAGED_SHARED))
    }

    fn launch_coded(
        &self,
        [f16, f16_wide, bf16, bf16_wide]: [[&'static str; 4]; 4],
        shape: Shape,
        (x, weights, y): (&DeviceRows, &CodedSlice, u64),
        (stride, wide): (usize, bool),
    ) -> Result<()> {
        let names = match (self.dtype, wide) {
            (DType::F16, false) => f16,
            (DType::F16, true) => f16_wide,
            (_, false) => bf16,
            (_, true) => bf16_wide,
        };
        let arguments: [&dyn Argument; 8] = [
            &x.pointer(),
            &weights.codes,
            &weights.scales,
            &y,
            &word(x.rows),
            &word(weights.outputs),
            &word(weights.inputs),
            &word(stride),
        ];
        // SAFETY: `x` is as wide as the weights have inputs, and the caller's rows have these columns.
        unsafe { self.device.launch(named(weights.kept, names), shape, &arguments) }
    }

    /// These weights in the device's own type, [outputs, inputs], into memory that has room for them.
    pub(crate) fn widen_codes(&self, weights: &CodedSlice, to: u64) -> Result<()> {
        let names = if self.dtype == DType::F16 { for_codes!("widen", "f16") } else { for_codes!("widen", "bf16") };
        let tiles = weights.inputs.div_ceil(TILE_INPUTS);
        let shape = Shape { grid: (tiles.div_ceil(8), weights.outputs.div_ceil(TILE_OUTPUTS)), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 5] =
            [&weights.codes, &weights.scales, &to, &word(weights.outputs), &word(weights.inputs)];
        // SAFETY: the caller's memory has room for all weights.
        unsafe { self.device.launch(named(weights.kept, names), shape, &arguments) }
    }

    /// Writes the rows of the batch's tokens that are among these weights to `out`, f32 [rows, inputs]; `first` is the
    /// token of the first of them.
    pub(crate) fn embed_codes(&self, table: &Coded, first: usize, out: &DeviceRows, placed: &Placed) -> Result<()> {
        out.expect(DType::F32, table.inputs, "embedded rows")?;
        let names = for_codes!("embed", "f32");
        let shape = Shape { grid: (placed.rows, 1), block: threads(table.inputs / 8), shared: 0 };
        let arguments: [&dyn Argument; 7] = [
            &table.codes.pointer(),
            &table.scales.pointer(),
            &out.pointer(),
            &placed.pointer,
            &word(table.inputs),
            &word(first),
            &word(table.outputs),
        ];
        // SAFETY: `out` has a row of this width for each token; tokens of other parts are passed over.
        unsafe { self.device.launch(named(table.kept, names), shape, &arguments) }
    }
}
