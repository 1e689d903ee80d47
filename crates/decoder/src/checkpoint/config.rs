//! `config.json` as Transformers writes it, put in the words of GGUF's metadata.

use serde_json::{Map, Value as Json};

use super::families::{FAMILIES, Family, GEMMA3, TANH};
use super::fields::Fields;
use super::stretch::{Divisors, Stretch};
use super::{CONFIG, wrong};
use crate::Error;
use crate::gguf::{Metadata, Scalars, Value};

/// Numbers that every family has: the field, and GGUF's key behind the family's name.
const COUNTS: [(&str, &str); 6] = [
    ("hidden_size", "embedding_length"),
    ("num_hidden_layers", "block_count"),
    ("intermediate_size", "feed_forward_length"),
    ("max_position_embeddings", "context_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
];

/// Layers that a description may speak of one by one.
const MOST_LAYERS: usize = 4096;

/// What a description says.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Config {
    pub(super) metadata: Metadata,
    /// Whether the head is the embedding.
    pub(super) tied_head: bool,
    /// [rotated / 2] Divisors of the rotation's frequencies, by the names of GGUF's tensors.
    pub(super) divisors: Vec<Divisors>,
    /// Whether norms are stored less one, and GGUF's are not.
    pub(super) norms_less_one: bool,
    /// Whether what attention gives has a norm of its own.
    pub(super) update_norms: bool,
    /// Whether only a part of the model is for text.
    pub(super) also_sees: bool,
}

impl Config {
    /// Reads a description. What it says of parts that are not supported is handed on, to be refused by its name.
    ///
    /// # Errors
    /// A field is missing or of another type, or says what cannot be computed.
    pub(super) fn read(description: &Map<String, Json>) -> Result<Self, Error> {
        let whole = Fields(description);
        let kind = Fields::needed("model_type", whole.text("model_type")?)?;
        let Some(family) = FAMILIES.iter().find(|family| family.kind == kind) else {
            return Err(Error::Unsupported(format!(
                "the model family `{}`",
                kind.chars().take(80).collect::<String>()
            )));
        };
        let text = if kind == "gemma3" { whole.object("text_config")? } else { None };
        let also_sees = text.is_some();
        let mut completed = text.as_ref().unwrap_or(&whole).0.clone();
        if family.gguf == "gemma3" {
            for (name, value) in GEMMA3 {
                completed.entry(name).or_insert_with(|| Json::from(value));
            }
            completed.entry("rms_norm_eps").or_insert_with(|| Json::from(1e-6));
        }
        let fields = Fields(&completed);
        let mut reading = Reading { fields: &fields, family, metadata: Metadata::default() };
        reading.metadata.insert("general.architecture", Value::Text(family.gguf.to_owned()));
        reading.shape()?;
        reading.activation()?;
        reading.experts()?;
        let head_dim = reading.heads()?;
        reading.windows()?;
        let divisors = reading.rope(head_dim)?;
        let tied_head = match whole.flag("tie_word_embeddings")? {
            Some(tied) => tied,
            None => fields.flag("tie_word_embeddings")?.unwrap_or(family.tied_head),
        };
        Ok(Self {
            metadata: reading.metadata,
            tied_head,
            divisors,
            norms_less_one: family.gguf.starts_with("gemma"),
            update_norms: matches!(family.gguf, "gemma2" | "gemma3"),
            also_sees,
        })
    }
}

/// A description that is being put in other words.
struct Reading<'a> {
    fields: &'a Fields<'a>,
    family: &'a Family,
    metadata: Metadata,
}

impl Reading<'_> {
    fn put(&mut self, key: &str, value: Value) {
        self.metadata.insert(&format!("{}.{key}", self.family.gguf), value);
    }

    fn put_count(&mut self, name: &str, key: &str) -> Result<bool, Error> {
        let count = self.fields.count(name)?;
        if let Some(count) = count {
            self.put(key, Value::Unsigned(count));
        }
        Ok(count.is_some())
    }

    fn put_number(&mut self, name: &str, key: &str) -> Result<(), Error> {
        if let Some(number) = self.fields.number(name)? {
            self.put(key, Value::Float(number));
        }
        Ok(())
    }

    fn shape(&mut self) -> Result<(), Error> {
        for (name, key) in COUNTS {
            if !self.put_count(name, key)? && name != "num_key_value_heads" {
                return Err(wrong(CONFIG, format!("it has no `{name}`")));
            }
        }
        if self.family.gguf == "phi2" {
            let eps = Fields::needed("layer_norm_eps", self.fields.number("layer_norm_eps")?)?;
            self.put("attention.layer_norm_epsilon", Value::Float(eps));
            if self.fields.flag("qk_layernorm")? == Some(true) {
                return Err(Error::Unsupported("a layer norm of queries and keys".into()));
            }
            return Ok(());
        }
        let eps = Fields::needed("rms_norm_eps", self.fields.number("rms_norm_eps")?)?;
        self.put("attention.layer_norm_rms_epsilon", Value::Float(eps));
        self.put_number("attn_logit_softcapping", "attn_logit_softcapping")?;
        self.put_number("final_logit_softcapping", "final_logit_softcapping")
    }

    fn activation(&self) -> Result<(), Error> {
        let expected = self.family.activation;
        let said = match self.fields.text("hidden_activation")? {
            Some(said) => Some(said),
            None => self.fields.text("hidden_act")?,
        };
        match said {
            // Gemma's first descriptions say `gelu` and mean the other.
            None => Ok(()),
            Some(said) if said == expected || (expected == TANH && said == "gelu") => Ok(()),
            Some(said) => Err(Error::Unsupported(format!("the activation `{said}`"))),
        }
    }

    fn experts(&mut self) -> Result<(), Error> {
        match self.family.kind {
            "mixtral" => {
                self.put_count("num_local_experts", "expert_count")?;
                self.put_count("num_experts_per_tok", "expert_used_count")?;
            }
            "qwen3_moe" => {
                self.put_count("num_experts", "expert_count")?;
                self.put_count("num_experts_per_tok", "expert_used_count")?;
                self.put_count("moe_intermediate_size", "expert_feed_forward_length")?;
                let normalised = self.fields.flag("norm_topk_prob")?.unwrap_or(false);
                self.put("expert_weights_norm", Value::Flag(normalised));
                let dense = self.fields.get("mlp_only_layers").and_then(Json::as_array);
                if dense.is_some_and(|layers| !layers.is_empty())
                    || self.fields.count("decoder_sparse_step")?.unwrap_or(1) != 1
                {
                    return Err(Error::Unsupported("layers without experts beside layers with experts".into()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives the size of a head.
    fn heads(&mut self) -> Result<u64, Error> {
        let dim = if let Some(dim) = self.fields.count("head_dim")? {
            dim
        } else {
            let heads = Fields::needed("num_attention_heads", self.fields.count("num_attention_heads")?)?.max(1);
            Fields::needed("hidden_size", self.fields.count("hidden_size")?)? / heads
        };
        self.put("attention.key_length", Value::Unsigned(dim));
        if let Some(scalar) = self.fields.number("query_pre_attn_scalar")? {
            if scalar <= 0.0 {
                return Err(wrong(CONFIG, format!("`query_pre_attn_scalar` is {scalar}, not above zero")));
            }
            self.put("attention.scale", Value::Float(1.0 / scalar.sqrt()));
        }
        Ok(dim)
    }

    /// Which layers see a window only, and which are not rotated.
    fn windows(&mut self) -> Result<(), Error> {
        let layers = Fields::needed("num_hidden_layers", self.fields.count("num_hidden_layers")?)?;
        let layers = usize::try_from(layers).ok().filter(|layers| *layers <= MOST_LAYERS);
        let layers = layers.ok_or_else(|| wrong(CONFIG, format!("it has more than {MOST_LAYERS} layers")))?;
        if let Some(rotated) = self.fields.get("no_rope_layers") {
            // One for the layers that are rotated, whatever the name says.
            let flags = rotated.as_array().and_then(|all| all.iter().map(Json::as_u64).collect::<Option<Vec<_>>>());
            let flags = flags.ok_or_else(|| wrong(CONFIG, "`no_rope_layers` is not an array of numbers"))?;
            let flags: Vec<bool> = flags.into_iter().map(|flag| flag != 0).collect();
            self.put("rope.layer_pattern", Value::Scalars(Scalars::of_flags(&flags)));
        }
        // Qwen's and SmolLM's windows are off unless a flag turns them on.
        let by_flag = matches!(self.family.kind, "qwen2" | "qwen3" | "qwen3_moe" | "smollm3");
        let windowed = self.fields.flag("use_sliding_window")?.unwrap_or(!by_flag);
        let Some(window) = self.fields.count("sliding_window")?.filter(|_| windowed) else { return Ok(()) };
        self.put("attention.sliding_window", Value::Unsigned(window));
        let pattern = if let Some(kinds) = self.fields.get("layer_types") {
            let kind = |kind: &Json| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(Error::Unsupported(format!("the kind of attention {kind}"))),
            };
            let kinds = kinds.as_array().ok_or_else(|| wrong(CONFIG, "`layer_types` is not an array"))?;
            Some(kinds.iter().map(kind).collect::<Result<Vec<_>, _>>()?)
        } else if let Some(every) = self.fields.count("sliding_window_pattern")?.filter(|every| *every > 0) {
            Some((1..).take(layers).map(|number: u64| !number.is_multiple_of(every)).collect())
        } else if by_flag {
            let first = self.fields.count("max_window_layers")?.unwrap_or(0);
            Some((0..).take(layers).map(|index: u64| index >= first).collect())
        } else {
            None
        };
        if let Some(pattern) = pattern {
            self.put("attention.sliding_window_pattern", Value::Scalars(Scalars::of_flags(&pattern)));
        }
        Ok(())
    }

    /// Gives divisors of the frequencies, by the names of GGUF's tensors.
    fn rope(&mut self, head_dim: u64) -> Result<Vec<Divisors>, Error> {
        let fields = self.fields;
        // Newer descriptions have all of the rotation in one object, or in one for each kind of layer.
        let found = match fields.object("rope_parameters")? {
            Some(rope) => Some(rope),
            None => fields.object("rope_scaling")?,
        };
        let (global, local) = match &found {
            Some(rope) if rope.get("full_attention").is_some() => {
                (rope.object("full_attention")?, rope.object("sliding_attention")?)
            }
            _ => (found, None),
        };
        let none = Map::new();
        let rope = global.unwrap_or(Fields(&none));
        let part = |name| {
            Ok::<_, Error>(match rope.number(name)? {
                Some(number) => Some(number),
                None => fields.number(name)?,
            })
        };
        let usual = if self.family.gguf == "gemma3" { 1_000_000.0 } else { 10_000.0 };
        let base = part("rope_theta")?.unwrap_or(usual);
        let share = part("partial_rotary_factor")?.unwrap_or(if self.family.gguf == "phi2" { 0.5 } else { 1.0 });
        let rotated = rotated(head_dim, share)?;
        self.put("rope.freq_base", Value::Float(base));
        self.put("rope.dimension_count", Value::Unsigned(rotated));
        if self.family.gguf == "gemma3" {
            let own = local.as_ref().map(|local| local.number("rope_theta")).transpose()?.flatten();
            let own = own.map_or_else(|| fields.number("rope_local_base_freq"), |own| Ok(Some(own)))?;
            self.put("rope.freq_base_swa", Value::Float(own.unwrap_or(10_000.0)));
        }
        let kind = rope.text("rope_type")?.map_or_else(|| rope.text("type"), |kind| Ok(Some(kind)))?;
        let context = Fields::needed("max_position_embeddings", fields.count("max_position_embeddings")?)?;
        #[expect(clippy::cast_precision_loss, reason = "contexts are far below 2^52")]
        let stretch = Stretch { rope: &rope, fields, base, rotated, context: context as f64 };
        match kind.unwrap_or("default") {
            "default" => Ok(Vec::new()),
            "llama3" => Ok(vec![("rope_freqs.weight", stretch.llama3()?)]),
            kind @ ("linear" | "yarn") => {
                self.put("rope.scaling.type", Value::Text(kind.to_owned()));
                self.put("rope.scaling.factor", Value::Float(stretch.number("factor")?));
                if kind == "yarn" {
                    for (key, value) in stretch.yarn()? {
                        self.put(key, value);
                    }
                }
                Ok(Vec::new())
            }
            "longrope" | "su" => {
                self.put("rope.scaling.type", Value::Text("longrope".to_owned()));
                let (original, magnitude, divisors) = stretch.longrope()?;
                self.put("rope.scaling.original_context_length", Value::Unsigned(original));
                self.put("rope.scaling.attn_factor", Value::Float(magnitude));
                Ok(divisors)
            }
            other => Err(Error::Unsupported(format!("`{other}` scaling of positions"))),
        }
    }
}

/// How many elements of a head are rotated.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
fn rotated(head_dim: u64, share: f64) -> Result<u64, Error> {
    let rotated = head_dim as f64 * share;
    if !(share > 0.0 && share <= 1.0) || head_dim > 4096 {
        return Err(wrong(CONFIG, format!("{share} of {head_dim} elements of a head are rotated")));
    }
    Ok(rotated as u64)
}
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: impl Fn(&mut Json)) -> Result<Config, Error> {
        let mut config = json!({
            "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
            "max_position_embeddings": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
            "hidden_act": "silu", "rope_theta": 500_000.0, "tie_word_embeddings": true, "sliding_window": null
        });
        change(&mut config);
        Config::read(config.as_object().unwrap_or(&Map::new()))
    }

    #[test]
    fn a_description_becomes_metadata() {
        let config = read(|_| ()).unwrap_or_else(|error| panic!("{error}"));
        let shown: Vec<_> = config.metadata.iter().map(|(key, value)| format!("{key} = {value:?}")).collect();
        expect_test::expect![[r#"
            general.architecture = Text("llama")
            llama.attention.head_count = Unsigned(4)
            llama.attention.head_count_kv = Unsigned(2)
            llama.attention.key_length = Unsigned(16)
            llama.attention.layer_norm_rms_epsilon = Float(1e-5)
            llama.block_count = Unsigned(2)
            llama.context_length = Unsigned(128)
            llama.embedding_length = Unsigned(64)
            llama.feed_forward_length = Unsigned(96)
            llama.rope.dimension_count = Unsigned(16)
            llama.rope.freq_base = Float(500000.0)"#]]
        .assert_eq(&shown.join("\n"));
        assert!(config.tied_head && config.divisors.is_empty());
    }

    #[test]
    fn frequencies_are_stretched_as_llama_3_does() -> Result<(), Error> {
        // The values of Llama 3.1 8B, whose GGUF files have these divisors.
        let config = read(|config| {
            config["head_dim"] = json!(128);
            config["rope_scaling"] = json!({
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192
            });
        })?;
        let [(name, divisors)] = &config.divisors[..] else { panic!("{:?}", config.divisors) };
        assert_eq!(*name, "rope_freqs.weight");
        assert_eq!(divisors.len(), 64);
        assert_eq!((divisors[0], divisors[63]), (1.0, 8.0));
        let between: Vec<_> = divisors.iter().filter(|divisor| **divisor > 1.0 && **divisor < 8.0).collect();
        assert_eq!(between.len(), 6, "{between:?}");
        Ok(())
    }

    #[test]
    fn what_is_not_supported_or_wrong_is_named() {
        let mut said = Vec::new();
        let changes: [fn(&mut Json); 8] = [
            |config| config["model_type"] = json!("mamba"),
            |config| config["hidden_act"] = json!("gelu"),
            |config| config["num_hidden_layers"] = json!("two"),
            |config| config["rms_norm_eps"] = json!(null),
            |config| config["partial_rotary_factor"] = json!(1.5),
            |config| config["rope_scaling"] = json!({"type": "linear"}),
            |config| config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8}),
            |config| config["tie_word_embeddings"] = json!(1),
        ];
        for change in changes {
            said.push(read(change).map_or_else(|error| error.to_string(), |_| "taken".to_owned()));
        }
        expect_test::expect![[r"
            the model family `mamba` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
            the activation `gelu` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
            `config.json` cannot be used: `num_hidden_layers` is not a whole number
            `config.json` cannot be used: it has no `rms_norm_eps`
            `config.json` cannot be used: 1.5 of 16 elements of a head are rotated
            `config.json` cannot be used: it has no `factor`
            `config.json` cannot be used: it has no `original_max_position_embeddings`
            `config.json` cannot be used: `tie_word_embeddings` is not true or false"]].assert_eq(&said.join("\n"));
    }
}
