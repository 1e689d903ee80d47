//! The order in which quantised weights lie on the device.

use candle_core::quantized::GgmlDType;

use crate::blocks::{Block, Codes};

/// Outputs of a tile.
pub(super) const TILE_OUTPUTS: usize = 16;
/// Inputs of a tile.
pub(super) const TILE_INPUTS: usize = 64;

/// A matrix in tiles of 16 outputs and 64 inputs, as `coded.cu` reads them: all tiles of 16 outputs, then those of the next.
/// What is missing of a tile at the edge is zero.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// [output tiles, input tiles, bits / 4, 32 lanes] of 16 bytes each.
    pub(crate) codes: Vec<u8>,
    /// [output tiles, input tiles, 8 or 16] times scale and minimum of two outputs in both halves, in f16.
    pub(crate) scales: Vec<u8>,
}

/// Bytes of a tile's codes.
pub(super) fn code_bytes(kept: Codes) -> usize {
    TILE_OUTPUTS * TILE_INPUTS * kept.bits / 8
}

/// Bytes of a tile's scales and minimums.
pub(super) fn scale_bytes(kept: Codes) -> usize {
    TILE_OUTPUTS * (TILE_INPUTS / kept.group) * 4
}

/// Tiles of a matrix.
pub(super) fn count(outputs: usize, inputs: usize) -> usize {
    outputs.div_ceil(TILE_OUTPUTS) * inputs.div_ceil(TILE_INPUTS)
}

impl Tiles {
    /// From a GGUF tensor of a form that is kept as `kept`, with whole blocks in each of its `outputs` rows of `inputs`.
    pub(crate) fn pack(form: GgmlDType, kept: Codes, outputs: usize, inputs: usize, bytes: &[u8]) -> Self {
        let tiles = count(outputs, inputs);
        let (of_codes, of_scales) = (code_bytes(kept), scale_bytes(kept));
        let mut packed = Self { codes: vec![0; tiles * of_codes], scales: vec![0; tiles * of_scales] };
        let size = form.block_size();
        let mut block = Block::new();
        for (index, bytes) in bytes.chunks_exact(form.type_size()).enumerate() {
            block.read(form, bytes);
            let (output, start) = (index * size / inputs, index * size % inputs);
            let row = output / TILE_OUTPUTS * inputs.div_ceil(TILE_INPUTS);
            let (quad, upper) = (output % 8, output % TILE_OUTPUTS / 8);
            for (eight, codes) in block.codes[..size].as_chunks::<8>().0.iter().enumerate() {
                let input = start + eight * 8;
                let (half, lane) = (input / 32 % 2, quad * 4 + input / 8 % 4);
                let tile = &mut packed.codes[(row + input / TILE_INPUTS) * of_codes..][..of_codes];
                if kept.bits == 4 {
                    tile[lane * 16 + (half * 2 + upper) * 4..][..4].copy_from_slice(&nibbles(*codes).to_le_bytes());
                } else {
                    tile[(half * 32 + lane) * 16 + upper * 8..][..8].copy_from_slice(codes);
                }
            }
            for group in 0..size / kept.group {
                let input = start + group * kept.group;
                let place = if kept.group == 16 { quad * 2 + input / 16 % 2 } else { quad };
                let at = (row + input / TILE_INPUTS) * of_scales + place * 16 + (input / 32 % 2 * 2 + upper) * 4;
                packed.scales[at..][..2].copy_from_slice(&block.scales[group].to_le_bytes());
                packed.scales[at + 2..][..2].copy_from_slice(&block.minimums[group].to_le_bytes());
            }
        }
        packed
    }
}

/// Eight nibbles, so that each pair of neighbours can be taken out by one mask: 16 bits apart.
fn nibbles(codes: [u8; 8]) -> u32 {
    let place = |i: usize| i / 2 * 4 + i % 2 * 16;
    codes.into_iter().enumerate().fold(0, |word, (i, code)| word | u32::from(code & 15) << place(i))
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{CpuStorage, Device, Tensor};
    use half::f16;

    use super::*;

    /// One weight out of tiles, as the kernel's lanes find it.
    fn weight(tiles: &Tiles, kept: Codes, inputs: usize, output: usize, input: usize) -> f32 {
        let tile = output / 16 * inputs.div_ceil(64) + input / 64;
        let (lane, upper, half) = (output % 8 * 4 + input / 8 % 4, output % 16 / 8, input / 32 % 2);
        let code = if kept.bits == 4 {
            let at = tile * 512 + lane * 16 + (2 * half + upper) * 4;
            let word = u32::from_le_bytes(std::array::from_fn(|i| tiles.codes[at + i]));
            let at = input % 8 / 2 * 4 + input % 2 * 16;
            f32::from(u8::try_from(word >> at & 15).unwrap_or(u8::MAX))
        } else {
            f32::from(tiles.codes[tile * 1024 + half * 512 + lane * 16 + upper * 8 + input % 8])
        };
        let at = if kept.group == 16 { tile * 256 + lane / 2 * 16 } else { tile * 128 + lane / 4 * 16 };
        let half_at = |at: usize| f16::from_le_bytes([tiles.scales[at], tiles.scales[at + 1]]).to_f32();
        let at = at + (2 * half + upper) * 4;
        code * half_at(at) + half_at(at + 2)
    }

    #[test]
    fn lanes_find_their_weights() -> Result<(), Box<dyn std::error::Error>> {
        use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        // Neither the outputs nor, for small blocks, the inputs fill tiles.
        for (form, outputs, inputs) in [
            (Q4_0, 19, 96),
            (Q4_1, 32, 64),
            (Q5_0, 5, 160),
            (Q5_1, 17, 32),
            (Q8_0, 16, 96),
            (Q2K, 18, 512),
            (Q3K, 3, 256),
            (Q4K, 33, 256),
            (Q5K, 16, 512),
            (Q6K, 20, 256),
        ] {
            let values: Vec<f32> = (0..outputs * inputs)
                .map(|i| f32::from(u16::try_from(i * 7919 % 1013).unwrap_or(0)) / 500.0 - 0.9)
                .collect();
            let stored = QTensor::quantize(&Tensor::from_vec(values, (outputs, inputs), &Device::Cpu)?, form)?;
            let bytes = stored.data()?.into_owned();
            let Some(kept) = Codes::of(form) else { return Err(format!("{form:?} is not known").into()) };
            let tiles = Tiles::pack(form, kept, outputs, inputs, &bytes);
            let CpuStorage::F32(expected) = form.from_data(bytes.into()).dequantize(outputs * inputs)? else {
                return Err("the library gives another type".into());
            };
            for (i, expected) in expected.into_iter().enumerate() {
                let found = weight(&tiles, kept, inputs, i / inputs, i % inputs);
                assert!((found - expected).abs() < 0.003, "{form:?}, {i}: {found}, not {expected}");
            }
        }
        Ok(())
    }
}
