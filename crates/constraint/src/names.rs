//! Names of members that are held to a list or a pattern, said in words that can be drawn by.

use serde_json::{Map, Value, json};

/// The keywords of a schema with `propertyNames` said by `properties` or `patternProperties`; none where it is something
/// else than a list of names or one pattern, or stands beside these.
pub(crate) fn spelled_out(keywords: &Map<String, Value>, root: &Value) -> Option<Map<String, Value>> {
    let names = keywords.get("propertyNames")?;
    if ["properties", "patternProperties"].iter().any(|other| keywords.contains_key(*other)) {
        return None;
    }
    let values = keywords.get("additionalProperties").unwrap_or(&Value::Bool(true));
    let (keyword, members) = members(followed(names, root)?, values)?;
    let mut new = keywords.clone();
    new.remove("propertyNames");
    new.insert(keyword.to_owned(), Value::Object(members));
    new.insert("additionalProperties".to_owned(), Value::Bool(false));
    Some(new)
}

/// What a schema that is a reference and nothing else leads to, or the schema itself.
fn followed<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    let keywords = schema.as_object()?;
    match keywords.get("$ref") {
        Some(Value::String(reference)) if keywords.len() == 1 => root.pointer(reference.strip_prefix('#')?),
        Some(_) => None,
        None => Some(schema),
    }
}

fn members(names: &Value, values: &Value) -> Option<(&'static str, Map<String, Value>)> {
    let names = names.as_object()?;
    let known = ["type", "enum", "pattern", "title", "description"];
    if names.keys().any(|keyword| !known.contains(&keyword.as_str())) {
        return None;
    }
    if names.get("type").is_some_and(|kind| *kind != json!("string")) {
        return None;
    }
    match (names.get("enum"), names.get("pattern")) {
        (Some(Value::Array(list)), None) => {
            let one = |name: &Value| Some((name.as_str()?.to_owned(), values.clone()));
            Some(("properties", list.iter().map(one).collect::<Option<_>>()?))
        }
        (None, Some(Value::String(pattern))) => {
            Some(("patternProperties", Map::from_iter([(pattern.clone(), values.clone())])))
        }
        _ => None,
    }
}
