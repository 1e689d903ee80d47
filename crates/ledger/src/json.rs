//! Canonical JSON: one text for one value.
//!
//! The keys of an object are sorted by their bytes in UTF-8, there is no space between tokens, a key that comes
//! twice is refused. What has been canonicalised is stored and hashed as that text and never written anew.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// A JSON value whose objects are sorted.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// The canonical text of a JSON object, or what is wrong with it.
pub(crate) fn canonical_object(text: &str) -> Result<String, String> {
    let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !matches!(json, Json::Object(_)) {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::to_string(&json).map_err(|error| error.to_string())
}

/// A string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(fields) => serializer.collect_map(fields),
        }
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if let Some(twice) = fields.insert(key.clone(), value) {
                drop(twice);
                return Err(A::Error::custom(format!("the key {} comes twice", quoted(&key))));
            }
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_value() {
        let rows = [
            ("{}", "{}"),
            (r#" { "b" : 1 , "a" : [ true , null , -2 , 0.5 ] } "#, r#"{"a":[true,null,-2,0.5],"b":1}"#),
            (r#"{"é":"\u00e9\n","Z":{"y":1,"x":2}}"#, "{\"Z\":{\"x\":2,\"y\":1},\"é\":\"é\\n\"}"),
            (r#"{"n":18446744073709551615}"#, r#"{"n":18446744073709551615}"#),
        ];
        for (text, canonical) in rows {
            assert_eq!(canonical_object(text).as_deref(), Ok(canonical));
            assert_eq!(canonical_object(canonical).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        for (text, problem) in [
            ("[1]", "not a JSON object"),
            (r#"{"a":1,"a":2}"#, "comes twice"),
            (r#"{"x":{"a":1,"\u0061":2}}"#, "comes twice"),
            (r#"{"a":1} {"a":1}"#, "trailing"),
            (r#"{"a":1e999}"#, "out of range"),
            ("{\"a\":", "EOF"),
            (&format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000)), "recursion"),
        ] {
            let error = canonical_object(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
