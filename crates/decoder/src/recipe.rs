//! Which form each tensor of a model is rounded to, and the rounding.

use std::fmt;
use std::str::FromStr;
use std::thread;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};

use crate::Error;
use crate::gguf::Form;

/// A way of rounding a model's matrices. Norms, biases and routers stay as they are, and the head is rounded less than
/// the rest, as llama.cpp does, because what is lost there is lost for every token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe(Form);

/// Recipes by their names, and what `general.file_type` calls them. Source: llama.cpp's `llama.h`.
const RECIPES: [(&str, &str, u32); 12] = [
    ("f16", "F16", 1),
    ("bf16", "BF16", 32),
    ("q4_0", "Q4_0", 2),
    ("q4_1", "Q4_1", 3),
    ("q5_0", "Q5_0", 8),
    ("q5_1", "Q5_1", 9),
    ("q8_0", "Q8_0", 7),
    ("q2_k", "Q2_K", 10),
    ("q3_k", "Q3_K", 12),
    ("q4_k", "Q4_K", 14),
    ("q5_k", "Q5_K", 16),
    ("q6_k", "Q6_K", 18),
];

impl Recipe {
    /// The names of all recipes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RECIPES.iter().map(|(name, ..)| *name)
    }

    /// What `general.file_type` says of such a file.
    pub(crate) fn file_type(self) -> u32 {
        RECIPES.iter().find(|(_, form, _)| *form == self.0.name).map_or(0, |(.., number)| *number)
    }

    /// The form for a tensor that is stored as `stored`. `is_head` says that logits are made with it. What is quantised
    /// already stays so: to round twice is to lose twice.
    pub(crate) fn form(self, name: &str, dims: &[usize], stored: Form, is_head: bool) -> Form {
        let (true, [.., columns]) = (stored.floats(&[]).is_some(), dims) else { return stored };
        if dims.len() < 2 {
            return Form::named("F32").unwrap_or(stored);
        }
        if name.contains("ffn_gate_inp") {
            return stored;
        }
        let careful = is_head && self.0.block > 1 && self.0.name != "Q8_0";
        let wanted = if careful { "Q6_K" } else { self.0.name };
        let fits = |form: &Form| columns.is_multiple_of(form.block);
        [wanted, "Q8_0", "F16"].into_iter().filter_map(Form::named).find(fits).unwrap_or(stored)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name.to_lowercase())
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = RECIPES.iter().find(|(known, ..)| *known == name.to_lowercase());
        let form = known.and_then(|(_, form, _)| Form::named(form));
        form.map(Self).ok_or_else(|| format!("known are {}", Self::names().collect::<Vec<_>>().join(", ")))
    }
}

/// Rows of `columns` numbers in another form. A row is rounded by itself, so threads change nothing.
pub(crate) fn rounded(values: &[f32], columns: usize, form: Form, threads: usize) -> Result<Vec<u8>, Error> {
    let unsupported = || Error::Unsupported(format!("rounding to {}", form.name));
    match form.dtype().ok_or_else(unsupported)? {
        GgmlDType::F32 => Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        GgmlDType::F16 => Ok(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()),
        GgmlDType::BF16 => Ok(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()),
        dtype => {
            let rows = values.len() / columns.max(1);
            let each = rows.div_ceil(threads.max(1)).max(1) * columns;
            let part = |values: &[f32]| -> Result<Vec<u8>, Error> {
                let tensor = Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu)?;
                Ok(QTensor::quantize(&tensor, dtype)?.data()?.into_owned())
            };
            let parts: Vec<_> = thread::scope(|scope| {
                let workers: Vec<_> = values.chunks(each).map(|values| scope.spawn(move || part(values))).collect();
                let join = |worker: thread::ScopedJoinHandle<'_, _>| {
                    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                workers.into_iter().map(join).collect::<Result<_, Error>>()
            })?;
            Ok(parts.concat())
        }
    }
}
