//! `adapter_config.json`, as PEFT writes it.

use std::collections::BTreeMap;

use baton_kernels::lora::LARGEST_RANK;
use serde::Deserialize;
use serde_json::Value;

use super::AdapterError;

/// What counts of the configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    target_modules: Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, usize>>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    init_lora_weights: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What would change the result and is not computed: the field, and what it is called.
const FOREIGN: [(&str, &str); 11] = [
    ("use_dora", "DoRA (`use_dora`)"),
    ("use_qalora", "QA-LoRA (`use_qalora`)"),
    ("use_bdlora", "block-diagonal LoRA (`use_bdlora`)"),
    ("modules_to_save", "whole modules beside the low-rank matrices (`modules_to_save`)"),
    ("trainable_token_indices", "changed embeddings (`trainable_token_indices`)"),
    ("target_parameters", "adapted parameters that are no projections (`target_parameters`)"),
    ("layer_replication", "repeated layers (`layer_replication`)"),
    ("fan_in_fan_out", "transposed weights (`fan_in_fan_out`)"),
    ("lora_bias", "a bias beside the low-rank matrices (`lora_bias`)"),
    ("alora_invocation_tokens", "an adapter that tokens switch on (`alora_invocation_tokens`)"),
    ("arrow_config", "routing among adapters (`arrow_config`)"),
];

/// Ways to begin a training that change the model's own weights, so that the adapter does not fit the model as it was.
const REBASED: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

impl Config {
    /// Reads the configuration and refuses what is not computed here.
    pub(crate) fn read(text: &[u8]) -> Result<Self, AdapterError> {
        let config: Self = serde_json::from_slice(text).map_err(AdapterError::Config)?;
        let unsupported = |what: String| Err(AdapterError::Unsupported(what));
        if config.peft_type != "LORA" {
            return unsupported(format!("the type `{}`", config.peft_type));
        }
        for (field, what) in FOREIGN {
            if config.rest.get(field).is_some_and(|value| !is_empty(value)) {
                return unsupported(what.to_owned());
            }
        }
        if let Some(bias) = config.bias.as_ref().filter(|bias| *bias != "none") {
            return unsupported(format!("a trained bias (`bias` is `{bias}`)"));
        }
        if let Some(Value::String(way)) = &config.init_lora_weights
            && REBASED.iter().any(|name| way.to_lowercase().starts_with(name))
        {
            return unsupported(format!("changed weights of the model itself (`init_lora_weights` is `{way}`)"));
        }
        for rank in config.rank_pattern.iter().flat_map(BTreeMap::values).chain([&config.r]) {
            if *rank == 0 || *rank > LARGEST_RANK {
                return unsupported(format!("rank {rank}"));
            }
        }
        let patterns = config.rank_pattern.iter().flat_map(BTreeMap::keys);
        for pattern in patterns.chain(config.alpha_pattern.iter().flat_map(BTreeMap::keys)) {
            if !pattern.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) {
                return unsupported(format!("a rank or alpha for modules that a pattern describes (`{pattern}`)"));
            }
        }
        let alphas = config.alpha_pattern.iter().flat_map(BTreeMap::values);
        if let Some(alpha) = alphas.chain([&config.lora_alpha]).find(|alpha| !alpha.is_finite()) {
            return Err(AdapterError::Inconsistent(format!("`lora_alpha` is {alpha}")));
        }
        Ok(config)
    }

    /// The modules that the adapter says it changes, where it lists them instead of describing them.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.target_modules.as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// The rank of a module's matrices.
    pub(crate) fn rank(&self, module: &str) -> usize {
        named(self.rank_pattern.as_ref(), module).unwrap_or(self.r)
    }

    /// What multiplies the product of a module's matrices.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "ranks are small")]
    pub(crate) fn scale(&self, module: &str) -> f32 {
        let alpha = named(self.alpha_pattern.as_ref(), module).unwrap_or(self.lora_alpha);
        let rank = self.rank(module) as f64;
        (alpha / if self.use_rslora { rank.sqrt() } else { rank }) as f32
    }
}

/// The value whose key names the module: in full, or the last words of its path.
fn named<T: Copy>(pattern: Option<&BTreeMap<String, T>>, module: &str) -> Option<T> {
    let ends = |key: &str| module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    pattern?.iter().find(|(key, _)| ends(key)).map(|(_, value)| *value)
}

/// Whether a field says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
