//! A path's parameters.

use std::collections::HashMap;

use crate::error::ApiError;

/// Refuses parameters that would be ignored.
///
/// # Errors
/// Names the first that is not among `known`.
pub(crate) fn only(query: &HashMap<String, String>, known: &[&str]) -> Result<(), ApiError> {
    let unknown = query.keys().filter(|name| !known.contains(&name.as_str())).min();
    unknown.map_or(Ok(()), |name| Err(ApiError::unknown(name.chars().take(80).collect::<String>())))
}
