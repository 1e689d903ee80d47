//! Whether a finished answer meets its schema.

use std::cell::Cell;

use serde_json::{Map, Value};

use crate::Schema;
use crate::limits::{CHECK_NESTING, CHECK_STEPS};

/// What an answer breaks first, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{path}`: {message}")]
pub struct Breach {
    /// A JSON pointer into the answer, `/` for the answer as a whole.
    pub path: String,
    /// A lowercase sentence, without what the answer says.
    pub message: String,
}

impl Schema {
    /// Checks a finished answer.
    ///
    /// # Errors
    /// The first keyword that it breaks. A check that would take very many steps is a breach too.
    pub fn check(&self, answer: &Value) -> Result<(), Breach> {
        Checker { schema: self, steps: Cell::new(CHECK_STEPS) }.value(self.root(), answer, At { path: "", depth: 0 })
    }
}

struct Checker<'a> {
    schema: &'a Schema,
    /// Steps that are left.
    steps: Cell<u32>,
}

#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a str,
    depth: usize,
}

type Checked = Result<(), Breach>;

impl At<'_> {
    fn breach(self, message: impl Into<String>) -> Breach {
        let path = if self.path.is_empty() { "/" } else { self.path };
        Breach { path: path.to_owned(), message: message.into() }
    }

    /// Ok if `good`.
    fn expect(self, good: bool, message: impl FnOnce() -> String) -> Checked {
        if good { Ok(()) } else { Err(self.breach(message())) }
    }
}

impl Checker<'_> {
    fn value(&self, schema: &Value, value: &Value, at: At<'_>) -> Checked {
        let left = self.steps.get().checked_sub(1).filter(|_| at.depth < CHECK_NESTING);
        self.steps.set(left.ok_or_else(|| at.breach("it cannot be checked within bounds"))?);
        let at = At { depth: at.depth + 1, ..at };
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            other => return at.expect(other == true, || "nothing may stand here".to_owned()),
        };
        for (keyword, wanted) in keywords {
            self.keyword((keyword, wanted), value, at)?;
        }
        match value {
            Value::Object(members) => self.members(keywords, members, at),
            Value::Array(items) => self.items(keywords, items, at),
            _ => Ok(()),
        }
    }

    fn keyword(&self, (keyword, wanted): (&str, &Value), value: &Value, at: At<'_>) -> Checked {
        let good = |option: &&Value| self.value(option, value, at).is_ok();
        let options = || wanted.as_array().into_iter().flatten();
        match keyword {
            "type" => at.expect(is_type(wanted, value), || format!("it must be of type {wanted}")),
            "const" => at.expect(equal(wanted, value), || "it must be the one value that is allowed".to_owned()),
            "enum" => {
                at.expect(options().any(|one| equal(one, value)), || "it is none of the allowed values".to_owned())
            }
            "$ref" => match wanted.as_str().and_then(|reference| self.schema.target(reference)) {
                Some(target) => self.value(target, value, at),
                None => Err(at.breach("its schema is missing")),
            },
            "allOf" => options().try_for_each(|option| self.value(option, value, at)),
            "anyOf" => at.expect(options().any(|option| good(&option)), || "it meets none of the options".to_owned()),
            "oneOf" => {
                at.expect(options().filter(good).count() == 1, || "it must meet exactly one of the options".to_owned())
            }
            _ => match value {
                Value::String(text) => self.text((keyword, wanted), text, at),
                Value::Number(_) => number((keyword, wanted), value, at),
                _ => Ok(()),
            },
        }
    }

    fn text(&self, (keyword, wanted): (&str, &Value), text: &str, at: At<'_>) -> Checked {
        let length = || text.chars().count() as u64;
        let bound = wanted.as_u64().unwrap_or_default();
        match keyword {
            "minLength" => at.expect(length() >= bound, || format!("it must have at least {bound} characters")),
            "maxLength" => at.expect(length() <= bound, || format!("it must have at most {bound} characters")),
            "pattern" => {
                let pattern = wanted.as_str().and_then(|pattern| self.schema.pattern(pattern));
                at.expect(pattern.is_some_and(|pattern| pattern.is_match(text)), || {
                    "it does not match the pattern".to_owned()
                })
            }
            _ => Ok(()),
        }
    }

    fn members(&self, keywords: &Map<String, Value>, members: &Map<String, Value>, at: At<'_>) -> Checked {
        for name in keywords.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            at.expect(members.contains_key(name), || format!("`{name}` is missing"))?;
        }
        let count = members.len() as u64;
        let bound = |name: &str| keywords.get(name).and_then(Value::as_u64);
        if let Some(least) = bound("minProperties") {
            at.expect(count >= least, || format!("it must have at least {least} members"))?;
        }
        if let Some(most) = bound("maxProperties") {
            at.expect(count <= most, || format!("it must have at most {most} members"))?;
        }
        for (name, value) in members {
            let shown: String = name.chars().take(80).collect();
            let path = format!("{}/{shown}", at.path);
            self.schemas_for(keywords, name)
                .try_for_each(|schema| self.value(schema, value, At { path: &path, ..at }))?;
        }
        Ok(())
    }

    /// What the member `name` must meet: its own schema and those of the patterns that it matches, or else that of all others.
    fn schemas_for<'s>(&'s self, keywords: &'s Map<String, Value>, name: &str) -> impl Iterator<Item = &'s Value> {
        let map = |keyword: &str| keywords.get(keyword).and_then(Value::as_object);
        let own = map("properties").and_then(|named| named.get(name));
        let matches = |pattern: &str| self.schema.pattern(pattern).is_some_and(|pattern| pattern.is_match(name));
        let patterns = map("patternProperties").into_iter().flatten();
        let mut found: Vec<&Value> = own.into_iter().collect();
        found.extend(patterns.filter(|(pattern, _)| matches(pattern)).map(|(_, schema)| schema));
        if found.is_empty() {
            found.extend(keywords.get("additionalProperties"));
        }
        found.into_iter()
    }

    fn items(&self, keywords: &Map<String, Value>, items: &[Value], at: At<'_>) -> Checked {
        let bound = |name: &str| keywords.get(name).and_then(Value::as_u64);
        let count = items.len() as u64;
        if let Some(least) = bound("minItems") {
            at.expect(count >= least, || format!("it must have at least {least} items"))?;
        }
        if let Some(most) = bound("maxItems") {
            at.expect(count <= most, || format!("it must have at most {most} items"))?;
        }
        let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(keywords.get("items")) {
                let path = format!("{}/{index}", at.path);
                self.value(schema, item, At { path: &path, ..at })?;
            }
        }
        Ok(())
    }
}

fn number((keyword, wanted): (&str, &Value), value: &Value, at: At<'_>) -> Checked {
    let (Some(value), Some(bound)) = (value.as_f64(), wanted.as_f64()) else { return Ok(()) };
    match keyword {
        "minimum" => at.expect(value >= bound, || format!("it must be at least {bound}")),
        "maximum" => at.expect(value <= bound, || format!("it must be at most {bound}")),
        "exclusiveMinimum" => at.expect(value > bound, || format!("it must be more than {bound}")),
        "exclusiveMaximum" => at.expect(value < bound, || format!("it must be less than {bound}")),
        "multipleOf" => {
            let times = value / bound;
            let off = (times - times.round()).abs();
            at.expect(off <= 1e-9 * times.abs().max(1.0), || format!("it must be a multiple of {bound}"))
        }
        _ => Ok(()),
    }
}

fn is_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(types) => types.iter().any(|one| is_type(one, value)),
        Value::String(name) => match (name.as_str(), value) {
            ("null", Value::Null)
            | ("boolean", Value::Bool(_))
            | ("string", Value::String(_))
            | ("array", Value::Array(_))
            | ("object", Value::Object(_))
            | ("number", Value::Number(_)) => true,
            // 1.0 is an integer, as the draft has it.
            ("integer", Value::Number(number)) => {
                number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Equal as JSON Schema has it: numbers by value, objects in any order.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}
