//! Cues in the ledger: a row for every answer that was begun, written soon after its end and never waited for.

use std::sync::Arc;
use std::time::Duration;

use baton_contract::Digest;
use baton_ledger::{Ledger, MAX_TEXT_BYTES, Outbox, Room, Told};
use baton_register::Cue;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::error::ApiError;

/// Bytes of rows that may wait to be written. A request that would need more is refused before anything is computed.
const MOST_WAITING: usize = 256 << 20;
/// What a row takes beside the request: the answer, which is not known yet, and the rest.
const ROOM_FOR_ANSWERS: usize = 16 << 10;

/// How long it may take to write what was filed.
const SETTLED: Duration = Duration::from_secs(5);

/// Where cues are filed.
pub(crate) enum Filing {
    /// In the ledger.
    Ledger(Outbox),
    /// Nowhere: the ledger has decisions alone.
    Nowhere,
    /// They are asked again, and held against those that were filed once.
    Again(UnboundedSender<Cue>),
}

/// Where one cue is filed.
pub(crate) enum Place {
    Ledger(Room),
    Again(UnboundedSender<Cue>),
}

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
            return Ok(Self::Nowhere);
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
        Outbox::open(ledger, MOST_WAITING, tell).map(Self::Ledger)
    }

    /// Takes down a request; nothing if cues are not filed.
    ///
    /// # Errors
    /// The ledger cannot be written, or not this.
    pub(crate) fn take_down(&self, endpoint: &'static str, body: &Value) -> Result<Option<Said>, ApiError> {
        match self {
            Self::Nowhere => return Ok(None),
            Self::Ledger(outbox) if !outbox.is_going() => return Err(ApiError::no_ledger()),
            Self::Ledger(_) | Self::Again(_) => {}
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

    /// A place for the row of one cue.
    ///
    /// # Errors
    /// Too much waits to be written.
    pub(crate) fn place(&self, said: &Said) -> Result<Place, ApiError> {
        match self {
            Self::Nowhere => Err(ApiError::no_ledger()),
            Self::Ledger(outbox) => {
                let room = outbox.room(said.body.len() + ROOM_FOR_ANSWERS).ok_or_else(ApiError::ledger_busy)?;
                Ok(Place::Ledger(room))
            }
            Self::Again(rows) => Ok(Place::Again(rows.clone())),
        }
    }

    /// Tells of the row of a decision, which goes its own way into the ledger, and of the rules that stand on it.
    pub(crate) fn decided(&self, row: &Cue, rules: Option<Digest>) {
        if let Self::Again(rows_of) = self {
            // Whoever asked again may have left.
            _ = rows_of.send(Cue { rules, ..row.clone() });
        }
    }

    /// Whether cues are taken, as far as the ledger goes.
    pub(crate) fn is_going(&self) -> bool {
        match self {
            Self::Ledger(outbox) => outbox.is_going(),
            Self::Nowhere | Self::Again(_) => true,
        }
    }

    /// Whether what is filed can be read again.
    pub(crate) fn keeps(&self) -> bool {
        matches!(self, Self::Ledger(_))
    }

    /// Waits until all is written that was filed so far. Blocks on the disk.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub(crate) fn settle(&self) -> Result<(), ApiError> {
        match self {
            Self::Ledger(outbox) if !outbox.settle(SETTLED) => Err(ApiError::no_ledger()),
            Self::Ledger(_) | Self::Nowhere | Self::Again(_) => Ok(()),
        }
    }

    /// Writes what waits, and ends. Blocks on the disk.
    pub(crate) fn close(&self) {
        if let Self::Ledger(outbox) = self {
            outbox.close();
        }
    }
}

impl Place {
    /// Files a row there.
    pub(crate) fn file(self, row: Cue) {
        let room = match self {
            Self::Ledger(room) => room,
            Self::Again(rows) => {
                // Whoever asked again may have left.
                _ = rows.send(row);
                return;
            }
        };
        let entry = row.entry().or_else(|error| {
            tracing::warn!(id = row.id, %error, "the ledger keeps the digests of this answer alone");
            row.entry_without_texts()
        });
        match entry {
            Ok(entry) => room.put(entry),
            Err(error) => tracing::error!(id = row.id, %error, "an answer was given that the ledger does not have"),
        }
    }
}
