//! The messages of a chat as they are read.

use std::collections::HashMap;

use baton_text::{Answered, ToolCall};
use serde_json::Value;

use super::types::{Message, Role};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};
use crate::tools::read_arguments;

/// The names of the tools that were called so far, by the ids of the calls.
type Called = HashMap<String, String>;

/// Takes all messages.
///
/// # Errors
/// Names the first field that is missing, wrong, not supported or unknown.
pub(crate) fn take(fields: &mut Fields) -> Result<Vec<Message>, ApiError> {
    let list = fields.list("messages")?.ok_or_else(|| ApiError::missing("messages"))?;
    if list.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty; give at least one"));
    }
    let mut called = Called::new();
    let read = |(index, value)| read_message(value, &format!("messages[{index}]"), &mut called);
    list.into_iter().enumerate().map(read).collect()
}

fn read_message(value: Value, path: &str, called: &mut Called) -> Result<Message, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let at = fields.path("role");
    let role = match fields.string("role")?.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        Some("function") => return Err(ApiError::unsupported(at, "functions are not supported; use tools")),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`{other}` is no role; use system, developer, user, assistant or tool");
            return Err(ApiError::invalid(at, message));
        }
        None => return Err(ApiError::missing(at)),
    };
    let calls = if role == Role::Assistant { take_calls(&mut fields, called)? } else { Vec::new() };
    let answered = if role == Role::Tool { Some(take_answered(&mut fields, called)?) } else { None };
    let at = fields.path("content");
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => read_parts(parts, &at)?,
        Some(other) => return Err(wrong_type(&at, "a string or an array of text parts", &other)),
        None if !calls.is_empty() => String::new(),
        None => return Err(ApiError::missing(at)),
    };
    refuse_in_message(fields, role)?;
    Ok(Message { role, content, calls, answered })
}

fn take_calls(fields: &mut Fields, called: &mut Called) -> Result<Vec<ToolCall>, ApiError> {
    let path = fields.path("tool_calls");
    let list = fields.list("tool_calls")?.unwrap_or_default();
    list.into_iter().enumerate().map(|(index, value)| read_call(value, &format!("{path}[{index}]"), called)).collect()
}

fn read_call(value: Value, path: &str, called: &mut Called) -> Result<ToolCall, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let at = fields.path("type");
    if fields.string("type")?.is_some_and(|name| name != "function") {
        return Err(ApiError::unsupported(at, "only calls of type `function` are supported"));
    }
    let at = fields.path("id");
    let id = fields.string("id")?.ok_or_else(|| ApiError::missing(at))?;
    // Clients leave in a call what they had put there when they read it as a stream.
    fields.take("index");
    let at = fields.path("function");
    let mut function = fields.object("function")?.ok_or_else(|| ApiError::missing(at))?;
    fields.finish()?;
    let at = function.path("name");
    let name = function.string("name")?.ok_or_else(|| ApiError::missing(at))?;
    let at = function.path("arguments");
    let arguments = function.string("arguments")?.ok_or_else(|| ApiError::missing(&at))?;
    let arguments = read_arguments(&arguments, &at)?;
    function.take("parsed_arguments");
    function.finish()?;
    called.insert(id.clone(), name.clone());
    Ok(ToolCall { id, name, arguments })
}

fn take_answered(fields: &mut Fields, called: &Called) -> Result<Answered, ApiError> {
    let at = fields.path("tool_call_id");
    let id = fields.string("tool_call_id")?.ok_or_else(|| ApiError::missing(&at))?;
    // Some clients repeat it; the call has it.
    fields.string("name")?;
    let unknown = || ApiError::invalid(&at, format!("`{at}` is the id of no call in a message before"));
    let name = called.get(&id).cloned().ok_or_else(unknown)?;
    Ok(Answered { id, name })
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
    if role == Role::Assistant {
        let at = fields.path("annotations");
        if fields.list("annotations")?.is_some_and(|list| !list.is_empty()) {
            return Err(ApiError::unsupported(at, "`annotations` in a message is not supported"));
        }
        // What a client had read from the content by itself.
        fields.take("parsed");
    }
    for name in ["name", "refusal", "audio", "function_call", "tool_call_id"] {
        let at = fields.path(name);
        if fields.take(name).is_some() {
            return Err(ApiError::unsupported(at, format!("`{name}` does not reach the model; put it into `content`")));
        }
    }
    fields.finish()
}
