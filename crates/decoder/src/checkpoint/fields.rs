//! The fields of a description, each of one type.

use serde_json::{Map, Value as Json};

use super::{CONFIG, wrong};
use crate::Error;

/// The fields of a description.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Json>);

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(&self, name: &str, is: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong(CONFIG, format!("`{name}` is not {is}")))
    }

    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, "a whole number", Json::as_u64)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        self.typed(name, "a number", Json::as_f64)
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false", Json::as_bool)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "a string", Json::as_str)
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Error> {
        Ok(self.typed(name, "an object", Json::as_object)?.map(Fields))
    }

    pub(super) fn needed<T>(name: &str, found: Option<T>) -> Result<T, Error> {
        found.ok_or_else(|| wrong(CONFIG, format!("it has no `{name}`")))
    }
}
