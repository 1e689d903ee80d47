//! `config.json` as Transformers writes it, put in the words of GGUF's metadata.

use serde_json::{Map, Value as Json};

use super::{CONFIG, wrong};
use crate::Error;
use crate::gguf::{Metadata, Value};

/// Families by the name that Transformers gives them, and the name under which GGUF has them. A Mistral without a window is
/// a llama; one with a window is refused by what it needs.
const FAMILIES: [(&str, &str); 4] = [("llama", "llama"), ("mistral", "llama"), ("qwen2", "qwen2"), ("qwen3", "qwen3")];

/// Numbers that every family has: the field, and GGUF's key behind the family's name.
const COUNTS: [(&str, &str); 6] = [
    ("hidden_size", "embedding_length"),
    ("num_hidden_layers", "block_count"),
    ("intermediate_size", "feed_forward_length"),
    ("max_position_embeddings", "context_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
];

/// What a description says.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) metadata: Metadata,
    /// Whether the head is the embedding.
    pub(super) tied_head: bool,
    /// [rotated / 2] Divisors of the rotation's frequencies.
    pub(super) divisors: Option<Vec<f32>>,
}

/// The fields of a description.
struct Fields<'a>(&'a Map<String, Json>);

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(&self, name: &str, is: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong(CONFIG, format!("`{name}` is not {is}")))
    }

    fn count(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, "a whole number", Json::as_u64)
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        self.typed(name, "a number", Json::as_f64)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false", Json::as_bool)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "a string", Json::as_str)
    }

    fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Error> {
        Ok(self.typed(name, "an object", Json::as_object)?.map(Fields))
    }

    fn needed<T>(name: &str, found: Option<T>) -> Result<T, Error> {
        found.ok_or_else(|| wrong(CONFIG, format!("it has no `{name}`")))
    }
}

impl Config {
    /// Reads a description. What it says of parts that are not supported is handed on, to be refused by its name.
    ///
    /// # Errors
    /// A field is missing or of another type, or says what cannot be computed.
    pub(super) fn read(description: &Map<String, Json>) -> Result<Self, Error> {
        let fields = Fields(description);
        let kind = Fields::needed("model_type", fields.text("model_type")?)?;
        let Some((_, family)) = FAMILIES.iter().find(|(name, _)| *name == kind) else {
            return Err(Error::Unsupported(format!(
                "the model family `{}`",
                kind.chars().take(80).collect::<String>()
            )));
        };
        if let Some(activation) = fields.text("hidden_act")?.filter(|name| *name != "silu") {
            return Err(Error::Unsupported(format!("the activation `{activation}`")));
        }
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", Value::Text((*family).to_owned()));
        let mut put = |key: &str, value: Value| metadata.insert(&format!("{family}.{key}"), value);
        for (name, key) in COUNTS {
            match fields.count(name)? {
                Some(count) => put(key, Value::Unsigned(count)),
                None if name == "num_key_value_heads" => {}
                None => return Err(wrong(CONFIG, format!("it has no `{name}`"))),
            }
        }
        let head_dim = if let Some(dim) = fields.count("head_dim")? {
            dim
        } else {
            let heads = Fields::needed("num_attention_heads", fields.count("num_attention_heads")?)?.max(1);
            Fields::needed("hidden_size", fields.count("hidden_size")?)? / heads
        };
        put("attention.key_length", Value::Unsigned(head_dim));
        let eps = Fields::needed("rms_norm_eps", fields.number("rms_norm_eps")?)?;
        put("attention.layer_norm_rms_epsilon", Value::Float(eps));
        // Qwen's windows are off unless a flag turns them on.
        let windowed = fields.flag("use_sliding_window")?.unwrap_or(kind == "mistral");
        if let Some(window) = fields.count("sliding_window")?.filter(|_| windowed) {
            put("attention.sliding_window", Value::Unsigned(window));
        }
        if let Some(part) = fields.number("partial_rotary_factor")?.filter(|part| (part - 1.0).abs() > 1e-9) {
            return Err(Error::Unsupported(format!("rotation of a part of each head ({part})")));
        }
        // Newer descriptions have all of the rotation in one object.
        let rope = match fields.object("rope_parameters")? {
            Some(rope) => Some(rope),
            None => fields.object("rope_scaling")?,
        };
        let base = rope.as_ref().map(|rope| rope.number("rope_theta")).transpose()?.flatten();
        let base = base.map_or_else(|| fields.number("rope_theta"), |base| Ok(Some(base)))?;
        put("rope.freq_base", Value::Float(base.unwrap_or(10_000.0)));
        let mut divisors = None;
        if let Some(rope) = rope {
            let kind = rope.text("rope_type")?.map_or_else(|| rope.text("type"), |kind| Ok(Some(kind)))?;
            match kind.unwrap_or("default") {
                "default" => {}
                "llama3" => divisors = Some(stretched(&rope, base.unwrap_or(10_000.0), head_dim)?),
                other => {
                    put("rope.scaling.type", Value::Text(other.to_owned()));
                    let factor = Fields::needed("factor", rope.number("factor")?)?;
                    put("rope.scaling.factor", Value::Float(factor));
                }
            }
        }
        let tied_head = fields.flag("tie_word_embeddings")?.unwrap_or(false);
        Ok(Self { metadata, tied_head, divisors })
    }
}

/// Llama 3.1's stretched frequencies: long waves are slowed by `factor`, short ones left alone, those between blended. Source:
/// `_compute_llama3_parameters` of Transformers.
fn stretched(rope: &Fields<'_>, base: f64, head_dim: u64) -> Result<Vec<f32>, Error> {
    let number = |name: &str| {
        let found = Fields::needed(name, rope.number(name)?)?;
        if found > 0.0 { Ok(found) } else { Err(wrong(CONFIG, format!("`{name}` is {found}, not above zero"))) }
    };
    let (factor, old) = (number("factor")?, number("original_max_position_embeddings")?);
    let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
    if high <= low {
        return Err(wrong(CONFIG, format!("`high_freq_factor` is {high}, not above `low_freq_factor`, {low}")));
    }
    if head_dim > 4096 {
        return Err(wrong(CONFIG, format!("heads of {head_dim} dimensions")));
    }
    let dim = u32::try_from(head_dim).unwrap_or(0);
    let divisor = |pair: u32| {
        let wave = 2.0 * std::f64::consts::PI * base.powf(2.0 * f64::from(pair) / f64::from(dim));
        if wave < old / high {
            1.0
        } else if wave > old / low {
            factor
        } else {
            let smooth = (old / wave - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "as GGUF stores them")]
    Ok((0..dim / 2).map(|pair| divisor(pair) as f32).collect())
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
            llama.rope.freq_base = Float(500000.0)"#]]
        .assert_eq(&shown.join("\n"));
        assert!(config.tied_head && config.divisors.is_none());
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
        let divisors = config.divisors.unwrap_or_default();
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
            |config| config["model_type"] = json!("gemma3"),
            |config| config["hidden_act"] = json!("gelu"),
            |config| config["num_hidden_layers"] = json!("two"),
            |config| config["rms_norm_eps"] = json!(null),
            |config| config["partial_rotary_factor"] = json!(0.5),
            |config| config["rope_scaling"] = json!({"type": "linear"}),
            |config| config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8}),
            |config| config["tie_word_embeddings"] = json!(1),
        ];
        for change in changes {
            said.push(read(change).map_or_else(|error| error.to_string(), |_| "taken".to_owned()));
        }
        expect_test::expect![[r"
            the model family `gemma3` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, qwen2 and qwen3 families, weights from Q2_K to F32
            the activation `gelu` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, qwen2 and qwen3 families, weights from Q2_K to F32
            `config.json` cannot be used: `num_hidden_layers` is not a whole number
            `config.json` cannot be used: it has no `rms_norm_eps`
            rotation of a part of each head (0.5) is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, qwen2 and qwen3 families, weights from Q2_K to F32
            `config.json` cannot be used: it has no `factor`
            `config.json` cannot be used: it has no `original_max_position_embeddings`
            `config.json` cannot be used: `tie_word_embeddings` is not true or false"]].assert_eq(&said.join("\n"));
    }
}
