//! The wire types of `POST /v1/embeddings`: from a body to a checked request, and the reply as it is written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::cue::{refuse_the_rest, take_model};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Most texts of one request, as in OpenAI's API.
const MOST_TEXTS: usize = 2048;

/// A body whose every field has been read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmbeddingsRequest {
    pub(crate) model: String,
    /// At least one; none is empty.
    pub(crate) texts: Vec<String>,
    pub(crate) format: Format,
    /// The first so many numbers of each vector, made a unit vector again.
    pub(crate) dimensions: Option<u32>,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a list of numbers.
    Float,
    /// As the bytes of 32-bit numbers, little end first, in Base64.
    Base64,
}

#[derive(Serialize)]
pub(crate) struct EmbeddingList<'a> {
    pub(crate) object: &'static str,
    pub(crate) data: Vec<Embedding>,
    pub(crate) model: &'a str,
    pub(crate) usage: EmbeddingUsage,
    pub(crate) baton: EmbeddingExtra,
}

#[derive(Serialize)]
pub(crate) struct Embedding {
    pub(crate) object: &'static str,
    pub(crate) index: usize,
    #[serde(rename = "embedding")]
    pub(crate) vector: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
pub(crate) struct EmbeddingUsage {
    pub(crate) prompt_tokens: usize,
    pub(crate) total_tokens: usize,
}

/// What Baton has to say.
#[derive(Serialize)]
pub(crate) struct EmbeddingExtra {
    /// The ledger's row is about this id.
    pub(crate) id: String,
    pub(crate) model_digest: String,
}

impl EmbeddingsRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let texts = take_texts(&mut fields)?;
        let format = match fields.string("encoding_format")?.as_deref() {
            None | Some("float") => Format::Float,
            Some("base64") => Format::Base64,
            Some(other) => {
                let other: String = other.chars().take(80).collect();
                let message = format!("`encoding_format` is `float` or `base64`, not `{other}`");
                return Err(ApiError::invalid("encoding_format", message));
            }
        };
        let dimensions = fields.integer("dimensions", 1, u32::MAX)?;
        refuse_the_rest(fields)?;
        Ok(Self { model, texts, format, dimensions })
    }
}

fn take_texts(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let invalid = |message: &str| Err(ApiError::invalid("input", message));
    let texts = match fields.take("input").ok_or_else(|| ApiError::missing("input"))? {
        Value::String(text) => vec![text],
        Value::Array(list) if list.is_empty() => return invalid("`input` is empty; give at least one text"),
        Value::Array(list) if list.len() > MOST_TEXTS => {
            return invalid(&format!("`input` has {} texts; one request takes at most {MOST_TEXTS}", list.len()));
        }
        Value::Array(list) => list.into_iter().enumerate().map(text).collect::<Result<_, _>>()?,
        other => return Err(wrong_type("input", "a string or an array of strings", &other)),
    };
    match texts.iter().position(String::is_empty) {
        Some(at) => invalid(&format!("text {at} of `input` is empty; give at least one character")),
        None => Ok(texts),
    }
}

fn text((at, value): (usize, Value)) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(ApiError::unsupported(
            "input",
            "`input`: token ids are not taken, because other models have other tokens; send the text itself",
        )),
        other => Err(wrong_type(&format!("input[{at}]"), "a string", &other)),
    }
}

impl Vector {
    /// A vector as it is asked for.
    pub(crate) fn new(vector: Vec<f32>, format: Format) -> Self {
        match format {
            Format::Float => Self::Numbers(vector),
            Format::Base64 => Self::Base64(STANDARD.encode(bytes(&vector))),
        }
    }
}

/// The bytes of 32-bit numbers, little end first.
pub(super) fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}
