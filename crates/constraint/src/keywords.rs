//! Reads a schema: every keyword is honoured, an annotation, or refused.

use std::collections::{HashMap, HashSet};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use crate::ending::has_end;
use crate::limits::{
    BYTES, ITEMS, LENGTH, MULTIPLE, NESTING, NUMBER, OPTIONS, PATTERN_BYTES, PATTERN_CHARS, PATTERN_NESTING, PLACES,
    PROPERTIES, SUBSCHEMAS, VALUES,
};
use crate::names::spelled_out;
use crate::schema::target;
use crate::{SchemaError, format};

const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
/// Keywords that say nothing about whether an answer is right.
const ANNOTATIONS: [&str; 11] = [
    "title",
    "description",
    "$comment",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];
/// Drafts whose schemas mean the same as far as their keywords are honoured here.
const DRAFTS: [&str; 3] = ["draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema"];
/// Keywords that cannot be honoured while an answer is drawn, and what to do instead.
const REFUSED: [(&str, &str); 15] = [
    ("not", "say what is allowed, not what is not"),
    ("if", "write the alternatives with `anyOf`"),
    ("then", "write the alternatives with `anyOf`"),
    ("else", "write the alternatives with `anyOf`"),
    ("contains", "describe all items with `items`"),
    ("minContains", "describe all items with `items`"),
    ("maxContains", "describe all items with `items`"),
    ("propertyNames", "give it an `enum` or a `pattern` and nothing else, or name the properties"),
    ("dependentRequired", "write the alternatives with `anyOf`"),
    ("dependentSchemas", "write the alternatives with `anyOf`"),
    ("dependencies", "write the alternatives with `anyOf`"),
    ("unevaluatedProperties", "use `additionalProperties`"),
    ("unevaluatedItems", "use `items`"),
    ("additionalItems", "use `prefixItems` and `items`"),
    ("nullable", "add \"null\" to `type`"),
];

/// Reads one schema.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Value,
    pub(crate) patterns: HashMap<String, Regex>,
    pub(crate) doubtful: Vec<String>,
    subschemas: usize,
    pub(crate) references: Vec<(String, String)>,
    /// Pointers that lead elsewhere than to a definition of the schema's top, each with the name it gets there.
    pub(crate) elsewhere: Vec<(String, String)>,
}

pub(crate) type Read<T = Value> = Result<T, SchemaError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Value) -> Read<Self> {
        if !source.is_object() {
            return Err(SchemaError::new("", "a schema is a JSON object"));
        }
        let bytes = source.to_string().len();
        if bytes > BYTES {
            return Err(SchemaError::new("", format!("the schema has {bytes} bytes; at most {BYTES} can be honoured")));
        }
        let (patterns, doubtful, references) = (HashMap::new(), Vec::new(), Vec::new());
        Ok(Self { source, patterns, doubtful, subschemas: 0, references, elsewhere: Vec::new() })
    }

    /// The schema as it is checked.
    pub(crate) fn root(&mut self) -> Read {
        let mut root = self.subschema(self.source, "", 0)?;
        self.bring_here(&mut root)?;
        for (path, reference) in &self.references {
            if target(&root, reference).is_none() {
                let message = format!("`{}` leads nowhere", clip(reference));
                return Err(SchemaError::new(path, message));
            }
        }
        if !has_end(&root) {
            return Err(SchemaError::new("", "an answer by this schema would never end"));
        }
        Ok(root)
    }

    pub(crate) fn subschema(&mut self, schema: &Value, path: &str, depth: usize) -> Read {
        self.subschemas += 1;
        if self.subschemas > SUBSCHEMAS {
            return Err(SchemaError::new(path, format!("more than {SUBSCHEMAS} subschemas")));
        }
        if depth > NESTING {
            return Err(SchemaError::new(path, format!("schemas are nested deeper than {NESTING}")));
        }
        let keywords = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(keywords) => keywords,
            _ => return Err(SchemaError::new(path, "a schema is an object, true or false")),
        };
        let spelled_out = spelled_out(keywords, self.source);
        let mut read = Map::new();
        for (keyword, value) in spelled_out.as_ref().unwrap_or(keywords) {
            let at = format!("{path}/{}", escape(keyword));
            if ANNOTATIONS.contains(&keyword.as_str()) {
                continue;
            }
            if let Some(value) = self.keyword((keyword, value), &at, depth)? {
                read.insert(keyword.clone(), value);
            }
        }
        enough_names(&read, path)?;
        if let Some(Value::String(name)) = read.remove("format") {
            read = self.with_format(read, &name);
        }
        Ok(Value::Object(read))
    }

    /// A keyword as it is checked; none if it adds nothing.
    fn keyword(&mut self, (keyword, value): (&str, &Value), at: &str, depth: usize) -> Read<Option<Value>> {
        let is_root = depth == 0;
        match keyword {
            "type" => types(value, at)?,
            "enum" => values(value, at)?,
            "const" => literal(value, at)?,
            "required" => required(value, at)?,
            "properties" => return self.named(value, at, (depth, PROPERTIES)).map(Some),
            "$defs" | "definitions" if is_root => return self.named(value, at, (depth, SUBSCHEMAS)).map(Some),
            // Read where something refers to them.
            "$defs" | "definitions" if value.is_object() => return Ok(None),
            "patternProperties" => {
                let mut patterns = value.as_object().into_iter().flat_map(Map::keys);
                patterns.try_for_each(|text| self.pattern_text(text, at))?;
                return self.named(value, at, (depth, PROPERTIES)).map(Some);
            }
            // Every name is a string.
            "propertyNames" if [json!(true), json!({}), json!({"type": "string"})].contains(value) => return Ok(None),
            "items" if value.is_array() => {
                return Err(SchemaError::new(at, "`items` is one schema; use `prefixItems`"));
            }
            "additionalProperties" | "items" => return self.subschema(value, at, depth + 1).map(Some),
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => return self.options((keyword, value), at, depth).map(Some),
            "$ref" => return self.reference(value, at).map(Some),
            "minProperties" | "maxProperties" => count(value, at, PROPERTIES as u64)?,
            "minItems" | "maxItems" => count(value, at, ITEMS)?,
            "minLength" | "maxLength" => count(value, at, LENGTH)?,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => number(value, at)?,
            "multipleOf" => multiple(value, at)?,
            "pattern" => self.pattern(value, at)?,
            "format" => format_name(value, at)?,
            "$schema" => return draft(value, at),
            "$id" if is_root && value.is_string() => return Ok(None),
            "uniqueItems" if value == false => return Ok(None),
            _ => return Err(unknown(keyword, at)),
        }
        Ok(Some(value.clone()))
    }

    fn named(&mut self, value: &Value, at: &str, (depth, most): (usize, usize)) -> Read {
        let map = value.as_object().ok_or_else(|| SchemaError::new(at, "an object of schemas is needed"))?;
        if map.len() > most {
            return Err(SchemaError::new(at, format!("more than {most} entries")));
        }
        let mut read = Map::new();
        for (name, schema) in map {
            spellable(name, at)?;
            read.insert(name.clone(), self.subschema(schema, &format!("{at}/{}", escape(name)), depth + 1)?);
        }
        Ok(Value::Object(read))
    }

    fn options(&mut self, (keyword, value): (&str, &Value), at: &str, depth: usize) -> Read {
        let list = value.as_array().filter(|list| (1..=OPTIONS).contains(&list.len()));
        let list = list.ok_or_else(|| SchemaError::new(at, format!("an array of 1 to {OPTIONS} schemas is needed")))?;
        if ["oneOf", "allOf"].contains(&keyword) {
            self.doubtful.push(at.to_owned());
        }
        let read = |(index, schema)| self.subschema(schema, &format!("{at}/{index}"), depth + 1);
        Ok(Value::Array(list.iter().enumerate().map(read).collect::<Read<_>>()?))
    }

    fn pattern(&mut self, value: &Value, at: &str) -> Read<()> {
        let text = value.as_str().ok_or_else(|| SchemaError::new(at, "a pattern is a string"))?;
        self.pattern_text(text, at)
    }

    fn pattern_text(&mut self, text: &str, at: &str) -> Read<()> {
        if text.chars().count() > PATTERN_CHARS {
            return Err(SchemaError::new(at, format!("a pattern has {PATTERN_CHARS} characters at most")));
        }
        let refuse =
            |reason: String| SchemaError::new(at, format!("the pattern cannot be honoured: {}", clip(&reason)));
        // As JavaScript has it, `\d` and `\w` are ASCII.
        let portable = llguidance::regex_to_lark(text, "dw");
        let last = |error: &str| error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let checked = build(&portable).map_err(|error| refuse(last(&error.to_string())))?;
        llguidance::derivre::RegexBuilder::new()
            .mk_regex_for_serach(&portable)
            .map_err(|error| refuse(last(&error.to_string())))?;
        self.patterns.insert(text.to_owned(), checked);
        Ok(())
    }

    /// A format is one more pattern.
    fn with_format(&mut self, mut read: Map<String, Value>, name: &str) -> Map<String, Value> {
        let Some(pattern) = format::pattern(name) else { return read };
        // They are fixed, and a test compiles all of them.
        if let Ok(compiled) = build(pattern) {
            self.patterns.insert(pattern.to_owned(), compiled);
        }
        if read.contains_key("pattern") {
            let all = read.entry("allOf").or_insert_with(|| json!([]));
            if let Value::Array(all) = all {
                all.push(json!({ "pattern": pattern }));
            }
        } else {
            read.insert("pattern".to_owned(), Value::from(pattern));
        }
        read
    }
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).nest_limit(PATTERN_NESTING).build()
}

fn types(value: &Value, at: &str) -> Read<()> {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let good = match value {
        Value::Array(list) => !list.is_empty() && list.len() <= TYPES.len() && list.iter().all(known),
        one => known(one),
    };
    if good { Ok(()) } else { Err(SchemaError::new(at, format!("a type is one of {}", TYPES.join(", ")))) }
}

fn values(value: &Value, at: &str) -> Read<()> {
    let list = value.as_array().filter(|list| (1..=VALUES).contains(&list.len()));
    let list = list.ok_or_else(|| SchemaError::new(at, format!("an array of 1 to {VALUES} values is needed")))?;
    list.iter().enumerate().try_for_each(|(index, value)| literal(value, &format!("{at}/{index}")))
}

/// A value that stands for itself; numbers must be exact wherever they stand.
fn literal(value: &Value, at: &str) -> Read<()> {
    match value {
        Value::Number(_) => number(value, at),
        Value::Array(list) => list.iter().try_for_each(|item| literal(item, at)),
        Value::Object(map) => {
            map.iter().try_for_each(|(name, item)| spellable(name, at).and_then(|()| literal(item, at)))
        }
        Value::String(text) => spellable(text, at),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// Text that stands for itself is drawn as it is, so what JSON spells only by a code cannot be in it.
fn spellable(text: &str, at: &str) -> Read<()> {
    match text.chars().find(|c| *c < ' ' && !"\n\r\t\u{8}\u{c}".contains(*c)) {
        None => Ok(()),
        Some(found) => Err(SchemaError::new(at, format!("the control character {found:?} cannot be drawn"))),
    }
}

/// A name that is not among the required ones may be drawn twice, so one more than these can be asked for and no more.
fn enough_names(read: &Map<String, Value>, path: &str) -> Read<()> {
    let needed = read.get("minProperties").and_then(Value::as_u64).unwrap_or_default();
    let named = read.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    if needed <= named + 1 {
        return Ok(());
    }
    let message = "`minProperties` can be honoured up to one more than `required` names; list what is needed there";
    Err(SchemaError::new(&format!("{path}/minProperties"), message))
}

fn required(value: &Value, at: &str) -> Read<()> {
    let names: Option<Vec<&str>> = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let names = names.ok_or_else(|| SchemaError::new(at, "an array of names is needed"))?;
    names.iter().try_for_each(|name| spellable(name, at))?;
    let distinct: HashSet<&&str> = names.iter().collect();
    if names.len() > PROPERTIES || distinct.len() < names.len() {
        return Err(SchemaError::new(at, format!("at most {PROPERTIES} names, none of them twice")));
    }
    Ok(())
}

fn count(value: &Value, at: &str, most: u64) -> Read<()> {
    match value.as_u64().filter(|count| *count <= most) {
        Some(_) => Ok(()),
        None => Err(SchemaError::new(at, format!("an integer from 0 to {most} is needed"))),
    }
}

fn number(value: &Value, at: &str) -> Read<()> {
    let fits = |number: f64| number.abs() <= NUMBER && (number == 0.0 || number.abs() >= 1e-9);
    match value.as_f64().filter(|number| fits(*number)) {
        Some(_) => Ok(()),
        None => Err(SchemaError::new(at, "a number is needed that is exact: up to 2^53, not closer to 0 than 1e-9")),
    }
}

fn multiple(value: &Value, at: &str) -> Read<()> {
    let whole = |number: f64| (0..=PLACES).map(|places| number * 10_f64.powi(places)).find(|scaled| near(*scaled));
    match value.as_f64().filter(|number| *number > 0.0).and_then(whole).filter(|scaled| *scaled <= MULTIPLE) {
        Some(_) => Ok(()),
        None => Err(SchemaError::new(at, "`multipleOf` is a number from 0.000001 to 1000 of three digits at most")),
    }
}

/// Whether a number is a positive integer but for rounding.
pub(crate) fn near(number: f64) -> bool {
    number.round() >= 1.0 && (number - number.round()).abs() < 1e-6
}

fn format_name(value: &Value, at: &str) -> Read<()> {
    match value.as_str().and_then(format::pattern) {
        Some(_) => Ok(()),
        None => Err(SchemaError::new(at, format!("the formats that can be honoured are {}", format::names()))),
    }
}

fn draft(value: &Value, at: &str) -> Read<Option<Value>> {
    let known = |text: &str| DRAFTS.iter().any(|draft| text.trim_end_matches('#').ends_with(draft));
    match value.as_str().filter(|text| known(text)) {
        Some(_) => Ok(None),
        None => Err(SchemaError::new(at, "only schemas of draft 2020-12, 2019-09 and 7 can be honoured")),
    }
}

fn unknown(keyword: &str, at: &str) -> SchemaError {
    let keyword = clip(keyword);
    let message = match REFUSED.iter().find(|(refused, _)| *refused == keyword) {
        Some((_, instead)) => format!("`{keyword}` cannot be honoured while an answer is drawn; {instead}"),
        None if keyword == "uniqueItems" => "`uniqueItems` cannot be honoured while an answer is drawn".to_owned(),
        None if keyword == "$id" => "`$id` stands at the top of a schema only".to_owned(),
        None => format!("`{keyword}` is not a keyword that can be honoured"),
    };
    SchemaError::new(at, message)
}

/// A name inside a JSON pointer.
fn escape(name: &str) -> String {
    clip(name).replace('~', "~0").replace('/', "~1")
}

/// Text from outside is shown, but never at length.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
