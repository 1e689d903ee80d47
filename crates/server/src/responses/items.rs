//! What is said in a response's input and output, item by item.

use std::collections::HashMap;

use baton_text::{Answered, ToolCall};
use serde_json::{Value, json};

use crate::chat::{Message, Role};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};
use crate::tools::{derived_id, read_arguments};

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Message { role: Role, text: String },
    Call { id: String, name: String, arguments: String },
    Result { id: String, text: String },
}

/// Reads the items of an input, one after the other.
#[derive(Default)]
pub(super) struct Reader {
    /// The names of the tools that were called so far, by the ids of the calls.
    called: HashMap<String, String>,
    /// What they come to as messages of a chat.
    pub(super) messages: Vec<Message>,
    pub(super) items: Vec<Item>,
}

impl Reader {
    /// Takes an input: a text of the user's, or a list of items.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(super) fn take(&mut self, input: Value, path: &str) -> Result<(), ApiError> {
        match input {
            Value::String(text) => self.push(Item::Message { role: Role::User, text }, path),
            Value::Array(list) => {
                for (index, value) in list.into_iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let item = read_item(value, &path)?;
                    self.push(item, &path)?;
                }
                Ok(())
            }
            other => Err(wrong_type(path, "a string or an array of items", &other)),
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// It is the result of no call, or a call with arguments that are none.
    fn push(&mut self, item: Item, path: &str) -> Result<(), ApiError> {
        let message =
            |role, content: &str| Message { role, content: content.to_owned(), calls: Vec::new(), answered: None };
        match &item {
            Item::Message { role, text } => self.messages.push(message(*role, text)),
            Item::Call { id, name, arguments } => {
                let arguments = read_arguments(arguments, &format!("{path}.arguments"))?;
                self.called.insert(id.clone(), name.clone());
                // Calls stand in the message of what was said before them.
                if self.messages.last().is_none_or(|last| last.role != Role::Assistant) {
                    self.messages.push(message(Role::Assistant, ""));
                }
                if let Some(last) = self.messages.last_mut() {
                    last.calls.push(ToolCall { id: id.clone(), name: name.clone(), arguments });
                }
            }
            Item::Result { id, text } => {
                let unknown =
                    || ApiError::invalid(format!("{path}.call_id"), "no call before this has the same `call_id`");
                let name = self.called.get(id).cloned().ok_or_else(unknown)?;
                let answered = Some(Answered { id: id.clone(), name });
                self.messages.push(Message { answered, ..message(Role::Tool, text) });
            }
        }
        self.items.push(item);
        Ok(())
    }
}

impl Item {
    /// As it is filed and listed; items have ids where they are listed.
    pub(super) fn json(&self, id: Option<&str>) -> Value {
        let mut item = match self {
            Self::Message { role, text } => {
                let kind = if *role == Role::Assistant { "output_text" } else { "input_text" };
                let mut part = json!({"type": kind, "text": text});
                if *role == Role::Assistant {
                    part["annotations"] = json!([]);
                }
                json!({"type": "message", "role": role_name(*role), "content": [part]})
            }
            Self::Call { id, name, arguments } => {
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            }
            Self::Result { id, text } => json!({"type": "function_call_output", "call_id": id, "output": text}),
        };
        if let Some(id) = id {
            item["id"] = json!(id);
            item["status"] = json!("completed");
        }
        item
    }

    /// The id of the `index`th item of the input of a response.
    pub(super) fn id(&self, response: &str, index: usize) -> String {
        let label = match self {
            Self::Message { .. } => "msg",
            Self::Call { .. } => "fc",
            Self::Result { .. } => "fco",
        };
        derived_id(label, &format!("{response} input {index}"))
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn read_item(value: Value, path: &str) -> Result<Item, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let at = fields.path("type");
    let item = match fields.string("type")?.as_deref() {
        None | Some("message") => read_message(&mut fields)?,
        Some("function_call") => Item::Call {
            id: required(&mut fields, "call_id")?,
            name: required(&mut fields, "name")?,
            arguments: required(&mut fields, "arguments")?,
        },
        Some("function_call_output") => {
            Item::Result { id: required(&mut fields, "call_id")?, text: take_text(&mut fields, "output")? }
        }
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            return Err(ApiError::unsupported(at, format!("items of type `{other}` are not supported")));
        }
    };
    // Clients send items back as they got them.
    for name in ["id", "status", "phase", "parsed_arguments"] {
        fields.take(name);
    }
    fields.finish()?;
    Ok(item)
}

fn read_message(fields: &mut Fields) -> Result<Item, ApiError> {
    let at = fields.path("role");
    let role = match fields.string("role")?.as_deref() {
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`{other}` is no role; use system, developer, user or assistant");
            return Err(ApiError::invalid(at, message));
        }
        None => return Err(ApiError::missing(at)),
    };
    Ok(Item::Message { role, text: take_text(fields, "content")? })
}

/// Takes a string, or a list of parts, which become one text, a line each.
fn take_text(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let at = fields.path(name);
    match fields.take(name) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate();
            let texts: Vec<String> =
                parts.map(|(index, part)| read_part(part, &format!("{at}[{index}]"))).collect::<Result<_, _>>()?;
            Ok(texts.join("\n"))
        }
        Some(other) => Err(wrong_type(&at, "a string or an array of parts", &other)),
        None => Err(ApiError::missing(at)),
    }
}

fn read_part(part: Value, path: &str) -> Result<String, ApiError> {
    let mut fields = Fields::of(part, path)?;
    let at = fields.path("type");
    let name = match fields.string("type")?.as_deref() {
        Some("input_text" | "output_text" | "text") => "text",
        Some("refusal") => "refusal",
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            return Err(ApiError::unsupported(at, format!("parts of type `{other}` are not supported, only text")));
        }
        None => return Err(ApiError::missing(at)),
    };
    let text = required(&mut fields, name)?;
    for name in ["annotations", "logprobs", "parsed"] {
        fields.take(name);
    }
    fields.finish()?;
    Ok(text)
}

fn required(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let at = fields.path(name);
    fields.string(name)?.ok_or_else(|| ApiError::missing(at))
}
