//! Whether any answer by a schema has an end.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::schema::target;

/// Whether some answer of finite length can meet a schema that refers to itself.
///
/// What a reference leads to is taken to have no end until it is found to have one; each round finds at least one more.
pub(crate) fn has_end(root: &Value) -> bool {
    let definitions =
        ["$defs", "definitions"].into_iter().filter_map(|folder| Some((folder, root.get(folder)?.as_object()?)));
    let names = definitions.flat_map(|(folder, map)| map.keys().map(move |name| format!("#/{folder}/{name}")));
    let mut open: Vec<String> = names.chain(["#".to_owned()]).collect();
    let mut ended = HashSet::new();
    loop {
        let before = open.len();
        let (found, rest): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|name| target(root, name).is_some_and(|schema| ends(schema, &ended)));
        ended.extend(found);
        open = rest;
        if ended.contains("#") {
            return true;
        }
        if open.len() == before {
            return false;
        }
    }
}

fn ends(schema: &Value, ended: &HashSet<String>) -> bool {
    let Value::Object(keywords) = schema else { return schema == true };
    let list = |name: &str| keywords.get(name).and_then(Value::as_array);
    let one = |schema: &Value| ends(schema, ended);
    let referred = keywords.get("$ref").and_then(Value::as_str).is_none_or(|name| ended.contains(name));
    let all = list("allOf").is_none_or(|options| options.iter().all(one));
    let any = ["anyOf", "oneOf"].iter().all(|name| list(name).is_none_or(|options| options.iter().any(one)));
    let listed = keywords.contains_key("enum") || keywords.contains_key("const");
    referred && all && any && (listed || types(keywords, &one))
}

/// Whether there is a type of which a value has an end.
fn types(keywords: &Map<String, Value>, ends: &dyn Fn(&Value) -> bool) -> bool {
    let of_type = |name: &str| match name {
        "object" => members(keywords).all(ends) && one_more(keywords, ends),
        "array" => items(keywords).all(ends),
        _ => true,
    };
    match keywords.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(of_type),
        Some(name) => name.as_str().is_some_and(of_type),
    }
}

/// The schemas of the members that an object must have.
fn members(keywords: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let named = keywords.get("properties").and_then(Value::as_object);
    let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    // A name that a pattern may match is taken to have a value.
    let others = keywords.get("additionalProperties").filter(|_| !keywords.contains_key("patternProperties"));
    required.filter_map(move |name| named.and_then(|map| map.get(name)).or(others))
}

/// Whether, if there must be a member that is not required, there is one of which a value has an end.
fn one_more(keywords: &Map<String, Value>, ends: &dyn Fn(&Value) -> bool) -> bool {
    let least = keywords.get("minProperties").and_then(Value::as_u64).unwrap_or_default();
    let required = keywords.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let map = |keyword: &str| keywords.get(keyword).and_then(Value::as_object).into_iter().flatten();
    let named = map("properties").filter(|(name, _)| !required.iter().any(|one| one == name.as_str()));
    least <= required.len() as u64
        || named.chain(map("patternProperties")).any(|(_, schema)| ends(schema))
        || keywords.get("additionalProperties").is_none_or(ends)
}

/// The schemas of the items that an array must have.
fn items(keywords: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let least = keywords.get("minItems").and_then(Value::as_u64).unwrap_or_default();
    let least = usize::try_from(least).unwrap_or(usize::MAX);
    let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let rest = (least > first.len()).then(|| keywords.get("items")).flatten();
    first.iter().take(least).chain(rest)
}
