//! A schema that has been read.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::SchemaError;
use crate::keywords::Reader;

/// A JSON Schema whose every keyword can be honoured. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<Inner>);

pub(crate) struct Inner {
    /// As it is checked: annotations left out, formats as patterns.
    root: Value,
    /// Every pattern in `root`, compiled.
    patterns: HashMap<String, Regex>,
    /// Paths of every `oneOf`, whose options must exclude each other, and of every `allOf`.
    pub(crate) doubtful: Vec<String>,
}

impl Schema {
    /// Reads a schema of draft 2020-12.
    ///
    /// Annotations are left out. `additionalProperties` is true where it is absent, as the draft has it.
    ///
    /// # Errors
    /// The first keyword that is malformed, not known, out of bounds or cannot be honoured, with its path.
    pub fn read(schema: &Value) -> Result<Self, SchemaError> {
        let mut reader = Reader::new(schema)?;
        let root = reader.root()?;
        let Reader { patterns, doubtful, .. } = reader;
        Ok(Self(Arc::new(Inner { root, patterns, doubtful })))
    }

    /// Reads the schema of a tool's arguments, which are an object. One that names properties and says nothing of others
    /// takes no others: a function has the parameters that it has.
    ///
    /// # Errors
    /// As [`Schema::read`], or it is not the schema of an object.
    pub fn read_arguments(schema: &Value) -> Result<Self, SchemaError> {
        let Value::Object(keywords) = schema else {
            return Err(SchemaError::new("", "a schema is an object"));
        };
        let mut keywords = keywords.clone();
        let combined = ["$ref", "anyOf", "oneOf", "allOf"].iter().any(|name| keywords.contains_key(*name));
        if !combined {
            keywords.entry("type").or_insert_with(|| json!("object"));
        }
        if keywords.get("type").is_none_or(|name| name != "object") {
            return Err(SchemaError::new("", "arguments are an object: `type` is `object`"));
        }
        if keywords.contains_key("properties") {
            keywords.entry("additionalProperties").or_insert(Value::Bool(false));
        }
        Self::read(&Value::Object(keywords))
    }

    /// Any JSON object.
    pub fn any_object() -> Self {
        let root = json!({"type": "object"});
        Self(Arc::new(Inner { root, patterns: HashMap::new(), doubtful: Vec::new() }))
    }

    pub(crate) fn root(&self) -> &Value {
        &self.0.root
    }

    pub(crate) fn pattern(&self, text: &str) -> Option<&Regex> {
        self.0.patterns.get(text)
    }

    pub(crate) fn doubtful(&self) -> &[String] {
        &self.0.doubtful
    }

    /// What a `$ref` leads to; every one that is in the schema was looked up when it was read.
    pub(crate) fn target(&self, reference: &str) -> Option<&Value> {
        target(self.root(), reference)
    }
}

/// What `#` or `#/$defs/name` leads to.
pub(crate) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let path = reference.strip_prefix('#')?;
    if path.is_empty() {
        return Some(root);
    }
    let (folder, name) = path.strip_prefix('/')?.split_once('/')?;
    ["$defs", "definitions"].contains(&folder).then_some(())?;
    root.get(folder).and_then(Value::as_object).and_then(|definitions: &Map<String, Value>| definitions.get(name))
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.root())
    }
}
