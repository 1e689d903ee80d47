//! `spec.json`: a JSON Schema that answers must meet.

use serde_json::Value;

use crate::Finding;
use crate::source::Source;

/// Keywords of which a schema that says anything has at least one at its top.
const KEYWORDS: [&str; 9] = ["type", "properties", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "required"];
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];

/// Reads a spec as far as its form goes: an object that says something about the answer.
pub(crate) fn parse(source: Source<'_>) -> Result<Value, Finding> {
    let value: Value = serde_json::from_str(source.text).map_err(|error| {
        // serde_json ends its sentence with the place, which the finding carries itself.
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(sentence, _)| sentence);
        Finding::error(source.path, format!("not JSON: {message}")).at((error.line().max(1), error.column().max(1)))
    })?;
    let refuse = |message: String| Finding::error(source.path, message).hint("write a JSON Schema for the answer");
    let Value::Object(schema) = &value else {
        return Err(refuse("a spec is a JSON object".to_owned()));
    };
    if !KEYWORDS.iter().any(|keyword| schema.contains_key(*keyword)) {
        return Err(refuse(format!("the schema says nothing: none of {} is there", KEYWORDS.join(", "))));
    }
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match schema.get("type") {
        Some(Value::Array(types)) if !types.is_empty() && types.iter().all(known) => {}
        Some(value) if !known(value) => {
            return Err(refuse(format!("`type` must be one of {}, or a list of them", TYPES.join(", "))));
        }
        _ => {}
    }
    Ok(value)
}
