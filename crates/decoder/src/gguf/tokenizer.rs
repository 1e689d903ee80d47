//! What a GGUF file says about its tokenizer, as plain values.

use super::metadata::{Metadata, Value};
use crate::Error;

/// The tokenizer's fields, checked against each other but not interpreted.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerMetadata {
    /// The algorithm: `gpt2` is byte-level BPE, `llama` is `SentencePiece`.
    pub model: String,
    /// How text is split before BPE, for example `smollm`.
    pub pre: Option<String>,
    /// The vocabulary; a token's id is its place.
    pub tokens: Vec<String>,
    /// One for each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Option<Vec<i32>>,
    /// BPE merges, the first merged first; each is two pieces with a space between.
    pub merges: Vec<String>,
    /// One for each token, of a `SentencePiece` vocabulary.
    pub scores: Option<Vec<f32>>,
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text, or a turn where there is no `eot`.
    pub eos: Option<u32>,
    /// Ends a turn.
    pub eot: Option<u32>,
    /// Stands for what the vocabulary cannot express.
    pub unknown: Option<u32>,
    /// Fills up.
    pub padding: Option<u32>,
    /// Whether `bos` goes before every text; absent means the algorithm's habit.
    pub add_bos: Option<bool>,
    /// Whether `eos` goes after every text.
    pub add_eos: Option<bool>,
    /// Whether a space goes before every text.
    pub add_space_prefix: Option<bool>,
    /// The chat template's Jinja source.
    pub chat_template: Option<String>,
}

impl TokenizerMetadata {
    pub(crate) fn read(metadata: &Metadata) -> Result<Self, Error> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let text = |name: &str| Ok::<_, Error>(metadata.text(&key(name))?.map(str::to_owned));
        let texts = |name: &str| {
            let texts = metadata.texts(&key(name))?;
            Ok::<_, Error>(texts.map(|texts| texts.iter().map(str::to_owned).collect::<Vec<_>>()))
        };
        let missing = |name: &str| Error::Missing(format!("tokenizer (`{}`)", key(name)));
        let tokens = texts("tokens")?.filter(|tokens| !tokens.is_empty()).ok_or_else(|| missing("tokens"))?;
        let id = |name: &str| {
            let id = metadata.count(&key(name))?;
            match id {
                Some(id) if usize::try_from(id).map_or(true, |id| id >= tokens.len()) => {
                    let what = format!("`{}` is {id}, but there are {} tokens", key(name), tokens.len());
                    Err(Error::Inconsistent(what))
                }
                id => Ok(id),
            }
        };
        Ok(Self {
            model: text("model")?.ok_or_else(|| missing("model"))?,
            pre: text("pre")?,
            token_types: for_each_token(metadata, &key("token_type"), tokens.len(), |value| match value {
                Value::Signed(number) => i32::try_from(number).ok(),
                Value::Unsigned(number) => i32::try_from(number).ok(),
                _ => None,
            })?,
            merges: texts("merges")?.unwrap_or_default(),
            scores: for_each_token(metadata, &key("scores"), tokens.len(), |value| match value {
                #[expect(clippy::cast_possible_truncation, reason = "scores are stored as f32")]
                Value::Float(number) => Some(number as f32),
                _ => None,
            })?,
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            unknown: id("unknown_token_id")?,
            padding: id("padding_token_id")?,
            add_bos: metadata.flag(&key("add_bos_token"))?,
            add_eos: metadata.flag(&key("add_eos_token"))?,
            add_space_prefix: metadata.flag(&key("add_space_prefix"))?,
            chat_template: metadata.text("tokenizer.chat_template")?.map(str::to_owned),
            tokens,
        })
    }
}

/// An array that has one number for each token.
fn for_each_token<T>(
    metadata: &Metadata,
    key: &str,
    tokens: usize,
    read: impl Fn(Value) -> Option<T>,
) -> Result<Option<Vec<T>>, Error> {
    let Some(scalars) = metadata.scalars(key)? else { return Ok(None) };
    let values: Option<Vec<T>> = scalars.values().map(read).collect();
    match values {
        Some(values) if values.len() == tokens => Ok(Some(values)),
        Some(values) => Err(Error::Inconsistent(format!("`{key}` has {} numbers for {tokens} tokens", values.len()))),
        None => Err(Error::Inconsistent(format!("`{key}` holds a number of another type"))),
    }
}
