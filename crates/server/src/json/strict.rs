//! From bytes to a value, with the checks that `serde_json` does not make.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;
/// Most values in one body: a two-byte `0,` becomes a value of some 70 bytes.
const MAX_VALUES: usize = 200_000;

/// Reads one JSON text.
///
/// # Errors
/// The text is not JSON, has a duplicate key, nests deeper than [`MAX_DEPTH`] or holds more than [`MAX_VALUES`].
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0, left: &left }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("arrays and objects are nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| de::Error::custom(format_args!("more than {MAX_VALUES} values")))?);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                let key: String = key.chars().take(80).collect();
                return Err(de::Error::custom(format_args!("duplicate key `{key}`")));
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_is_read_as_it_stands() {
        let text = r#"{"b":[1,-2,0.5,true,null,"x\u00e9\ud83d\ude00"],"a":{"b":1}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        let many = |values: usize| format!("[{}0]", "0,".repeat(values - 2)).into_bytes();
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert!(parse(&many(MAX_VALUES)).is_ok());
        let table: [(&[u8], &str); 14] = [
            (br#"{"a":1,"a":1}"#, "duplicate key `a`"),
            (br#"{"x":{"a":1,"\u0061":2}}"#, "duplicate key `a`"),
            (&deep(MAX_DEPTH + 1), "nested deeper than 64"),
            (&deep(1_000_000), "nested deeper than 64"),
            (&many(MAX_VALUES + 1), "more than 200000 values"),
            (b"", "EOF"),
            (b"{", "EOF"),
            (b"{} {}", "trailing characters"),
            (b"{\"a\":1,}", "trailing comma"),
            (b"{'a':1}", "key must be a string"),
            (b"NaN", "expected value"),
            (b"1e999", "out of range"),
            (b"\"\\ud800\"", "hex escape"),
            (b"\"\xff\"", "invalid unicode"),
        ];
        for (bytes, reason) in table {
            let error = parse(bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} should contain {reason}");
        }
    }
}
