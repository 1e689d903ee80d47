//! What a folder says about its model: `config.json`, and what Sentence Transformers put beside it.

use std::path::Path;

use baton_kernels::Activation;
use serde_json::{Map, Value};

use crate::Error;
use crate::files::{json, needed, object, optional};

const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";
const LENGTH: &str = "sentence_bert_config.json";
/// The largest number that any size may be; weights of such a size are refused for their size before.
const MOST: u64 = 1 << 24;

/// A BERT encoder, as values.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Width of a token's vector, and of a text's.
    pub hidden: usize,
    /// Width of the widest part of a layer.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of attention; a divisor of `hidden`.
    pub heads: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Positions that were learned.
    pub positions: usize,
    /// Kinds of segments; texts are always of the first.
    pub segments: usize,
    /// What the norms add to a variance.
    pub eps: f32,
    /// What the widest part goes through.
    pub activation: Activation,
    /// How the tokens' vectors become the text's.
    pub pooling: Pooling,
    /// Whether the text's vector is made a unit vector.
    pub unit: bool,
    /// Tokens that a text may have, with the one that begins and the one that ends it.
    pub max_tokens: usize,
}

/// How the tokens' vectors become the text's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The vector of the token that begins the text.
    First,
}

impl Architecture {
    /// Reads a folder's description. Without `modules.json` it is the mean of the tokens' vectors, made a unit vector.
    ///
    /// # Errors
    /// A file cannot be read or contradicts itself, or the model is of a kind that is not computed here.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let config = Numbers(object(CONFIG, &needed(folder, CONFIG)?)?);
        for (name, known) in [("model_type", "bert"), ("position_embedding_type", "absolute")] {
            match config.0.get(name).and_then(Value::as_str) {
                Some(other) if other != known => {
                    return Err(Error::Unsupported(format!("`{name}` of `{}`", short(other))));
                }
                None if name == "model_type" => return Err(Error::file(CONFIG, "it has no `model_type`")),
                _ => {}
            }
        }
        let activation = match config.0.get("hidden_act").and_then(Value::as_str).unwrap_or("gelu") {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            other => return Err(Error::Unsupported(format!("the activation `{}`", short(other)))),
        };
        let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
        if !hidden.is_multiple_of(heads) {
            return Err(Error::file(CONFIG, format!("{heads} heads do not divide a width of {hidden}")));
        }
        let eps = config.0.get("layer_norm_eps").map_or(Some(1e-12), Value::as_f64);
        let eps = eps.filter(|eps| (0.0..1.0).contains(eps));
        let eps = eps.ok_or_else(|| Error::file(CONFIG, "`layer_norm_eps` is not a number from 0 to 1"))?;
        let positions = config.size("max_position_embeddings")?;
        let longest = match optional(folder, LENGTH)? {
            Some(bytes) => Numbers(object(LENGTH, &bytes)?).0.get("max_seq_length").and_then(Value::as_u64),
            None => None,
        };
        let longest = longest.and_then(|length| usize::try_from(length).ok()).unwrap_or(positions);
        let (pooling, unit) = modules(folder, hidden)?;
        Ok(Self {
            hidden,
            inner: config.size("intermediate_size")?,
            layers: config.size("num_hidden_layers")?,
            heads,
            vocabulary: config.size("vocab_size")?,
            positions,
            segments: config.size("type_vocab_size")?,
            #[expect(clippy::cast_possible_truncation, reason = "as the norms compute it")]
            eps: eps as f32,
            activation,
            pooling,
            unit,
            // Room for one token between the two.
            max_tokens: longest.min(positions).max(3),
        })
    }
}

/// How a text's vector is made, and whether it is made a unit vector.
fn modules(folder: &Path, hidden: usize) -> Result<(Pooling, bool), Error> {
    let Some(bytes) = optional(folder, MODULES)? else { return Ok((Pooling::Mean, true)) };
    let modules = json(MODULES, &bytes)?;
    let modules = modules.as_array().ok_or_else(|| Error::file(MODULES, "it is not a list"))?;
    let (mut way, mut unit) = (Pooling::Mean, false);
    for module in modules {
        let kind = module["type"].as_str().unwrap_or("none");
        match kind.rsplit('.').next().unwrap_or(kind) {
            "Transformer" => {}
            "Normalize" => unit = true,
            "Pooling" => way = pooling(folder, module["path"].as_str().unwrap_or("1_Pooling"), hidden)?,
            other => return Err(Error::Unsupported(format!("the module `{}`", short(other)))),
        }
    }
    Ok((way, unit))
}

fn pooling(folder: &Path, path: &str, hidden: usize) -> Result<Pooling, Error> {
    // A list must not reach outside of its folder.
    if Path::new(path).file_name().is_none_or(|plain| plain != path) {
        return Err(Error::file(MODULES, format!("`{}` is not the name of a folder", short(path))));
    }
    let name = format!("{path}/{CONFIG}");
    let fields = object(&name, &needed(folder, &name)?)?;
    if fields.get("word_embedding_dimension").and_then(Value::as_u64).is_some_and(|width| width != hidden as u64) {
        return Err(Error::file(&name, format!("its width is not that of the model, {hidden}")));
    }
    let modes: Vec<&str> = fields
        .iter()
        .filter(|(name, value)| name.starts_with("pooling_mode_") && **value == Value::Bool(true))
        .map(|(name, _)| name.as_str())
        .collect();
    match modes[..] {
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        [] => Err(Error::file(&name, "it names no way of pooling")),
        _ => Err(Error::Unsupported(format!("pooling by {}", modes.join(" and ")))),
    }
}

/// The sizes of a description.
struct Numbers(Map<String, Value>);

impl Numbers {
    fn size(&self, name: &str) -> Result<usize, Error> {
        let value = self.0.get(name).ok_or_else(|| Error::file(CONFIG, format!("it has no `{name}`")))?;
        let size = value.as_u64().filter(|size| (1..=MOST).contains(size)).and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| Error::file(CONFIG, format!("`{name}` is not a whole number from 1 to {MOST}")))
    }
}

/// What a file says is shown, but never at length.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
