//! What all chunks of one reply have in common.

use std::sync::Arc;

use baton_text::Tokenizer;

use crate::cue::BatonExtra;
use crate::error::ApiError;
use crate::state::AppState;

/// Constant over a reply, however many chunks it has.
pub(crate) struct Reply {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) extra: BatonExtra,
    pub(crate) tokenizer: Tokenizer,
}

impl Reply {
    /// A reply whose id begins with `label`.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub(crate) fn new(state: &Arc<AppState>, label: &str, model: &str, extra: BatonExtra) -> Result<Self, ApiError> {
        Ok(Self {
            id: new_id(label)?,
            created: (state.clock)(),
            model: model.to_owned(),
            fingerprint: state.fingerprint.clone(),
            extra,
            tokenizer: state.tokenizer.clone(),
        })
    }
}

/// A new id that begins with `label`.
///
/// # Errors
/// The operating system gives no random numbers.
pub(crate) fn new_id(label: &str) -> Result<String, ApiError> {
    let word = || getrandom::u64().map_err(|_| ApiError::internal("there are no random numbers"));
    Ok(format!("{label}-{:016x}{:016x}", word()?, word()?))
}
