//! The quantised blocks of GGUF, taken apart: codes, and what a group of them has in common.
//!
//! Every form is `scale * code + minimum`, with codes of at most 8 bits and groups of 16 or 32 weights. The layouts are
//! those of ggml's `block_q4_0` to `block_q6_K`.

use candle_core::quantized::GgmlDType;
use half::f16;

/// Weights of the largest block.
const LARGEST: usize = 256;

/// How a quantised form's weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Codes {
    /// Bits that a code fits in: 4 or 8.
    pub(crate) bits: usize,
    /// Weights that share scale and minimum: 16 or 32.
    pub(crate) group: usize,
}

/// A block, taken apart. Only the first weights and groups are the block's, as many as its form has.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) codes: [u8; LARGEST],
    /// Of each group.
    pub(crate) scales: [f16; LARGEST / 16],
    /// Of each group: what a code of zero stands for.
    pub(crate) minimums: [f16; LARGEST / 16],
}

impl Codes {
    /// How a form is kept; absent if it is not quantised, or never stored in files.
    pub(crate) fn of(form: GgmlDType) -> Option<Self> {
        let (bits, group) = match form {
            GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K => (4, 32),
            GgmlDType::Q2K | GgmlDType::Q3K => (4, 16),
            GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_0 | GgmlDType::Q5K => (8, 32),
            GgmlDType::Q6K => (8, 16),
            _ => return None,
        };
        Some(Self { bits, group })
    }
}

impl Block {
    /// An empty block, to be read into again and again.
    pub(crate) fn new() -> Self {
        Self { codes: [0; LARGEST], scales: [f16::ZERO; LARGEST / 16], minimums: [f16::ZERO; LARGEST / 16] }
    }

    /// Takes one block apart. `bytes` has the form's size of a block; forms that [`Codes::of`] does not know leave it alone.
    pub(crate) fn read(&mut self, form: GgmlDType, bytes: &[u8]) {
        let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let fifth = |bits: &[u8], i: usize| (bits[i / 8] >> (i % 8) & 1) << 4;
        match form {
            GgmlDType::Q4_0 => self.read_32(half(0), Origin::Code(8), |i| nibble(&bytes[2..], i)),
            GgmlDType::Q4_1 => self.read_32(half(0), Origin::Minimum(half(2)), |i| nibble(&bytes[4..], i)),
            GgmlDType::Q5_0 => {
                self.read_32(half(0), Origin::Code(16), |i| nibble(&bytes[6..], i) | fifth(&bytes[2..], i));
            }
            GgmlDType::Q5_1 => {
                let origin = Origin::Minimum(half(2));
                self.read_32(half(0), origin, |i| nibble(&bytes[8..], i) | fifth(&bytes[4..], i));
            }
            // Signed bytes, moved up by 128.
            GgmlDType::Q8_0 => self.read_32(half(0), Origin::Code(128), |i| bytes[2 + i] ^ 0x80),
            GgmlDType::Q2K => self.read_2k(bytes, half(80), half(82)),
            GgmlDType::Q3K => self.read_3k(bytes, half(108)),
            GgmlDType::Q4K | GgmlDType::Q5K => self.read_4k_5k(form, bytes, half(0), half(2)),
            GgmlDType::Q6K => self.read_6k(bytes, half(208)),
            _ => {}
        }
    }

    fn read_32(&mut self, scale: f16, origin: Origin, code: impl Fn(usize) -> u8) {
        self.codes[..32].iter_mut().enumerate().for_each(|(i, to)| *to = code(i));
        self.group(0, scale.to_f32(), origin);
    }

    /// 16 groups of 16 codes of 2 bits; scales and minimums of 4 bits.
    fn read_2k(&mut self, bytes: &[u8], scale: f16, minimum: f16) {
        for (i, code) in self.codes.iter_mut().enumerate() {
            *code = crumb(&bytes[16..80], i);
        }
        for (group, packed) in bytes[..16].iter().enumerate() {
            let minimum = -minimum.to_f32() * f32::from(packed >> 4);
            self.group(group, scale.to_f32() * f32::from(packed & 15), Origin::Minimum(f16::from_f32(minimum)));
        }
    }

    /// 16 groups of 16 codes of 3 bits, the highest bit of each apart; scales of 6 bits, too large by 32.
    fn read_3k(&mut self, bytes: &[u8], scale: f16) {
        let (high, scales) = (&bytes[..32], &bytes[96..108]);
        for (i, code) in self.codes.iter_mut().enumerate() {
            *code = crumb(&bytes[32..96], i) | (high[i % 32] >> (i / 32) & 1) << 2;
        }
        for group in 0..16 {
            let low = scales[group % 8] >> (group / 8 * 4) & 15;
            let factor = low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4;
            self.group(group, scale.to_f32() * (f32::from(factor) - 32.0), Origin::Code(4));
        }
    }

    /// 8 groups of 32 codes of 4 or 5 bits; scales and minimums of 6 bits.
    fn read_4k_5k(&mut self, form: GgmlDType, bytes: &[u8], scale: f16, minimum: f16) {
        let packed = &bytes[4..16];
        let (high, low) = if form == GgmlDType::Q5K { (&bytes[16..48], &bytes[48..]) } else { (&[][..], &bytes[16..]) };
        for (i, code) in self.codes.iter_mut().enumerate() {
            let fifth = high.get(i % 32).map_or(0, |bits| (bits >> (i / 32) & 1) << 4);
            *code = low[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15 | fifth;
        }
        for group in 0..8 {
            let (factor, offset) = if group < 4 {
                (packed[group] & 63, packed[group + 4] & 63)
            } else {
                let both = packed[group + 4];
                (both & 15 | packed[group - 4] >> 6 << 4, both >> 4 | packed[group] >> 6 << 4)
            };
            let minimum = f16::from_f32(-minimum.to_f32() * f32::from(offset));
            self.group(group, scale.to_f32() * f32::from(factor), Origin::Minimum(minimum));
        }
    }

    /// 16 groups of 16 codes of 6 bits, too large by 32; signed scales of 8 bits.
    fn read_6k(&mut self, bytes: &[u8], scale: f16) {
        let (low, high) = (&bytes[..128], &bytes[128..192]);
        for (i, code) in self.codes.iter_mut().enumerate() {
            let (half, quarter, within) = (i / 128, i % 128 / 32, i % 32);
            let four = low[half * 64 + quarter % 2 * 32 + within] >> (quarter / 2 * 4) & 15;
            *code = four | (high[half * 32 + within] >> (quarter * 2) & 3) << 4;
        }
        for group in 0..16 {
            let factor = i8::from_le_bytes([bytes[192 + group]]);
            self.group(group, scale.to_f32() * f32::from(factor), Origin::Code(32));
        }
    }

    fn group(&mut self, group: usize, scale: f32, origin: Origin) {
        self.scales[group] = f16::from_f32(scale);
        self.minimums[group] = match origin {
            Origin::Code(zero) => f16::from_f32(-scale * f32::from(zero)),
            Origin::Minimum(minimum) => minimum,
        };
    }
}

/// What is at the bottom of a group.
#[derive(Clone, Copy)]
enum Origin {
    /// The code that stands for zero.
    Code(u8),
    /// What a code of zero stands for.
    Minimum(f16),
}

/// Code `i` of 32: first the low halves of 16 bytes, then the high ones.
fn nibble(codes: &[u8], i: usize) -> u8 {
    codes[i % 16] >> (i / 16 * 4) & 15
}

/// Two bits of weight `i` of 256: four rounds over 32 bytes, twice.
fn crumb(codes: &[u8], i: usize) -> u8 {
    codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{CpuStorage, Device, Tensor};

    use super::*;

    /// Rows of 256 numbers with different ranges, some all positive, one all zeros.
    fn numbers(rows: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 65_536.0
        };
        let row = |row: usize| {
            let (size, shift) = ([1.0, 0.02, 3.0, 0.0][row % 4], [0.5, 0.5, -0.25, 0.0][row % 4]);
            (0..LARGEST).map(|_| (next() - shift) * size).collect::<Vec<_>>()
        };
        (0..rows).flat_map(row).collect()
    }

    #[test]
    fn every_form_is_what_the_library_takes_it_for() -> Result<(), Box<dyn std::error::Error>> {
        use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        let tensor = Tensor::from_vec(numbers(8), (8, LARGEST), &Device::Cpu)?;
        for form in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
            let Some(kept) = Codes::of(form) else { return Err(format!("{form:?} is not known").into()) };
            let stored = QTensor::quantize(&tensor, form)?;
            let bytes = stored.data()?.into_owned();
            let CpuStorage::F32(expected) = form.from_data(bytes.clone().into()).dequantize(8 * LARGEST)? else {
                return Err("the library gives another type".into());
            };
            let size = form.block_size();
            let mut block = Block::new();
            for (index, bytes) in bytes.chunks_exact(form.type_size()).enumerate() {
                block.read(form, bytes);
                for (i, code) in block.codes[..size].iter().enumerate() {
                    assert!(usize::from(*code) < 1 << kept.bits, "{form:?}: code {code}");
                    let group = i / kept.group;
                    let (scale, minimum) = (block.scales[group].to_f32(), block.minimums[group].to_f32());
                    let found = scale * f32::from(*code) + minimum;
                    let expected = expected[index * size + i];
                    // Scale and minimum are rounded to 11 bits each.
                    let bound = (scale.abs() * f32::from(*code) + minimum.abs()) / 2000.0;
                    assert!((found - expected).abs() <= bound, "{form:?} {index} {i}: {found}, not {expected}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn forms_that_are_not_quantised_have_no_codes() {
        for form in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q8_1, GgmlDType::Q8K] {
            assert_eq!(Codes::of(form), None);
        }
    }
}
