//! What stands in messages, tool calls and instructions, as text.

use std::collections::HashMap;

use baton_text::{ChatMessage, Role};
use serde_json::Value;

use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Limits on a part of JSON, as in OpenAI's API.
const JSON_LEVELS: usize = 32;
const JSON_VALUES: usize = 10_000;
const JSON_BYTES: usize = 256 << 10;

/// Kinds of parts that a content may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts(&'static [&'static str]);

/// What users and instructions may say.
pub(super) const FULL: Parts = Parts(&["input_text", "input_json"]);
/// What systems and tools may say.
const TEXT: Parts = Parts(&["input_text"]);
/// What was answered before.
const SAID: Parts = Parts(&["output_text", "refusal"]);

/// Calls of tools that were made so far: what they called, by their id.
#[derive(Default)]
pub(super) struct Calls(HashMap<String, (&'static str, String)>);

impl Calls {
    /// One item of the input as a message.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong or unknown.
    pub(super) fn read(&mut self, item: Value, path: &str) -> Result<ChatMessage, ApiError> {
        let mut fields = Fields::of(item, path)?;
        let at = fields.path("type");
        match fields.string("type")?.as_deref() {
            None | Some("message") => read_message(fields),
            Some("function_call") => self.call(fields, "function_call_output", "arguments"),
            Some("custom_tool_call") => self.call(fields, "custom_tool_call_output", "input"),
            Some("function_call_output") => self.output(fields, "function_call_output"),
            Some("custom_tool_call_output") => self.output(fields, "custom_tool_call_output"),
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                Err(ApiError::unsupported(at, format!("items of type `{other}` are not supported")))
            }
        }
    }

    /// A call is something that the assistant said.
    fn call(&mut self, mut fields: Fields, output: &'static str, argument: &str) -> Result<ChatMessage, ApiError> {
        let id = required(&mut fields, "call_id")?;
        let name = required(&mut fields, "name")?;
        let name = match fields.string("namespace")? {
            Some(namespace) => format!("{namespace}.{name}"),
            None => name,
        };
        let argument = required(&mut fields, argument)?;
        let text = format!("Call of {name}:\n{argument}");
        let at = fields.path("call_id");
        drop_status(&mut fields)?;
        fields.finish()?;
        if self.0.insert(id, (output, name)).is_some() {
            return Err(ApiError::invalid(at, "two calls have this `call_id`; give each its own"));
        }
        Ok(ChatMessage::assistant(text))
    }

    /// What a tool says is something that the model is told.
    fn output(&mut self, mut fields: Fields, kind: &'static str) -> Result<ChatMessage, ApiError> {
        let at = fields.path("call_id");
        let id = required(&mut fields, "call_id")?;
        let name = self.0.get(&id).filter(|(output, _)| *output == kind).map(|(_, name)| name.clone());
        let name = name.ok_or_else(|| ApiError::invalid(at, "no call before this has the same `call_id`"))?;
        let text = content(&mut fields, "output", TEXT)?;
        drop_status(&mut fields)?;
        fields.finish()?;
        Ok(ChatMessage::user(format!("Result of {name}:\n{text}")))
    }
}

fn read_message(mut fields: Fields) -> Result<ChatMessage, ApiError> {
    let at = fields.path("role");
    let (role, parts) = match fields.string("role")?.as_deref() {
        Some("user") => (Role::User, FULL),
        Some("system") => (Role::System, TEXT),
        Some("developer") => (Role::Developer, TEXT),
        Some("assistant") => (Role::Assistant, SAID),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`{other}` is no role; use system, developer, user or assistant");
            return Err(ApiError::invalid(at, message));
        }
        None => return Err(ApiError::missing(at)),
    };
    let text = content(&mut fields, "content", parts)?;
    if role == Role::Assistant {
        // Clients send an answer back with the phase it was given in, which says nothing to the model.
        one_of(&mut fields, "phase", &["commentary", "final_answer"])?;
    }
    fields.finish()?;
    Ok(ChatMessage::new(role, text))
}

/// Takes a string or a list of parts; parts become one text, a line each.
pub(super) fn content(fields: &mut Fields, name: &str, kinds: Parts) -> Result<String, ApiError> {
    let at = fields.path(name);
    match fields.take(name) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate();
            let texts: Result<Vec<String>, _> =
                parts.map(|(index, part)| read_part(part, &format!("{at}[{index}]"), kinds)).collect();
            Ok(texts?.join("\n"))
        }
        Some(other) => Err(wrong_type(&at, "a string or an array of parts", &other)),
        None => Err(ApiError::missing(at)),
    }
}

fn read_part(part: Value, path: &str, kinds: Parts) -> Result<String, ApiError> {
    let mut fields = Fields::of(part, path)?;
    let at = fields.path("type");
    let kind = required(&mut fields, "type")?;
    if kind == "input_image" {
        return Err(ApiError::unsupported(at, "images are not supported; this model reads text only"));
    }
    if !kinds.0.contains(&kind.as_str()) {
        let message = format!("only parts of type {} are taken here", kinds.0.join(" and "));
        return Err(ApiError::invalid(at, message));
    }
    let text = match kind.as_str() {
        "input_json" => json(&mut fields)?,
        "refusal" => required(&mut fields, "refusal")?,
        _ => required(&mut fields, "text")?,
    };
    if kind == "input_text" {
        // A hint for a cache; ours is keyed by what is in it.
        let at = fields.path("prompt_cache_breakpoint");
        if let Some(mut hint) = fields.object("prompt_cache_breakpoint")? {
            one_of(&mut hint, "mode", &["explicit"])?.ok_or_else(|| ApiError::missing(format!("{at}.mode")))?;
            hint.finish()?;
        }
    }
    fields.finish()?;
    Ok(text)
}

/// An object, or an array of them, as compact JSON.
fn json(fields: &mut Fields) -> Result<String, ApiError> {
    let at = fields.path("data");
    let data = fields.take("data").ok_or_else(|| ApiError::missing(&at))?;
    let is_object = match &data {
        Value::Array(items) => items.iter().all(Value::is_object),
        other => other.is_object(),
    };
    if !is_object {
        return Err(wrong_type(&at, "an object or an array of objects", &data));
    }
    let (levels, values) = extent(&data);
    let text = data.to_string();
    if levels > JSON_LEVELS || values > JSON_VALUES || text.len() > JSON_BYTES {
        let message = format!("`{at}` takes {JSON_LEVELS} levels, {JSON_VALUES} values and {JSON_BYTES} bytes at most");
        return Err(ApiError::invalid(at, message));
    }
    Ok(text)
}

/// Levels of arrays and objects, and values of any kind. The body's own limits bound the depth.
fn extent(value: &Value) -> (usize, usize) {
    let inner = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(extent).fold((1, 1), |(levels, values), (deep, many)| (levels.max(deep + 1), values + many))
    };
    match value {
        Value::Array(items) => inner(&mut items.iter()),
        Value::Object(entries) => inner(&mut entries.values()),
        _ => (0, 1),
    }
}

/// What clients send back as they got it, and what says nothing to the model.
fn drop_status(fields: &mut Fields) -> Result<(), ApiError> {
    fields.string("id")?;
    one_of(fields, "status", &["in_progress", "completed", "incomplete"]).map(|_| ())
}

pub(super) fn required(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let at = fields.path(name);
    fields.string(name)?.ok_or_else(|| ApiError::missing(at))
}

/// Takes one of a few words.
pub(super) fn one_of(fields: &mut Fields, name: &str, words: &[&str]) -> Result<Option<String>, ApiError> {
    let at = fields.path(name);
    let word = fields.string(name)?;
    if word.as_deref().is_some_and(|word| !words.contains(&word)) {
        let message = format!("`{at}` must be {}", words.join(" or "));
        return Err(ApiError::invalid(at, message));
    }
    Ok(word)
}
