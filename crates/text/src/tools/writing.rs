//! Tools, calls and results in the messages, where a template shows none.

use serde_json::{Map, Value, json};

use super::{CallForm, ToolCall};
use crate::shield::Shield;
use crate::template::python_json;
use crate::{ChatMessage, Role};

/// What a template shows by itself; found out by trying it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shows {
    pub(crate) tools: Place,
    pub(crate) calls: bool,
    pub(crate) results: bool,
}

/// Where a template looks for tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Nowhere,
    /// In `tools`, beside the messages.
    Beside,
    /// In the system message, as its `tools`.
    InSystem,
}

/// Marks every text of a JSON value.
pub(crate) fn mark_json(shield: &Shield, value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(shield.mark(text).into_owned()),
        Value::Array(items) => items.iter().map(|item| mark_json(shield, item)).collect(),
        Value::Object(members) => Value::Object(mark_members(shield, members)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Marks names and values.
pub(crate) fn mark_members(shield: &Shield, members: &Map<String, Value>) -> Map<String, Value> {
    members.iter().map(|(name, value)| (shield.mark(name).into_owned(), mark_json(shield, value))).collect()
}

/// The messages with all that the template does not show written into them. `tools` are as templates have them; what
/// comes from callers is marked already, since what is written here may hold control tokens.
pub(crate) fn written(messages: Vec<ChatMessage>, tools: &[Value], form: &CallForm, shows: Shows) -> Vec<ChatMessage> {
    let mut all: Vec<ChatMessage> = Vec::with_capacity(messages.len() + 1);
    // Results that wait for a user's message to stand in, or for its end.
    let mut results: Vec<String> = Vec::new();
    for mut message in messages {
        if message.role == Role::Tool && !shows.results {
            results.push(format!("<tool_response>\n{}\n</tool_response>", message.content));
            continue;
        }
        if !results.is_empty() {
            let told = std::mem::take(&mut results).join("\n");
            if message.role == Role::User {
                message.content = format!("{told}\n\n{}", message.content);
            } else {
                all.push(ChatMessage::user(told));
            }
        }
        if !message.calls.is_empty() && !shows.calls {
            let calls = calls(&std::mem::take(&mut message.calls), form);
            let between = if message.content.is_empty() { "" } else { "\n" };
            message.content = format!("{}{between}{calls}", message.content);
        }
        all.push(message);
    }
    if !results.is_empty() {
        all.push(ChatMessage::user(results.join("\n")));
    }
    if !tools.is_empty() && shows.tools == Place::Nowhere {
        let first = all.iter().take_while(|message| message.role.is_system()).count();
        all.insert(first, ChatMessage::system(lesson(tools, form)));
    }
    all
}

/// What a model is told of tools whose template says nothing of them.
fn lesson(tools: &[Value], form: &CallForm) -> String {
    let listed: Vec<String> = tools.iter().map(python_json).collect();
    let shape = format!("{{\"name\": <the tool's name>, \"{}\": <an object with its arguments>}}", form.arguments);
    let how = match (&form.open, &form.close) {
        (Some(open), _) if form.named.is_some() => {
            let (name, arguments) = ("<the tool's name>", "<an object with its arguments>");
            format!("write this, once for each call:\n{}{}", open.text(), named(form, name, "<an id>", arguments))
        }
        (Some(open), Some(close)) if !form.bare => {
            format!("write this, once for each call:\n{}\n{shape}\n{}", open.text(), close.text())
        }
        _ => format!("answer with this alone:\n{shape}"),
    };
    format!(
        "You can call tools. These are the tools, each with a JSON Schema of its arguments:\n<tools>\n{}\n</tools>\n\
         To call a tool, {how}\n\
         The result then stands between <tool_response> and </tool_response>. Where no tool helps, answer in plain words.",
        listed.join("\n")
    )
}

/// Calls as the model would have written them.
fn calls(calls: &[ToolCall], form: &CallForm) -> String {
    let object = |call: &ToolCall| python_json(&json!({"name": call.name, form.arguments: call.arguments}));
    let objects: Vec<String> = calls.iter().map(object).collect();
    if form.named.is_some() {
        let one = |call: &ToolCall| {
            let arguments = python_json(&json!(call.arguments));
            let open = form.open.as_ref().map_or("", super::Mark::text);
            format!("{open}{}", named(form, &call.name, &short_id(&call.id), &arguments))
        };
        return calls.iter().map(one).collect();
    }
    let (open, close) =
        (form.open.as_ref().map_or("", super::Mark::text), form.close.as_ref().map_or("", super::Mark::text));
    match (form.list, form.bare) {
        (true, _) => format!("{open}[{}]{close}", objects.join(", ")),
        (false, true) => objects.join("\n"),
        (false, false) => {
            objects.iter().map(|object| format!("{open}\n{object}\n{close}")).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A call as its name and then its arguments.
fn named(form: &CallForm, name: &str, id: &str, arguments: &str) -> String {
    let Some(named) = &form.named else { return String::new() };
    let id = named.id.as_ref().map_or(String::new(), |mark| format!("{}{id}", mark.text()));
    format!("{name}{id}{}{arguments}", named.arguments.text())
}

/// The last nine letters and digits of an id, which is what Mistral's templates take.
pub(crate) fn short_id(id: &str) -> String {
    let plain: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let last: String = plain.iter().skip(plain.len().saturating_sub(9)).collect();
    format!("{last:0>9}")
}
