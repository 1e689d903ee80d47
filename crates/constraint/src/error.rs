//! What can be wrong with a schema.

/// Why a schema cannot be honoured, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(path))]
pub struct SchemaError {
    /// A JSON pointer into the schema; empty for the schema as a whole.
    pub path: String,
    /// A lowercase sentence.
    pub message: String,
}

impl SchemaError {
    pub(crate) fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("at `{path}`: ") }
}
