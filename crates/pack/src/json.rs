//! Checks on one value of an answer in JSON.

use std::fmt;

use serde_json::Value;

use crate::Pattern;

/// What must hold for the value at one place of an answer in JSON.
///
/// The whole answer, without blanks around it, must be JSON; a value that is not there meets nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonCheck {
    /// Where the value is.
    pub at: JsonPointer,
    /// What it must be.
    pub must: JsonTest,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTest {
    /// Equal. Numbers are compared as numbers (1 is 1.0), texts exactly, lists element by element.
    Equals(Value),
    /// A text in which the pattern matches somewhere; numbers, `true` and `false` count as they are written in JSON.
    Matches(Pattern),
}

/// A place in a JSON document, as RFC 6901 writes it: `""` is the whole, `/fixes/0/by` the member `by` of the first
/// element of the member `fixes`; `~1` stands for `/` and `~0` for `~` in a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(String);

impl JsonPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// Says in one line what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err("it must be empty or begin with `/`".to_owned());
        }
        let escaped = |(at, _): (usize, &str)| matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1'));
        if !text.match_indices('~').all(escaped) {
            return Err("`~` must be followed by 0 or 1: `~0` stands for `~`, `~1` for `/`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value there.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0)
    }
}

impl JsonCheck {
    /// Whether `answer` is JSON and meets the check.
    pub fn passes(&self, answer: &str) -> bool {
        let document: Option<Value> = serde_json::from_str(answer.trim()).ok();
        let value = document.as_ref().and_then(|document| self.at.find(document));
        value.is_some_and(|value| match &self.must {
            JsonTest::Equals(expected) => is_equal(value, expected),
            JsonTest::Matches(pattern) => match value {
                Value::String(text) => pattern.is_match(text),
                Value::Number(_) | Value::Bool(_) => pattern.is_match(&value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => false,
            },
        })
    }
}

impl fmt::Display for JsonCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.must {
            JsonTest::Equals(value) => write!(f, "has {value} at `{}`", self.at.0),
            JsonTest::Matches(pattern) => write!(f, "matches /{}/ at `{}`", pattern.as_str(), self.at.0),
        }
    }
}

fn is_equal(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        // Exact where both are whole: large integers do not fit an f64.
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (value, expected) => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_compared() {
        let equals = |value: Value| JsonTest::Equals(value);
        let matches = |pattern: &str| JsonTest::Matches(Pattern::compile(pattern).unwrap());
        let answer =
            r#" {"verdict": "stop", "days": 7, "fixes": [{"by": "2026-12-01"}], "a/b": {"~": true}, "of": [1, 2.0]} "#;
        let rows = [
            ("/verdict", equals("stop".into()), true),
            ("/verdict", equals("Stop".into()), false),
            ("/days", equals(7.into()), true),
            ("/days", equals(7.0.into()), true),
            ("/days", equals("7".into()), false),
            ("/days", matches("^7$"), true),
            ("/fixes/0/by", matches(r"^\d{4}-"), true),
            ("/fixes/1/by", matches(""), false),
            ("/fixes", matches(""), false),
            ("/a~1b/~0", equals(true.into()), true),
            ("/of", equals(vec![1, 2].into()), true),
            ("/of", equals(vec![1].into()), false),
            ("", equals("stop".into()), false),
        ];
        for (at, must, expected) in rows {
            let check = JsonCheck { at: JsonPointer::parse(at).unwrap(), must };
            assert_eq!(check.passes(answer), expected, "{check}");
            assert!(!check.passes("not JSON") && !check.passes(&format!("Here: {answer}")), "{check}");
        }
    }

    #[test]
    fn deep_answers_are_refused_and_not_followed() {
        let check = JsonCheck { at: JsonPointer::parse("").unwrap(), must: JsonTest::Equals(Value::Null) };
        assert!(!check.passes(&"[".repeat(1_000_000)));
        assert!(check.passes("null"));
    }

    #[test]
    fn pointers_are_read_as_the_standard_writes_them() {
        for good in ["", "/", "/a/0", "/~0~1", "/é"] {
            assert_eq!(JsonPointer::parse(good).unwrap().as_str(), good);
        }
        for bad in ["a", "$.a", "#/a", "/~", "/~2", "/a~"] {
            assert!(JsonPointer::parse(bad).is_err(), "{bad}");
        }
    }
}
