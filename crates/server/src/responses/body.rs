//! The response object, whether it was just made or is read again.

use serde_json::{Map, Value, json};

use crate::cue::Call;
use crate::tools::{call_id, derived_id};

/// What does not change while a response is made.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: String,
    /// The twin's name, or the model's.
    pub(super) model: String,
    /// The request as it was filed.
    pub(super) filed: Value,
    /// What Baton says of it.
    pub(super) baton: Value,
    /// Whether it can be read again.
    pub(super) store: bool,
}

/// How a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// It had reached its length.
    Incomplete,
    Cancelled,
    Failed,
}

/// What there is of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// How the items of such a response stand.
    pub(super) fn of_items(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete | Self::Cancelled | Self::Failed => "incomplete",
        }
    }
}

impl Head {
    /// The response; `error` says what was wrong with one that failed.
    pub(super) fn body(&self, status: Status, output: &[Value], usage: Option<&Value>, error: Option<&str>) -> Value {
        let asked = |name: &str, otherwise: Value| {
            self.filed.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(otherwise)
        };
        let why = (status == Status::Incomplete).then(|| json!({"reason": "max_output_tokens"}));
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.filed["baton"]["created_at"],
            "status": status.name(),
            "background": asked("background", json!(false)),
            "error": error.map(|message| json!({"code": "server_error", "message": message})),
            "incomplete_details": why,
            "instructions": asked("instructions", Value::Null),
            "max_output_tokens": asked("max_output_tokens", Value::Null),
            "model": self.model,
            "output": output,
            "parallel_tool_calls": asked("parallel_tool_calls", json!(true)),
            "previous_response_id": self.filed["baton"]["previous_response_id"],
            "reasoning": {"effort": null, "summary": null},
            "store": self.store,
            "temperature": asked("temperature", Value::Null),
            "text": asked("text", json!({"format": {"type": "text"}})),
            "tool_choice": asked("tool_choice", json!("auto")),
            "tools": asked("tools", json!([])),
            "top_p": asked("top_p", Value::Null),
            "truncation": "disabled",
            "usage": usage,
            "user": asked("user", Value::Null),
            "metadata": asked("metadata", Value::Object(Map::new())),
            "baton": self.baton,
        })
    }

    /// The items of an answer: what was said, if anything was or nothing was called, then the calls.
    pub(super) fn output(&self, said: &Said, status: Status) -> Vec<Value> {
        let text = (said.calls.is_empty() || !said.text.is_empty()).then(|| self.message(&said.text, status));
        let first = usize::from(text.is_some());
        let calls = said.calls.iter().enumerate().map(|(number, call)| self.call(first + number, number, call, status));
        text.into_iter().chain(calls).collect()
    }

    /// The message of an answer, always the first item.
    pub(super) fn message(&self, text: &str, status: Status) -> Value {
        json!({
            "id": self.message_id(),
            "type": "message",
            "status": status.of_items(),
            "role": "assistant",
            "content": [text_part(text)],
        })
    }

    /// The `number`th call, which is the item at `place`.
    pub(super) fn call(&self, place: usize, number: usize, call: &Call, status: Status) -> Value {
        json!({
            "id": self.call_item_id(place),
            "type": "function_call",
            "status": status.of_items(),
            "call_id": call_id(&self.id, 0, number),
            "name": call.name,
            "arguments": call.arguments,
        })
    }

    pub(super) fn message_id(&self) -> String {
        derived_id("msg", &format!("{} output 0", self.id))
    }

    pub(super) fn call_item_id(&self, place: usize) -> String {
        derived_id("fc", &format!("{} output {place}", self.id))
    }
}

pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Tokens that were read and written; how many of the first were reused is known of a new response only.
pub(super) fn usage(input: usize, cached: Option<usize>, output: usize) -> Value {
    let mut usage = json!({
        "input_tokens": input,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input + output,
    });
    if let Some(cached) = cached {
        usage["input_tokens_details"] = json!({"cached_tokens": cached});
    }
    usage
}
