//! Weights, repacked at load so that eight outputs are computed side by side.
//!
//! A *panel* is eight consecutive outputs. Quantised weights are kept as codes with a scale for each block of 32 inputs, as
//! in GGUF, and cost the same number of bytes as there.

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use crate::blocks::{Block, Codes};
use crate::{KernelError, Result};

/// Outputs in a panel.
pub(crate) const PANEL: usize = 8;
/// Inputs that share a scale.
pub(crate) const GROUP: usize = 32;

/// A matrix of weights [outputs, inputs].
///
/// `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1` and `Q8_0` are kept as they are and multiplied as whole numbers; so are `Q4_K` and `Q5_K`, whose scale
/// and minimum of each 32 weights are rounded to F16. F32, F16 and BF16 are multiplied in f32. The other GGUF forms are
/// converted to F16 when packed and multiplied in f32: they lose at most one part in 2048 of a weight and take two bytes
/// each.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    rows: usize,
    cols: usize,
    /// One above the other; each starts at a panel of its own.
    pub(crate) segments: Vec<Segment>,
}

/// Rows of one stored form.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) rows: usize,
    pub(crate) store: Store,
}

#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// Codes below 16.
    Nibbles(Quantised),
    /// Codes below 256.
    Bytes(Quantised),
    /// [panels, cols, PANEL]
    F32(Vec<f32>),
    /// [panels, cols, PANEL]
    F16(Vec<f16>),
    /// [panels, cols, PANEL]
    Bf16(Vec<bf16>),
}

/// Weights of `scale * (code - zero)` or `scale * code + minimum`.
#[derive(Clone, Debug)]
pub(crate) struct Quantised {
    /// A line holds the codes of four inputs (or eight, as nibbles) for the eight outputs of a panel: byte `4 * output + i`
    /// is input `4 * line + i`. As nibbles, the low ones are inputs `8 * line + i` and the high ones `8 * line + 4 + i`.
    /// [panels, groups, 8 or 4]
    pub(crate) codes: Vec<Line>,
    /// [panels, groups, PANEL]
    pub(crate) scales: Vec<f16>,
    pub(crate) zero: Zero,
}

#[derive(Clone, Debug)]
pub(crate) enum Zero {
    /// What every code is too large by.
    Code(u8),
    /// [panels, groups, PANEL]
    Minimums(Vec<f16>),
}

/// One vector of codes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(crate) struct Line(pub(crate) [u8; 32]);

impl PackedMatrix {
    /// Packs a matrix of `rows` outputs and `cols` inputs from the bytes of a GGUF tensor.
    ///
    /// # Errors
    /// If the bytes do not fill the shape, a row is not a whole number of blocks, or the form is not supported.
    pub fn pack(form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        let block = form.block_size();
        if cols == 0 || !cols.is_multiple_of(block) {
            return Err(KernelError::WeightColumns { form, cols, block });
        }
        let row_bytes = (cols / block).checked_mul(form.type_size());
        let expected = row_bytes.and_then(|bytes| bytes.checked_mul(rows)).unwrap_or(usize::MAX);
        if bytes.len() != expected {
            return Err(KernelError::WeightBytes { form, rows, cols, expected, found: bytes.len() });
        }
        let store = match form {
            GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K => {
                Store::Nibbles(Quantised::pack(form, rows, cols, bytes))
            }
            GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_0 | GgmlDType::Q5K => {
                Store::Bytes(Quantised::pack(form, rows, cols, bytes))
            }
            GgmlDType::F32 => Store::F32(interleave(rows, cols, bytes, |b: [u8; 4]| f32::from_le_bytes(b))),
            GgmlDType::F16 => Store::F16(interleave(rows, cols, bytes, |b: [u8; 2]| f16::from_le_bytes(b))),
            GgmlDType::BF16 => Store::Bf16(interleave(rows, cols, bytes, |b: [u8; 2]| bf16::from_le_bytes(b))),
            // Their groups are smaller than those that the products of whole numbers take.
            GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q6K => Store::F16(dequantise(form, rows, cols, bytes)?),
            GgmlDType::Q8_1 | GgmlDType::Q8K => return Err(KernelError::WeightForm { form }),
        };
        Ok(Self { rows, cols, segments: vec![Segment { rows, store }] })
    }

    /// One matrix whose outputs are those of `parts`, one after the other. The parts may be stored differently.
    ///
    /// # Errors
    /// If their inputs differ in number, or there are no parts.
    pub fn stack(parts: Vec<Self>) -> Result<Self> {
        let cols = parts.first().map_or(0, |part| part.cols);
        if parts.is_empty() || parts.iter().any(|part| part.cols != cols) {
            return Err(KernelError::Stack { found: parts.iter().map(|part| part.cols).collect() });
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        Ok(Self { rows, cols, segments: parts.into_iter().flat_map(|part| part.segments).collect() })
    }

    /// Outputs and inputs.
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.store.bytes()).sum()
    }

    /// Whether any part is multiplied as whole numbers.
    pub(crate) fn is_quantised(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.store, Store::Nibbles(_) | Store::Bytes(_)))
    }

    /// Writes row `row` [cols] as floats.
    pub(crate) fn unpack_row(&self, mut row: usize, out: &mut [f32]) {
        for segment in &self.segments {
            if row < segment.rows {
                return segment.store.unpack_row(row, out);
            }
            row -= segment.rows;
        }
    }
}

impl Store {
    fn bytes(&self) -> usize {
        match self {
            Self::Nibbles(w) | Self::Bytes(w) => {
                let minimums = if let Zero::Minimums(minimums) = &w.zero { size_of_val(&minimums[..]) } else { 0 };
                size_of_val(&w.codes[..]) + size_of_val(&w.scales[..]) + minimums
            }
            Self::F32(w) => size_of_val(&w[..]),
            Self::F16(w) => size_of_val(&w[..]),
            Self::Bf16(w) => size_of_val(&w[..]),
        }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let (panel, output) = (row / PANEL, row % PANEL);
        let first = panel * out.len() * PANEL + output;
        let outs = out.iter_mut().enumerate();
        match self {
            Self::F32(w) => outs.for_each(|(i, out)| *out = w[first + i * PANEL]),
            Self::F16(w) => outs.for_each(|(i, out)| *out = w[first + i * PANEL].to_f32()),
            Self::Bf16(w) => outs.for_each(|(i, out)| *out = w[first + i * PANEL].to_f32()),
            Self::Nibbles(w) => w.unpack_row(panel, output, out, Quantised::nibbles),
            Self::Bytes(w) => w.unpack_row(panel, output, out, Quantised::bytes),
        }
    }
}

impl Quantised {
    fn pack(form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Self {
        let (groups, panels) = (cols / GROUP, rows.div_ceil(PANEL));
        let nibbles = Codes::of(form).is_some_and(|codes| codes.bits == 4);
        let lines = if nibbles { 4 } else { 8 };
        let mut codes = vec![Line([0; 32]); panels * groups * lines];
        let mut scales = vec![f16::ZERO; panels * groups * PANEL];
        let mut minimums = vec![f16::ZERO; panels * groups * PANEL];
        let of_block = form.block_size() / GROUP;
        let mut block = Block::new();
        for (index, bytes) in bytes.chunks_exact(form.type_size()).enumerate() {
            block.read(form, bytes);
            for within in 0..of_block {
                let (row, group) = ((index * of_block + within) / groups, (index * of_block + within) % groups);
                let (panel, output) = (row / PANEL, row % PANEL);
                let place = panel * groups + group;
                scales[place * PANEL + output] = block.scales[within];
                minimums[place * PANEL + output] = block.minimums[within];
                let lines = &mut codes[place * lines..][..lines];
                for (i, code) in block.codes[within * GROUP..][..GROUP].iter().enumerate() {
                    let byte = output * 4 + i % 4;
                    if nibbles {
                        lines[i / 8].0[byte] |= code << (i / 4 % 2 * 4);
                    } else {
                        lines[i / 4].0[byte] = *code;
                    }
                }
            }
        }
        let zero = match form {
            GgmlDType::Q4_0 => Zero::Code(8),
            GgmlDType::Q5_0 => Zero::Code(16),
            GgmlDType::Q8_0 => Zero::Code(128),
            _ => Zero::Minimums(minimums),
        };
        Self { codes, scales, zero }
    }

    /// The codes of one block of 4-bit weights; `place` is `panel * groups + group`.
    pub(crate) fn nibbles(&self, place: usize, output: usize) -> [u8; GROUP] {
        let lines = &self.codes[place * 4..][..4];
        std::array::from_fn(|i| lines[i / 8].0[output * 4 + i % 4] >> (i / 4 % 2 * 4) & 15)
    }

    /// The codes of one block of 8-bit weights; `place` is `panel * groups + group`.
    pub(crate) fn bytes(&self, place: usize, output: usize) -> [u8; GROUP] {
        let lines = &self.codes[place * 8..][..8];
        std::array::from_fn(|i| lines[i / 4].0[output * 4 + i % 4])
    }

    fn unpack_row(
        &self,
        panel: usize,
        output: usize,
        out: &mut [f32],
        codes: impl Fn(&Self, usize, usize) -> [u8; GROUP],
    ) {
        let groups = out.len() / GROUP;
        for (group, out) in out.chunks_exact_mut(GROUP).enumerate() {
            let place = panel * groups + group;
            let scale = self.scales[place * PANEL + output].to_f32();
            for (out, code) in out.iter_mut().zip(codes(self, place, output)) {
                *out = match &self.zero {
                    Zero::Code(zero) => scale * (f32::from(code) - f32::from(*zero)),
                    Zero::Minimums(minimums) => scale * f32::from(code) + minimums[place * PANEL + output].to_f32(),
                };
            }
        }
    }
}

/// Turns rows of `N`-byte floats into panels.
fn interleave<T: Copy + Default, const N: usize>(
    rows: usize,
    cols: usize,
    bytes: &[u8],
    read: impl Fn([u8; N]) -> T,
) -> Vec<T> {
    let mut panels = vec![T::default(); rows.div_ceil(PANEL) * PANEL * cols];
    for (index, element) in bytes.as_chunks::<N>().0.iter().enumerate() {
        let (row, col) = (index / cols, index % cols);
        panels[(row / PANEL * cols + col) * PANEL + row % PANEL] = read(*element);
    }
    panels
}

/// Forms whose groups are of 16 weights, as F16.
fn dequantise(form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Vec<f16>> {
    let row_bytes = cols / form.block_size() * form.type_size();
    let mut panels = vec![f16::ZERO; rows.div_ceil(PANEL) * PANEL * cols];
    for row in 0..rows {
        let bytes = bytes[row * row_bytes..][..row_bytes].to_vec();
        let CpuStorage::F32(weights) = form.from_data(bytes.into()).dequantize(cols)? else {
            return Err(KernelError::WeightForm { form });
        };
        for (col, weight) in weights.into_iter().enumerate() {
            panels[(row / PANEL * cols + col) * PANEL + row % PANEL] = f16::from_f32(weight);
        }
    }
    Ok(panels)
}
