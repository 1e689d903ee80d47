//! A path's parameters.

use std::collections::HashMap;

use crate::error::ApiError;

/// A parameter that says yes or no.
///
/// # Errors
/// It says neither.
pub(crate) fn flag(name: &str, text: &str) -> Result<bool, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(name, format!("`{name}` is `true` or `false`")))
}

/// Refuses parameters that would be ignored.
///
/// # Errors
/// Names the first that is not among `known`.
pub(crate) fn only(query: &HashMap<String, String>, known: &[&str]) -> Result<(), ApiError> {
    let unknown = query.keys().filter(|name| !known.contains(&name.as_str())).min();
    unknown.map_or(Ok(()), |name| Err(ApiError::unknown(name.chars().take(80).collect::<String>())))
}
