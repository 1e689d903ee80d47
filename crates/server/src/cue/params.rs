//! The fields that both generating endpoints share.

use baton_contract::{Intent, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::json::{Fields, integer, kind_of, number, wrong_type};

/// Most answers to one prompt.
const MAX_CHOICES: u32 = 16;
const MAX_STOPS: usize = 4;
const MAX_STOP_BYTES: usize = 256;
const MAX_STOP_TOKENS: usize = 64;
const MAX_BIASES: usize = 1024;

/// How a cue wants its answer drawn and ended; what is absent is the twin's default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Params {
    pub(crate) sampling: SamplingAsk,
    pub(crate) n: u32,
    pub(crate) seed: Option<u64>,
    pub(crate) stop: Vec<String>,
    pub(crate) stop_tokens: Vec<u32>,
    pub(crate) ignore_end: bool,
    pub(crate) min_tokens: usize,
    pub(crate) max_tokens: MaxTokens,
    pub(crate) stream: Option<StreamAsk>,
    pub(crate) intent: Intent,
}

/// Sampling values that the caller gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SamplingAsk {
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) top_k: Option<u32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) presence_penalty: Option<f32>,
    pub(crate) frequency_penalty: Option<f32>,
    pub(crate) logit_bias: Vec<(u32, f32)>,
}

/// The most tokens to generate, and what the caller called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxTokens {
    pub(crate) field: &'static str,
    pub(crate) tokens: Option<usize>,
}

/// The answer is to be streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamAsk {
    pub(crate) include_usage: bool,
}

impl Params {
    /// Those of a cue that draws nothing: only its intent is its own.
    pub(crate) fn of_intent(intent: Intent) -> Self {
        Self {
            sampling: SamplingAsk::default(),
            n: 1,
            // Nothing is drawn, so that any seed gives the same.
            seed: Some(0),
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
            min_tokens: 0,
            max_tokens: MaxTokens { field: "max_tokens", tokens: None },
            stream: None,
            intent,
        }
    }

    /// Takes the fields of a response out of a body: one answer, which ends by itself or at its length.
    pub(crate) fn of_response(fields: &mut Fields) -> Result<Self, ApiError> {
        const FIELD: &str = "max_output_tokens";
        let most = fields.integer(FIELD, 1, u32::MAX)?;
        Ok(Self {
            sampling: SamplingAsk::take(fields)?,
            seed: take_seed(fields)?,
            max_tokens: MaxTokens { field: FIELD, tokens: most.map(|tokens| tokens as usize) },
            ..Self::of_intent(take_intent(fields)?)
        })
    }

    /// Takes the shared fields out of a body.
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let params = Self {
            sampling: SamplingAsk::take(fields)?,
            n: fields.integer("n", 1, MAX_CHOICES)?.unwrap_or(1),
            seed: take_seed(fields)?,
            stop: take_stop(fields)?,
            stop_tokens: take_stop_tokens(fields)?,
            ignore_end: fields.flag("ignore_eos")?,
            min_tokens: fields.integer("min_tokens", 0, u32::MAX)?.unwrap_or(0) as usize,
            max_tokens: MaxTokens::take(fields)?,
            stream: StreamAsk::take(fields)?,
            intent: take_intent(fields)?,
        };
        if params.max_tokens.tokens.is_some_and(|most| params.min_tokens > most) {
            let field = params.max_tokens.field;
            return Err(ApiError::invalid("min_tokens", format!("`min_tokens` must not be more than `{field}`")));
        }
        Ok(params)
    }
}

impl SamplingAsk {
    fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let ask = Self {
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            top_k: take_top_k(fields)?,
            min_p: fields.number("min_p")?,
            repetition_penalty: fields.number("repetition_penalty")?,
            presence_penalty: fields.number("presence_penalty")?,
            frequency_penalty: fields.number("frequency_penalty")?,
            logit_bias: take_logit_bias(fields)?,
        };
        // Ranges are those of the contract; the base values are within them.
        ask.over(&Sampling::default()).check().map_err(|error| ApiError::invalid(error.field, error.to_string()))?;
        Ok(ask)
    }

    /// `base` with the caller's values in place of its own.
    pub(crate) fn over(&self, base: &Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_p: self.top_p.unwrap_or(base.top_p),
            top_k: self.top_k.unwrap_or(base.top_k),
            min_p: self.min_p.unwrap_or(base.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            logit_bias: self.logit_bias.clone(),
            seed: base.seed,
            top_logprobs: base.top_logprobs,
        }
    }
}

impl MaxTokens {
    /// `max_completion_tokens` is the newer name; giving both is an error unless they agree.
    fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let (old, new) = ("max_tokens", "max_completion_tokens");
        let given = |value: Option<u32>| value.map(|tokens| tokens as usize);
        let older = given(fields.integer(old, 1, u32::MAX)?);
        let newer = given(fields.integer(new, 1, u32::MAX)?);
        match (older, newer) {
            (Some(one), Some(other)) if one != other => {
                Err(ApiError::invalid(old, format!("`{old}` and `{new}` are the same thing; give one of them")))
            }
            (_, Some(_)) => Ok(Self { field: new, tokens: newer }),
            (_, None) => Ok(Self { field: old, tokens: older }),
        }
    }
}

impl StreamAsk {
    fn take(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let stream = fields.flag("stream")?;
        let options = fields.object("stream_options")?;
        let mut include_usage = false;
        if let Some(mut options) = options {
            if !stream {
                return Err(ApiError::invalid(
                    "stream_options",
                    "`stream_options` is allowed only with `stream: true`",
                ));
            }
            include_usage = options.flag("include_usage")?;
            if options.flag("include_obfuscation")? {
                return Err(ApiError::unsupported(
                    "stream_options.include_obfuscation",
                    "streams are not padded here; leave `include_obfuscation` out",
                ));
            }
            options.finish()?;
        }
        Ok(stream.then_some(Self { include_usage }))
    }
}

/// The intent, which travels in OpenAI's own `metadata`.
pub(crate) fn take_intent(fields: &mut Fields) -> Result<Intent, ApiError> {
    let mut intent = Intent::default();
    let entries = fields.entries("metadata")?.unwrap_or_default();
    if entries.len() > 16 {
        return Err(ApiError::invalid("metadata", "`metadata` has more than 16 entries"));
    }
    for (name, value) in entries {
        let Value::String(text) = value else {
            let message = format!("`metadata` holds strings only, not {}", kind_of(&value));
            return Err(ApiError::invalid("metadata", message));
        };
        if name.chars().count() > 64 || text.chars().count() > 512 {
            let message = "`metadata` takes names of up to 64 and values of up to 512 characters";
            return Err(ApiError::invalid("metadata", message));
        }
        let text = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        match name.as_str() {
            "why" => intent.why = text,
            "product" => intent.product = text,
            "process" => intent.process = text,
            // A tag of the caller's own; it is for their books and does not reach the model.
            _ => {}
        }
    }
    Ok(intent)
}

/// -1 is vLLM's way to say "all".
fn take_top_k(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    match fields.take("top_k") {
        None => Ok(None),
        Some(value) if value.as_i64() == Some(-1) => Ok(Some(0)),
        Some(value) => integer(&value, "top_k", 0, u32::MAX).map(Some),
    }
}

fn take_seed(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take("seed") else { return Ok(None) };
    // A negative seed is as good as any other: its bits count.
    let bits = value.as_i64().map(i64::cast_unsigned).or_else(|| value.as_u64());
    bits.map(Some).ok_or_else(|| wrong_type("seed", "an integer of 64 bits", &value))
}

fn take_stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stops = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                other => Err(wrong_type("stop", "a string or an array of strings", &other)),
            })
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong_type("stop", "a string or an array of strings", &other)),
    };
    if stops.len() > MAX_STOPS {
        return Err(ApiError::invalid(
            "stop",
            format!("`stop` takes at most {MAX_STOPS} strings, not {}", stops.len()),
        ));
    }
    if stops.iter().any(|text| text.is_empty() || text.len() > MAX_STOP_BYTES) {
        return Err(ApiError::invalid("stop", format!("each string in `stop` has 1 to {MAX_STOP_BYTES} bytes")));
    }
    Ok(stops)
}

fn take_stop_tokens(fields: &mut Fields) -> Result<Vec<u32>, ApiError> {
    let list = fields.list("stop_token_ids")?.unwrap_or_default();
    if list.len() > MAX_STOP_TOKENS {
        return Err(ApiError::invalid("stop_token_ids", format!("`stop_token_ids` takes at most {MAX_STOP_TOKENS}")));
    }
    list.iter().map(|value| integer(value, "stop_token_ids", 0, u32::MAX)).collect()
}

fn take_logit_bias(fields: &mut Fields) -> Result<Vec<(u32, f32)>, ApiError> {
    let entries = fields.entries("logit_bias")?.unwrap_or_default();
    if entries.len() > MAX_BIASES {
        return Err(ApiError::invalid("logit_bias", format!("`logit_bias` takes at most {MAX_BIASES} tokens")));
    }
    let mut biases = Vec::with_capacity(entries.len());
    for (token, bias) in entries {
        // The key is written as JSON writes an integer, so that no token can stand there twice.
        let id = token.parse::<u32>().ok().filter(|id| id.to_string() == token);
        let id = id.ok_or_else(|| {
            let token: String = token.chars().take(40).collect();
            ApiError::invalid("logit_bias", format!("`logit_bias` has a key `{token}` that is no token id"))
        })?;
        biases.push((id, number(&bias, "logit_bias")?));
    }
    biases.sort_unstable_by_key(|(token, _)| *token);
    Ok(biases)
}
