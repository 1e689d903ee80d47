//! Answers that went out while the ledger could not be written, told as soon as it can be.

use baton_ledger::{Filter, NewEntry, Reader};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::kinds::GAP;

/// Most gaps that are read: the newest ones.
const MOST: usize = 1000;

/// So many answers that the ledger does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub answers: u64,
    /// When the first was given.
    pub from: Timestamp,
    /// When the last was given.
    pub until: Timestamp,
}

/// The body of the row, version 1.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u32,
    answers: u64,
    from: String,
    until: String,
}

impl Gap {
    /// One answer.
    pub fn of_one(at: Timestamp) -> Self {
        Self { answers: 1, from: at, until: at }
    }

    /// The two as one.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            from: self.from.min(other.from),
            until: self.until.max(other.until),
        }
    }

    /// The row that tells of it, written at `at` by `by`.
    ///
    /// # Errors
    /// Whoever writes it has no valid name.
    pub fn entry(&self, by: &str, at: Timestamp) -> Result<NewEntry, baton_ledger::Error> {
        let Self { answers, from, until } = self;
        let body = Body { v: 1, answers: *answers, from: from.to_string(), until: until.to_string() };
        let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        NewEntry::new(GAP, at, by)?.body(&json)
    }
}

/// What the ledger tells of answers that it does not have, from a time on; the oldest first. Blocks on the disk.
///
/// # Errors
/// The ledger cannot be read, or has a row that is not one of this version.
pub fn gaps_of(reader: &Reader, since: Timestamp) -> Result<Vec<Gap>, Error> {
    let filter =
        Filter { kinds: vec![GAP.to_owned()], from: Some(since), newest_first: true, limit: MOST, ..Filter::default() };
    let page = reader.find(&filter)?;
    let read = |record: &baton_ledger::Record| {
        let broken = |problem: String| Error::Row { index: record.index, kind: record.kind.clone(), problem };
        let body: Body = serde_json::from_str(&record.body).map_err(|error| broken(error.to_string()))?;
        if body.v != 1 {
            return Err(broken(format!("it has version {}, and this build reads version 1", body.v)));
        }
        let time = |text: &str| text.parse::<Timestamp>().map_err(|error| broken(error.to_string()));
        Ok(Gap { answers: body.answers, from: time(&body.from)?, until: time(&body.until)? })
    };
    page.records.iter().rev().map(read).collect()
}
