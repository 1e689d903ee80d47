//! Tools: how a model is told of functions, how its calls stand in a chat, and how calls are read from what it writes.
//!
//! Each family writes calls in a form of its own ([`CallForm`]), which is found out from the chat template. Whatever a
//! template does not show of tools, calls and results is written into the messages here (`writing.rs`), in the form that
//! the model is then read by ([`CallReader`]).

mod form;
mod head;
mod reader;
pub(crate) mod writing;

pub use form::{CallForm, Mark, Named};
pub use reader::{CallPart, CallReader};

use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// A function that the model may ask its caller to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// A JSON Schema of its arguments.
    pub parameters: Value,
}

/// A call that stands in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result refers to.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What it was called with.
    pub arguments: Map<String, Value>,
}

/// Whose result a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
}

impl Tool {
    /// As OpenAI and Hugging Face's templates have it.
    pub(crate) fn described(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".to_owned(), json!(self.name));
        if let Some(description) = &self.description {
            function.insert("description".to_owned(), json!(description));
        }
        function.insert("parameters".to_owned(), self.parameters.clone());
        json!({"type": "function", "function": function})
    }
}
