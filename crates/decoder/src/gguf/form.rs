//! The forms in which a GGUF file stores numbers.

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use safetensors::Dtype;

/// How a tensor's numbers are stored: `block` numbers of a row take `bytes` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The number that stands in the file.
    pub id: u32,
    /// The name that ggml gives it.
    pub name: &'static str,
    /// Numbers in one block; a row is a whole number of blocks.
    pub block: usize,
    /// Bytes of one block.
    pub bytes: usize,
}

impl Form {
    /// The form with this number, if there is one.
    pub fn from_id(id: u32) -> Option<Self> {
        FORMS.iter().copied().find(|form| form.id == id)
    }

    /// The form with this name, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        FORMS.iter().copied().find(|form| form.name == name)
    }

    /// The form of what safetensors call so, if it is one of plain floats.
    pub(crate) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Self::named("F32"),
            Dtype::F16 => Self::named("F16"),
            Dtype::BF16 => Self::named("BF16"),
            _ => None,
        }
    }

    /// The numbers that bytes of this form stand for, if it is a form of plain floats.
    pub(crate) fn floats(self, bytes: &[u8]) -> Option<Vec<f32>> {
        Some(match self.name {
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            "BF16" => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => return None,
        })
    }

    /// The same form in candle's words; absent where neither candle nor our kernels can compute with it.
    pub fn dtype(self) -> Option<GgmlDType> {
        Some(match self.name {
            "F32" => GgmlDType::F32,
            "F16" => GgmlDType::F16,
            "BF16" => GgmlDType::BF16,
            "Q4_0" => GgmlDType::Q4_0,
            "Q4_1" => GgmlDType::Q4_1,
            "Q5_0" => GgmlDType::Q5_0,
            "Q5_1" => GgmlDType::Q5_1,
            "Q8_0" => GgmlDType::Q8_0,
            "Q2_K" => GgmlDType::Q2K,
            "Q3_K" => GgmlDType::Q3K,
            "Q4_K" => GgmlDType::Q4K,
            "Q5_K" => GgmlDType::Q5K,
            "Q6_K" => GgmlDType::Q6K,
            _ => return None,
        })
    }
}

const fn form(id: u32, name: &'static str, block: usize, bytes: usize) -> Form {
    Form { id, name, block, bytes }
}

/// As in ggml's `ggml.h` and `gguf-py/gguf/constants.py`.
const FORMS: &[Form] = &[
    form(0, "F32", 1, 4),
    form(1, "F16", 1, 2),
    form(2, "Q4_0", 32, 18),
    form(3, "Q4_1", 32, 20),
    form(6, "Q5_0", 32, 22),
    form(7, "Q5_1", 32, 24),
    form(8, "Q8_0", 32, 34),
    form(9, "Q8_1", 32, 36),
    form(10, "Q2_K", 256, 84),
    form(11, "Q3_K", 256, 110),
    form(12, "Q4_K", 256, 144),
    form(13, "Q5_K", 256, 176),
    form(14, "Q6_K", 256, 210),
    form(15, "Q8_K", 256, 292),
    form(16, "IQ2_XXS", 256, 66),
    form(17, "IQ2_XS", 256, 74),
    form(18, "IQ3_XXS", 256, 98),
    form(19, "IQ1_S", 256, 50),
    form(20, "IQ4_NL", 32, 18),
    form(21, "IQ3_S", 256, 110),
    form(22, "IQ2_S", 256, 82),
    form(23, "IQ4_XS", 256, 136),
    form(24, "I8", 1, 1),
    form(25, "I16", 1, 2),
    form(26, "I32", 1, 4),
    form(27, "I64", 1, 8),
    form(28, "F64", 1, 8),
    form(29, "IQ1_M", 256, 56),
    form(30, "BF16", 1, 2),
    form(34, "TQ1_0", 256, 54),
    form(35, "TQ2_0", 256, 66),
    form(39, "MXFP4", 32, 17),
];
