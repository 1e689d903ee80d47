//! Where the references of a schema lead.

use serde_json::{Map, Value};

use crate::SchemaError;
use crate::keywords::{Read, Reader};

impl Reader<'_> {
    /// A reference as it is checked: `#`, or a definition of the schema's top. What another pointer leads to becomes one.
    pub(crate) fn reference(&mut self, value: &Value, at: &str) -> Read {
        let pointer = value.as_str().and_then(|text| text.strip_prefix('#'));
        let pointer =
            pointer.filter(|pointer| pointer.is_empty() || pointer.starts_with('/') && !pointer.contains('%'));
        let message = "a reference is `#` or a pointer into the same schema, as `#/$defs/name` is";
        let pointer = pointer.ok_or_else(|| SchemaError::new(at, message))?;
        let text = if pointer.is_empty() || is_definition(pointer) {
            format!("#{pointer}")
        } else {
            format!("#/$defs/{}", self.name_for(pointer, at)?)
        };
        self.references.push((at.to_owned(), text.clone()));
        Ok(Value::from(text))
    }

    /// The name among the definitions for what `pointer` leads to.
    fn name_for(&mut self, pointer: &str, at: &str) -> Result<String, SchemaError> {
        if let Some((_, name)) = self.elsewhere.iter().find(|(known, _)| known == pointer) {
            return Ok(name.clone());
        }
        if self.source.pointer(pointer).is_none() {
            let shown: String = pointer.chars().take(80).collect();
            return Err(SchemaError::new(at, format!("`#{shown}` leads nowhere")));
        }
        let taken = |name: &str| self.source.get("$defs").is_some_and(|definitions| definitions.get(name).is_some());
        let number = self.elsewhere.len();
        let mut name = format!("elsewhere-{number}");
        while taken(&name) {
            name.push('-');
        }
        self.elsewhere.push((pointer.to_owned(), name.clone()));
        Ok(name)
    }

    /// Reads what is referred to elsewhere, and puts it among the definitions of the schema's top.
    pub(crate) fn bring_here(&mut self, root: &mut Value) -> Result<(), SchemaError> {
        let mut done = 0;
        // Each may refer to more.
        while let Some((pointer, name)) = self.elsewhere.get(done).cloned() {
            done += 1;
            let source = self.source;
            let Some(target) = source.pointer(&pointer) else { continue };
            let read = self.subschema(target, &pointer, 1)?;
            let Value::Object(keywords) = root else { continue };
            let definitions = keywords.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(definitions) = definitions {
                definitions.insert(name, read);
            }
        }
        Ok(())
    }
}

/// Whether it leads to a definition of the schema's top by a plain name.
fn is_definition(pointer: &str) -> bool {
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', '~', '#']);
    ["/$defs/", "/definitions/"].iter().any(|folder| pointer.strip_prefix(folder).is_some_and(plain))
}
