//! From a body to a checked request.

use serde_json::Value;

use super::types::{CompletionRequest, Prompt};
use crate::cue::{Params, refuse_the_rest, take_model};
use crate::error::ApiError;
use crate::json::{Fields, integer, wrong_type};

/// Tokens of an answer if the caller gives no number, as in OpenAI's API.
pub(crate) const DEFAULT_MAX_TOKENS: usize = 16;
/// Most answers of one request, over all prompts.
const MAX_ANSWERS: usize = 128;

const FORMS: &str = "a string, an array of strings, an array of token ids, or an array of arrays of token ids";

impl CompletionRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let prompts = take_prompts(&mut fields)?;
        let params = Params::take(&mut fields)?;
        let echo = fields.flag("echo")?;
        let top_logprobs = fields.integer("logprobs", 0, 5)?.map(|top| u8::try_from(top).unwrap_or(u8::MAX));
        if echo && top_logprobs.is_some() {
            return Err(ApiError::unsupported(
                "logprobs",
                "log-probabilities of the prompt are not supported; leave out `echo` or `logprobs`",
            ));
        }
        let answers = prompts.len() * params.n as usize;
        if answers > MAX_ANSWERS {
            let message = format!("{answers} answers were asked for; one request takes at most {MAX_ANSWERS}");
            return Err(ApiError::invalid("prompt", message));
        }
        take_best_of(&mut fields, params.n)?;
        if fields.take("suffix").is_some_and(|suffix| suffix != "") {
            return Err(ApiError::unsupported("suffix", "`suffix`: inserting before a suffix is not supported"));
        }
        refuse_the_rest(fields)?;
        Ok(Self { model, prompts, echo, top_logprobs, params })
    }
}

fn take_best_of(fields: &mut Fields, n: u32) -> Result<(), ApiError> {
    match fields.integer("best_of", 1, u32::MAX)? {
        Some(best_of) if best_of != n => {
            Err(ApiError::unsupported("best_of", "`best_of`: all answers are given out; leave it out or make it `n`"))
        }
        _ => Ok(()),
    }
}

fn take_prompts(fields: &mut Fields) -> Result<Vec<Prompt>, ApiError> {
    let prompts = match fields.take("prompt").ok_or_else(|| ApiError::missing("prompt"))? {
        Value::String(text) => vec![Prompt::Text(text)],
        Value::Array(list) if list.first().is_some_and(Value::is_number) => vec![Prompt::Tokens(read_tokens(&list)?)],
        Value::Array(list) if list.is_empty() => {
            return Err(ApiError::invalid("prompt", "`prompt` is empty; give at least one"));
        }
        Value::Array(list) => list.into_iter().map(read_prompt).collect::<Result<_, _>>()?,
        other => return Err(wrong_type("prompt", FORMS, &other)),
    };
    let empty = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
    };
    if prompts.iter().any(empty) {
        return Err(ApiError::invalid("prompt", "a prompt is empty; give at least one character or token"));
    }
    Ok(prompts)
}

fn read_prompt(value: Value) -> Result<Prompt, ApiError> {
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(tokens) => Ok(Prompt::Tokens(read_tokens(&tokens)?)),
        other => Err(wrong_type("prompt", FORMS, &other)),
    }
}

fn read_tokens(list: &[Value]) -> Result<Vec<u32>, ApiError> {
    list.iter().map(|value| integer(value, "prompt", 0, u32::MAX)).collect()
}
