//! What is written down of texts that were embedded: one row, with the digest of the vectors in the place of an answer.

use baton_authority::Principal;
use baton_contract::Digester;
use baton_encoder::EncoderCard;
use baton_register::{Cue as Row, Ended};
use jiff::Timestamp;
use serde_json::json;

use super::types::bytes;
use crate::Clock;
use crate::error::ApiError;
use crate::filing::{Place, Said};
use crate::state::AppState;

/// A row that is written when it is dropped, as that of a client that has left unless something else was said.
pub(super) struct Filed {
    /// None where cues are not filed.
    open: Option<(Row, Place)>,
    clock: Clock,
}

impl Filed {
    /// Begins with what was asked, of so many tokens.
    ///
    /// # Errors
    /// Too much waits to be written.
    pub(super) fn begin(
        state: &AppState,
        principal: &Principal,
        card: &EncoderCard,
        (said, id): (Option<&Said>, &str),
        tokens: usize,
    ) -> Result<Self, ApiError> {
        let clock = state.clock.clone();
        let Some(said) = said else { return Ok(Self { open: None, clock }) };
        let place = state.filing.place(said)?;
        let row = Row {
            id: id.to_owned(),
            conductor: principal.conductor().clone(),
            key: principal.key().clone(),
            endpoint: said.endpoint,
            target: card.id.clone(),
            pack: None,
            model: card.digest,
            adapter: None,
            rules: None,
            computed_by: state.computed_by.clone(),
            calibration: None,
            // Nothing is drawn.
            seed: 0,
            drawn: None,
            passages: Vec::new(),
            why: false,
            tokens: (tokens, 0),
            ended: Ended::Disconnected,
            request: said.body.to_string(),
            answer: String::new(),
            at: Timestamp::MIN,
        };
        Ok(Self { open: Some((row, place)), clock })
    }

    /// These are the vectors.
    pub(super) fn complete(mut self, vectors: &[Vec<f32>]) {
        let mut digester = Digester::new("baton vectors v1");
        for vector in vectors {
            digester.field(&bytes(vector));
        }
        let dimensions = vectors.first().map_or(0, Vec::len);
        let answer =
            json!({"vectors": vectors.len(), "dimensions": dimensions, "digest": digester.finish().to_string()});
        if let Some((row, _)) = &mut self.open {
            row.answer = answer.to_string();
            row.ended = Ended::Complete;
        }
    }

    /// There are none, by a fault.
    pub(super) fn failed(mut self) {
        if let Some((row, _)) = &mut self.open {
            row.ended = Ended::Failed;
        }
    }
}

impl Drop for Filed {
    fn drop(&mut self) {
        if let Some((mut row, place)) = self.open.take() {
            row.at = Timestamp::from_second((self.clock)()).unwrap_or(Timestamp::MIN);
            place.file(row);
        }
    }
}
