//! The row of a known-good case that was made of a decision.

use baton_authority::docket::DecisionId;
use baton_contract::{ConductorId, Digest, TwinId};
use baton_ledger::{Filter, NewEntry, Reader};
use jiff::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::kinds::CASE;

/// A case that was drafted of a decision which was found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    /// The decision.
    pub id: DecisionId,
    /// Whose case it is.
    pub twin: TwinId,
    /// The case's name.
    pub name: String,
    /// The case as it stands in a pack's file.
    pub text: String,
    /// Who made it.
    pub by: ConductorId,
    /// When.
    pub at: Timestamp,
}

/// The body of the row, version 1; its subject is the decision.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Body<'a> {
    Drafted { v: u32, twin: &'a str, name: &'a str, digest: String },
}

impl Drafted {
    /// The row; the case is its text.
    ///
    /// # Errors
    /// The case is longer than a row takes.
    pub fn entry(&self) -> Result<NewEntry, baton_ledger::Error> {
        let digest = Digest::of(self.text.as_bytes()).to_string();
        let body = Body::Drafted { v: 1, twin: self.twin.as_str(), name: &self.name, digest };
        let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        let entry = NewEntry::new(CASE, self.at, self.by.as_str())?.about(self.id.as_str())?.body(&json)?;
        entry.text("case", &self.text)
    }
}

/// Whether a case was drafted of this decision. Blocks on the disk.
///
/// # Errors
/// The ledger cannot be read.
pub fn is_drafted(reader: &Reader, id: &DecisionId) -> Result<bool, Error> {
    let (kinds, subject) = (vec![CASE.to_owned()], Some(id.to_string()));
    Ok(!reader.find(&Filter { kinds, subject, limit: 1, ..Filter::default() })?.records.is_empty())
}
