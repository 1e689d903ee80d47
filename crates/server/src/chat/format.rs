//! `response_format`, as OpenAI has it.

use baton_constraint::Schema;

use crate::error::ApiError;
use crate::form::refused;
use crate::json::Fields;

/// The schema that the caller wants the answer in; none for `{"type": "text"}`.
///
/// `json_object` is any object. Whether `json_schema` is `strict` makes no difference: a schema that is taken is always
/// held to, and one that cannot be is refused.
pub(super) fn take(fields: &mut Fields) -> Result<Option<Schema>, ApiError> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    let at = format.path("type");
    let schema = match format.string("type")?.as_deref() {
        Some("text") => None,
        Some("json_object") => Some(Schema::any_object()),
        Some("json_schema") => Some(json_schema(&mut format)?),
        Some(_) => {
            return Err(ApiError::invalid(at, "a response format is of type `text`, `json_object` or `json_schema`"));
        }
        None => return Err(ApiError::missing(at)),
    };
    format.finish()?;
    Ok(schema)
}

fn json_schema(format: &mut Fields) -> Result<Schema, ApiError> {
    let at = format.path("json_schema");
    let mut asked = format.object("json_schema")?.ok_or_else(|| ApiError::missing(at))?;
    let schema = named_schema(&mut asked, "response_format")?;
    asked.finish()?;
    Ok(schema)
}

/// Takes name and schema of the format that the field `field` asks for.
///
/// # Errors
/// Names the first that is wrong.
pub(crate) fn named_schema(asked: &mut Fields, field: &str) -> Result<Schema, ApiError> {
    let at = asked.path("name");
    let name = asked.string("name")?.ok_or_else(|| ApiError::missing(&at))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        return Err(ApiError::invalid(at, "the name has 1 to 64 letters, digits, `_` or `-`"));
    }
    // Only for the caller's own books: the model is told in the messages what it should write.
    asked.string("description")?;
    asked.flag("strict")?;
    match asked.take("schema") {
        None => Ok(Schema::any_object()),
        Some(schema) => Schema::read(&schema).map_err(|error| refused(field, &error)),
    }
}
