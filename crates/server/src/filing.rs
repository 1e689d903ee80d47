//! Cues in the ledger: a row for every answer that was begun, written soon after its end and never waited for.

use std::sync::Arc;

use baton_ledger::{Ledger, MAX_TEXT_BYTES, Outbox, Room, Told};
use serde_json::Value;

use crate::error::ApiError;

/// Bytes of rows that may wait to be written. A request that would need more is refused before anything is computed.
const MOST_WAITING: usize = 256 << 20;
/// What a row takes beside the request: the answer, which is not known yet, and the rest.
const ROOM_FOR_ANSWERS: usize = 16 << 10;

/// Where cues are filed; nowhere if the ledger has decisions alone.
pub(crate) struct Filing(Option<Outbox>);

/// What a caller sent, and where.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) endpoint: &'static str,
    /// The request's body, as JSON.
    pub(crate) body: Arc<str>,
}

impl Filing {
    /// Files into `ledger`, if every cue is to be there.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn open(ledger: Ledger, every_cue: bool) -> std::io::Result<Self> {
        if !every_cue {
            return Ok(Self(None));
        }
        let tell = |told: Told| match told {
            Told::Stuck(error) => {
                tracing::error!(%error, "the ledger cannot be written; no cue is answered until it can");
            }
            Told::Going => tracing::info!("the ledger can be written again"),
            Told::Lost(rows, error) => {
                tracing::error!(rows, %error, "answers were given that the ledger does not have");
            }
        };
        Outbox::open(ledger, MOST_WAITING, tell).map(|outbox| Self(Some(outbox)))
    }

    /// Takes down a request; nothing if cues are not filed.
    ///
    /// # Errors
    /// The ledger cannot be written, or not this.
    pub(crate) fn take_down(&self, endpoint: &'static str, body: &Value) -> Result<Option<Said>, ApiError> {
        let Some(outbox) = &self.0 else { return Ok(None) };
        if !outbox.is_going() {
            return Err(ApiError::no_ledger());
        }
        let body = body.to_string();
        if body.len() > MAX_TEXT_BYTES {
            return Err(ApiError::body_too_large(MAX_TEXT_BYTES));
        }
        Ok(Some(Said { endpoint, body: body.into() }))
    }

    /// Takes down a request whose answer is a decision, which is recorded also where cues are not.
    ///
    /// # Errors
    /// The ledger cannot be written, or not this.
    pub(crate) fn take_down_decided(&self, endpoint: &'static str, body: &Value) -> Result<Said, ApiError> {
        let said = self.take_down(endpoint, body)?;
        Ok(said.unwrap_or_else(|| Said { endpoint, body: body.to_string().into() }))
    }

    /// Room for the row of one cue.
    ///
    /// # Errors
    /// Too much waits to be written.
    pub(crate) fn room(&self, said: &Said) -> Result<Room, ApiError> {
        let outbox = self.0.as_ref().ok_or_else(ApiError::no_ledger)?;
        outbox.room(said.body.len() + ROOM_FOR_ANSWERS).ok_or_else(ApiError::ledger_busy)
    }

    /// Whether cues are taken, as far as the ledger goes.
    pub(crate) fn is_going(&self) -> bool {
        self.0.as_ref().is_none_or(Outbox::is_going)
    }

    /// Writes what waits, and ends. Blocks on the disk.
    pub(crate) fn close(&self) {
        if let Some(outbox) = &self.0 {
            outbox.close();
        }
    }
}
