//! Replies that stay to be read: rows of answers, found again by the reply's id, and the row that says that one is told
//! no more.

use baton_contract::ConductorId;
use baton_ledger::{Filter, NewEntry, Reader, Record, Text};
use jiff::Timestamp;
use serde::Deserialize;

use crate::Error;
use crate::cue::Ended;
use crate::kinds::{CUE, REPLY};

/// A reply that the ledger has.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptReply {
    /// Who asked for it.
    pub conductor: String,
    /// The endpoint, as its path.
    pub endpoint: String,
    /// What was asked for as `model`.
    pub target: String,
    /// When it was over.
    pub at: Timestamp,
    /// What the draws began with.
    pub seed: u64,
    /// How it ended.
    pub ended: Ended,
    /// Whether its answer had reached its length.
    pub at_length: bool,
    /// Tokens that were read and written.
    pub tokens: (usize, usize),
    /// The request's body and the answer; none if they were erased.
    pub texts: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Body {
    endpoint: String,
    target: String,
    seed: String,
    drawn: Option<DrawnBody>,
    input_tokens: usize,
    output_tokens: usize,
    ended: Ended,
}

#[derive(Deserialize)]
struct DrawnBody {
    at_length: usize,
}

impl KeptReply {
    /// Finds the reply with an id; none if there is none, or whoever asked for it has deleted it.
    ///
    /// # Errors
    /// The ledger cannot be read, or its row or its texts cannot.
    pub fn find(reader: &Reader, id: &str) -> Result<Option<Self>, Error> {
        let kinds = vec![CUE.to_owned(), REPLY.to_owned()];
        let rows = reader.find(&Filter { kinds, subject: Some(id.to_owned()), ..Filter::default() })?.records;
        if rows.iter().any(|row| row.kind == REPLY) {
            return Ok(None);
        }
        rows.first().map(Self::read).transpose()
    }

    fn read(row: &Record) -> Result<Self, Error> {
        let bad = |problem: String| Error::Row { index: row.index, kind: row.kind.clone(), problem };
        let body: Body = serde_json::from_str(&row.body).map_err(|error| bad(error.to_string()))?;
        let text = |name: &str| match row.texts.get(name) {
            Some(Text::Readable(opened)) => Ok(Some(opened.text.to_string())),
            // One that was too long for a row is gone, too.
            Some(Text::Erased { .. }) | None => Ok(None),
            Some(Text::Sealed) => Err(bad("the installation's secret is not there".to_owned())),
            Some(Text::Damaged(problem)) => Err(bad((*problem).to_owned())),
        };
        Ok(Self {
            conductor: row.actor.clone(),
            at: row.at,
            seed: body.seed.parse().map_err(|_| bad("its seed is no number".to_owned()))?,
            at_length: body.drawn.is_some_and(|drawn| drawn.at_length > 0),
            tokens: (body.input_tokens, body.output_tokens),
            texts: text("request")?.zip(text("answer")?),
            endpoint: body.endpoint,
            target: body.target,
            ended: body.ended,
        })
    }

    /// The row that says that the reply with this id is told no more; its texts stay until they are erased.
    ///
    /// # Errors
    /// The id is no label.
    pub fn deletion(id: &str, by: &ConductorId, at: Timestamp) -> Result<NewEntry, baton_ledger::Error> {
        NewEntry::new(REPLY, at, by.as_str())?.about(id)?.body(r#"{"event": "deleted", "v": 1}"#)
    }
}
