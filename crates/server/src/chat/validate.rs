//! From a body to a checked request.

use serde_json::Value;

use super::format;
use super::types::{ChatRequest, Message, Role};
use crate::cue::{Params, refuse_the_rest, take_model};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};
use crate::judging::Stated;

impl ChatRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let messages = take_messages(&mut fields)?;
        let params = Params::take(&mut fields)?;
        let top_logprobs = take_logprobs(&mut fields)?;
        let schema = format::take(&mut fields)?;
        let stated = Stated::take_given(&mut fields)?;
        if stated.is_some() && params.n > 1 {
            return Err(ApiError::invalid("n", "an answer that is checked as a decision comes alone; leave `n` out"));
        }
        refuse_the_rest(fields)?;
        Ok(Self { model, messages, top_logprobs, params, schema, stated })
    }
}

fn take_messages(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let list = fields.list("messages")?.ok_or_else(|| ApiError::missing("messages"))?;
    if list.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty; give at least one"));
    }
    list.into_iter().enumerate().map(|(index, value)| read_message(value, &format!("messages[{index}]"))).collect()
}

fn read_message(value: Value, path: &str) -> Result<Message, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let at = fields.path("role");
    let role = match fields.string("role")?.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => return Err(ApiError::unsupported(at, "tools and functions are not supported")),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`{other}` is no role; use system, developer, user or assistant");
            return Err(ApiError::invalid(at, message));
        }
        None => return Err(ApiError::missing(at)),
    };
    let at = fields.path("content");
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => read_parts(parts, &at)?,
        Some(other) => return Err(wrong_type(&at, "a string or an array of text parts", &other)),
        None => return Err(ApiError::missing(at)),
    };
    refuse_in_message(fields, role)?;
    Ok(Message { role, content })
}

/// Text parts become one text, a line each.
fn read_parts(parts: Vec<Value>, path: &str) -> Result<String, ApiError> {
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let mut fields = Fields::of(part, &format!("{path}[{index}]"))?;
        let at = fields.path("type");
        match fields.string("type")?.as_deref() {
            Some("text") => {}
            Some(_) => return Err(ApiError::unsupported(at, "only parts of type `text` are supported")),
            None => return Err(ApiError::missing(at)),
        }
        let at = fields.path("text");
        texts.push(fields.string("text")?.ok_or_else(|| ApiError::missing(at))?);
        fields.finish()?;
    }
    Ok(texts.join("\n"))
}

/// Clients send an answer back as they got it, with fields that say nothing; fields that say something are refused.
fn refuse_in_message(mut fields: Fields, role: Role) -> Result<(), ApiError> {
    let lists: &[&str] = if role == Role::Assistant { &["tool_calls", "annotations"] } else { &[] };
    for &name in lists {
        let at = fields.path(name);
        if fields.list(name)?.is_some_and(|list| !list.is_empty()) {
            return Err(ApiError::unsupported(at, format!("`{name}` in a message is not supported")));
        }
    }
    for name in ["name", "refusal", "audio", "function_call", "tool_call_id"] {
        let at = fields.path(name);
        if fields.take(name).is_some() {
            return Err(ApiError::unsupported(at, format!("`{name}` does not reach the model; put it into `content`")));
        }
    }
    fields.finish()
}

fn take_logprobs(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let wanted = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0, 20)?;
    if top.is_some() && !wanted {
        return Err(ApiError::invalid("top_logprobs", "`top_logprobs` is allowed only with `logprobs: true`"));
    }
    Ok(wanted.then(|| u8::try_from(top.unwrap_or(0)).unwrap_or(u8::MAX)))
}
