//! Options that exclude each other: there, `oneOf` means what `anyOf` means, which is easier to draw by.

use serde_json::{Map, Value};

use crate::schema::target;

/// Steps into references and conjunctions, from one option.
const STEPS: usize = 8;

/// The schema with `anyOf` in place of each `oneOf` of which no value can meet two options.
pub(crate) fn simplified(root: &Value) -> Value {
    rewritten(root, root)
}

fn rewritten(schema: &Value, root: &Value) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let inner = |schema: &Value| rewritten(schema, root);
    let exclusive = |options: &[Value]| {
        let apart = |(at, a): (usize, &Value)| options[at + 1..].iter().all(|b| excludes(a, b, root));
        !keywords.contains_key("anyOf") && options.iter().enumerate().all(apart)
    };
    let mut new = Map::new();
    for (keyword, value) in keywords {
        let of_kind = match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(map)) => {
                Value::Object(map.iter().map(|(name, schema)| (name.clone(), inner(schema))).collect())
            }
            ("items" | "additionalProperties", _) => inner(value),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(list)) => {
                Value::Array(list.iter().map(inner).collect())
            }
            _ => value.clone(),
        };
        let is_exclusive = keyword == "oneOf" && value.as_array().is_some_and(|options| exclusive(options));
        new.insert(if is_exclusive { "anyOf".to_owned() } else { keyword.clone() }, of_kind);
    }
    Value::Object(new)
}

/// Whether it is plain that no value meets both.
fn excludes(a: &Value, b: &Value, root: &Value) -> bool {
    let (a, b) = (conjuncts(a, root), conjuncts(b, root));
    let shared = kinds(&a) & kinds(&b);
    if shared == 0 || apart(literals(&a).as_deref(), literals(&b).as_deref()) {
        return true;
    }
    // Objects that name themselves: a member that both must have, with values of its own in each.
    let needed = |schemas: &[&Value]| -> Vec<String> {
        let lists = schemas.iter().filter_map(|schema| schema.get("required")?.as_array());
        lists.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let others = needed(&b);
    shared == OBJECT
        && needed(&a).iter().any(|name| {
            others.contains(name) && apart(named(&a, name, root).as_deref(), named(&b, name, root).as_deref())
        })
}

/// The values of a member that are listed.
fn named<'a>(schemas: &[&'a Value], name: &str, root: &'a Value) -> Option<Vec<&'a Value>> {
    let members = schemas.iter().filter_map(|schema| schema.get("properties")?.get(name));
    literals(&members.flat_map(|member| conjuncts(member, root)).collect::<Vec<_>>())
}

/// A schema with all that its references and `allOf` lead to: a value that meets it meets each.
fn conjuncts<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![schema];
    let mut at = 0;
    while at < all.len() && at < STEPS {
        let schema = all[at];
        all.extend(schema.get("$ref").and_then(Value::as_str).and_then(|reference| target(root, reference)));
        all.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        at += 1;
    }
    all
}

/// The values that are listed, if they are listed at all.
fn literals<'a>(schemas: &[&'a Value]) -> Option<Vec<&'a Value>> {
    schemas.iter().find_map(|schema| match (schema.get("const"), schema.get("enum")) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(Value::Array(list))) => Some(list.iter().collect()),
        _ => None,
    })
}

/// Whether both are lists of plain values, and share none. Numbers may be equal that are spelled differently.
fn apart(a: Option<&[&Value]>, b: Option<&[&Value]>) -> bool {
    let plain = |list: &[&Value]| list.iter().all(|one| one.is_string() || one.is_boolean() || one.is_null());
    match (a, b) {
        (Some(a), Some(b)) => plain(a) && plain(b) && !a.iter().any(|one| b.contains(one)),
        _ => false,
    }
}

const OBJECT: u8 = 1;

/// The kinds of value that meet all of these, as bits; an integer is a number.
fn kinds(schemas: &[&Value]) -> u8 {
    let one = |name: &str| match name {
        "object" => OBJECT,
        "array" => 2,
        "string" => 4,
        "number" | "integer" => 8,
        "boolean" => 16,
        _ => 32,
    };
    schemas.iter().fold(63, |kinds, schema| match schema.get("type") {
        Some(Value::String(name)) => kinds & one(name),
        Some(Value::Array(names)) => {
            kinds & names.iter().filter_map(Value::as_str).map(one).fold(0, |all, kind| all | kind)
        }
        _ => kinds,
    })
}
