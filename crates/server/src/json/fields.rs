//! The fields of one object, taken out one by one.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// An object of the request. A field that is `null` counts as absent, as in OpenAI's API.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// How error messages name a field of this object: empty at the top, else for example `messages[0].`.
    path: String,
}

impl Fields {
    /// The fields of the body itself.
    ///
    /// # Errors
    /// The body is not an object.
    pub(crate) fn of_body(body: Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(map) => Ok(Self { map, path: String::new() }),
            other => Err(ApiError::malformed(format_args!("expected an object, not {}", kind_of(&other)))),
        }
    }

    /// The fields of the object `value` that stands at `path`.
    ///
    /// # Errors
    /// It is not an object.
    pub(crate) fn of(value: Value, path: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { map, path: format!("{path}.") }),
            other => Err(wrong_type(path, "an object", &other)),
        }
    }

    /// How error messages name the field.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Takes a field of any type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(&self.path(name), "a string", &other)),
        }
    }

    /// Takes a boolean; absent is `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(wrong_type(&self.path(name), "a boolean", &other)),
        }
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f32>, ApiError> {
        self.take(name).map(|value| number(&value, &self.path(name))).transpose()
    }

    /// Takes an integer between `low` and `high`.
    pub(crate) fn integer(&mut self, name: &str, low: u32, high: u32) -> Result<Option<u32>, ApiError> {
        self.take(name).map(|value| integer(&value, &self.path(name), low, high)).transpose()
    }

    /// Takes a list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(wrong_type(&self.path(name), "an array", &other)),
        }
    }

    /// Takes an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        self.take(name).map(|value| Fields::of(value, &path)).transpose()
    }

    /// Takes an object as its entries.
    pub(crate) fn entries(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        Ok(self.object(name)?.map(|fields| fields.map))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Names the first field that nobody has taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::unknown(self.path(&name.chars().take(80).collect::<String>()))),
        }
    }
}

/// A JSON type in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value of the wrong type at `path`.
pub(crate) fn wrong_type(path: &str, wanted: &str, found: &Value) -> ApiError {
    ApiError::invalid(path, format!("`{path}` must be {wanted}, not {}", kind_of(found)))
}

/// The value as a finite number.
pub(crate) fn number(value: &Value, path: &str) -> Result<f32, ApiError> {
    #[expect(clippy::cast_possible_truncation, reason = "ranges are checked on the narrow number")]
    value.as_f64().map(|wide| wide as f32).ok_or_else(|| wrong_type(path, "a number", value))
}

/// The value as an integer between `low` and `high`.
pub(crate) fn integer(value: &Value, path: &str, low: u32, high: u32) -> Result<u32, ApiError> {
    if !(value.is_u64() || value.is_i64()) {
        return Err(wrong_type(path, "an integer", value));
    }
    let fits = value.as_u64().and_then(|wide| u32::try_from(wide).ok()).filter(|n| (low..=high).contains(n));
    fits.ok_or_else(|| ApiError::invalid(path, format!("`{path}` must be between {low} and {high}, not {value}")))
}
