//! Random adapters in PEFT's layout, and models into which they are merged.

use std::collections::BTreeMap;

use baton_decoder::{AdapterFiles, AdapterWeights, Architecture, Error};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::tiny::{FEED_FORWARD, HEAD_DIM, HIDDEN, KV_HEADS, LAYERS, Noise, QUERY_HEADS};
use super::writer::Writer;

const QUERY: usize = QUERY_HEADS * HEAD_DIM;
const KV: usize = KV_HEADS * HEAD_DIM;

/// Modules by the names that PEFT and GGUF give them: outputs and inputs.
pub(crate) const MODULES: [(&str, &str, usize, usize); 7] = [
    ("self_attn.q_proj", "attn_q", QUERY, HIDDEN),
    ("self_attn.k_proj", "attn_k", KV, HIDDEN),
    ("self_attn.v_proj", "attn_v", KV, HIDDEN),
    ("self_attn.o_proj", "attn_output", HIDDEN, QUERY),
    ("mlp.gate_proj", "ffn_gate", FEED_FORWARD, HIDDEN),
    ("mlp.up_proj", "ffn_up", FEED_FORWARD, HIDDEN),
    ("mlp.down_proj", "ffn_down", HIDDEN, FEED_FORWARD),
];

/// A matrix: rows, columns, values.
pub(crate) type Matrix = (usize, usize, Vec<f32>);

/// An adapter in the making.
#[derive(Clone)]
pub(crate) struct Lora {
    pub(crate) config: Value,
    /// By layer and module: A and B.
    pub(crate) modules: BTreeMap<(usize, String), [Matrix; 2]>,
}

impl Lora {
    /// Random matrices for these modules of all layers.
    pub(crate) fn new(seed: u64, rank: usize, alpha: f64, names: &[&str]) -> Self {
        let mut noise = Noise(seed);
        let mut modules = BTreeMap::new();
        for layer in 0..LAYERS {
            for (name, _, outputs, inputs) in MODULES.iter().filter(|(name, ..)| names.contains(name)) {
                let down = noise.floats(rank * inputs, 0.0, 2.0 / (*inputs as f32).sqrt());
                let up = noise.floats(outputs * rank, 0.0, 1.0);
                modules.insert((layer, (*name).to_owned()), [(rank, *inputs, down), (*outputs, rank, up)]);
            }
        }
        let targets: Vec<_> = names.iter().map(|name| name.split('.').next_back().unwrap()).collect();
        let config = json!({
            "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": targets, "bias": "none",
            "use_rslora": false, "use_dora": false, "modules_to_save": null, "fan_in_fan_out": false,
            "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": true, "task_type": "CAUSAL_LM"
        });
        Self { config, modules }
    }

    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// All tensors by name.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let mut all = Vec::new();
        for ((layer, module), matrices) in &self.modules {
            for (letter, (rows, columns, values)) in ["A", "B"].iter().zip(matrices) {
                let name = format!("base_model.model.model.layers.{layer}.{module}.lora_{letter}.weight");
                all.push((name, vec![*rows, *columns], values.clone()));
            }
        }
        all
    }

    pub(crate) fn file(&self, dtype: Dtype) -> Vec<u8> {
        write(&self.tensors(), dtype)
    }

    pub(crate) fn files(&self, dtype: Dtype) -> AdapterFiles {
        AdapterFiles { config: self.config.to_string().into_bytes(), weights: self.file(dtype) }
    }

    pub(crate) fn read(&self, architecture: &Architecture) -> Result<AdapterWeights, Error> {
        AdapterWeights::read(&self.files(Dtype::F32), architecture)
    }

    /// Adds the products to a model's weights, each with its factor. The file of a llama has the rows of queries and keys
    /// in another order than the adapter.
    pub(crate) fn merge(&self, file: &mut Writer, interleaved: bool, factor: impl Fn(&str) -> f32) {
        for ((layer, module), [(rank, inputs, down), (outputs, _, up)]) in &self.modules {
            let (_, gguf, ..) = MODULES.iter().find(|(name, ..)| name == module).unwrap();
            let name = format!("blk.{layer}.{gguf}.weight");
            let tensor = file.tensors.iter().find(|tensor| tensor.name == name).unwrap();
            let mut values: Vec<f32> =
                tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            for row in 0..*outputs {
                let to = if interleaved && ["attn_q", "attn_k"].contains(gguf) { stored(row) } else { row };
                for column in 0..*inputs {
                    let product: f32 = (0..*rank).map(|at| up[row * rank + at] * down[at * inputs + column]).sum();
                    values[to * inputs + column] += factor(module) * product;
                }
            }
            file.floats(&name, &[*outputs, *inputs], &values);
        }
    }
}

/// Where a row of queries or keys lies in a file in which neighbours are pairs.
pub(crate) fn stored(row: usize) -> usize {
    let (head, within) = (row / HEAD_DIM, row % HEAD_DIM);
    head * HEAD_DIM + within % (HEAD_DIM / 2) * 2 + within / (HEAD_DIM / 2)
}

pub(crate) fn write(tensors: &[(String, Vec<usize>, Vec<f32>)], dtype: Dtype) -> Vec<u8> {
    let bytes = |values: &[f32]| -> Vec<u8> {
        match dtype {
            Dtype::F16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    };
    let stored: Vec<_> = tensors.iter().map(|(name, dims, values)| (name, dims.clone(), bytes(values))).collect();
    let views = stored.iter().map(|(name, dims, bytes)| (*name, TensorView::new(dtype, dims.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}
