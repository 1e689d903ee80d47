//! Rows about what cues and decisions depend on: keys, rules, packs and which of their versions are live. They are written
//! when the ledger does not say so yet, so that it is known what held when, and which change was made while nothing ran.

use baton_authority::KeyId;
use baton_contract::{ConductorId, Digest, TwinId};
use baton_ledger::{Filter, Ledger, NewEntry, Reader};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::kinds::{KEY, PACK, PUBLICATION, RULES};

/// What the rows about all rules are about.
const ALL_RULES: &str = "rules";
/// Most rows about one key; it is made and revoked once.
const ROWS_OF_A_KEY: usize = 8;
/// Most publications of one twin that are looked through.
const PUBLICATIONS: usize = 1 << 16;

/// Something that holds from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What it is.
    pub what: Held,
    /// Who changed it, as far as is known.
    pub by: String,
    /// Since when, as far as is known.
    pub at: Timestamp,
}

/// What can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// There is a key.
    KeyMade {
        /// Names it.
        id: KeyId,
        /// Whose it is.
        conductor: ConductorId,
        /// What it is cleared for, in words.
        mandate: String,
    },
    /// A key opens nothing any more.
    KeyRevoked {
        /// Names it.
        id: KeyId,
    },
    /// These rules are in force: the installation's, and those of all packs.
    Rules {
        /// Of all of them.
        digest: Digest,
    },
    /// A twin answers from this pack.
    Pack {
        /// The twin.
        twin: TwinId,
        /// The pack's version, as it says itself.
        version: String,
        /// The pack's digest.
        digest: Digest,
        /// Of the rules that stand on the twin's decisions.
        rules: Digest,
    },
    /// A version of a twin's pack went live.
    Published(Published),
}

/// A version of a twin's pack that went live.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The twin.
    pub twin: TwinId,
    /// Which of the twin's publications it is, from 1.
    pub number: u64,
    /// Whether it was gone back to.
    pub rolled_back: bool,
    /// The pack's version, as it says itself.
    pub version: String,
    /// The pack's digest.
    pub digest: Digest,
    /// The model that its cases were run on.
    pub model: Digest,
    /// The model that looked the pack's documents up for its cases, if they are more than its budget.
    pub embedding_model: Option<Digest>,
    /// How many cases passed, and how many there are.
    pub passed: (usize, usize),
    /// The share of the cases, in (0, 1], that the pack wants to pass.
    pub bar: f64,
    /// Whether fewer passed: it is live on trial.
    pub on_trial: bool,
}

/// The body of the row, version 1.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Body<'a> {
    Made { v: u32, conductor: &'a str },
    Revoked { v: u32 },
    InForce { v: u32, digest: String },
    Loaded { v: u32, version: &'a str, digest: String, rules: String },
    Published(PublishedBody<'a>),
    RolledBack(PublishedBody<'a>),
}

#[derive(Serialize)]
struct PublishedBody<'a> {
    v: u32,
    number: u64,
    version: &'a str,
    digest: String,
    model: String,
    /// Since version 2; a row of a pack that looks nothing up is of version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_model: Option<String>,
    passed: usize,
    cases: usize,
    bar: f64,
    on_trial: bool,
}

/// Writes those of `changes` that the ledger does not say yet, all or none, and says how many. Blocks on the disk.
///
/// # Errors
/// The ledger cannot be read or written, or a version is too long for a row.
pub fn record(ledger: &Ledger, changes: &[Change]) -> Result<usize, Error> {
    let reader = ledger.reader()?;
    let mut entries = Vec::new();
    for change in changes {
        if !change.is_known(&reader)? {
            entries.push(change.entry()?);
        }
    }
    let count = entries.len();
    if count > 0 {
        ledger.append_all(entries).wait()?;
    }
    Ok(count)
}

impl Change {
    fn entry(&self) -> Result<NewEntry, baton_ledger::Error> {
        let (kind, subject) = self.what.place();
        let body = serde_json::to_string(&self.what.body());
        let body = body.map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        let entry = NewEntry::new(kind, self.at, &self.by)?.about(subject)?.body(&body)?;
        match &self.what {
            // It names processes and products, which are what people wrote.
            Held::KeyMade { mandate, .. } => entry.text("mandate", mandate),
            Held::KeyRevoked { .. } | Held::Rules { .. } | Held::Pack { .. } | Held::Published(_) => Ok(entry),
        }
    }

    /// Whether the ledger says so. What can change back has to be its last word.
    fn is_known(&self, reader: &Reader) -> Result<bool, Error> {
        let (kind, subject) = self.what.place();
        let limit = match &self.what {
            Held::KeyMade { .. } | Held::KeyRevoked { .. } => ROWS_OF_A_KEY,
            Held::Rules { .. } | Held::Pack { .. } => 1,
            Held::Published(_) => PUBLICATIONS,
        };
        let (kinds, subject) = (vec![kind.to_owned()], Some(subject.to_owned()));
        let page = reader.find(&Filter { kinds, subject, newest_first: true, limit, ..Filter::default() })?;
        let body =
            serde_json::to_value(self.what.body()).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        Ok(page.records.iter().any(|row| serde_json::from_str::<Value>(&row.body).is_ok_and(|known| known == body)))
    }
}

impl Held {
    /// The kind of its rows, and what they are about.
    fn place(&self) -> (&'static str, &str) {
        match self {
            Self::KeyMade { id, .. } | Self::KeyRevoked { id } => (KEY, id.as_str()),
            Self::Rules { .. } => (RULES, ALL_RULES),
            Self::Pack { twin, .. } => (PACK, twin.as_str()),
            Self::Published(one) => (PUBLICATION, one.twin.as_str()),
        }
    }

    fn body(&self) -> Body<'_> {
        match self {
            Self::KeyMade { conductor, .. } => Body::Made { v: 1, conductor: conductor.as_str() },
            Self::KeyRevoked { .. } => Body::Revoked { v: 1 },
            Self::Rules { digest } => Body::InForce { v: 1, digest: digest.to_string() },
            Self::Pack { version, digest, rules, .. } => {
                Body::Loaded { v: 1, version, digest: digest.to_string(), rules: rules.to_string() }
            }
            Self::Published(one) if one.rolled_back => Body::RolledBack(one.body()),
            Self::Published(one) => Body::Published(one.body()),
        }
    }
}

impl Published {
    fn body(&self) -> PublishedBody<'_> {
        PublishedBody {
            v: if self.embedding_model.is_some() { 2 } else { 1 },
            number: self.number,
            version: &self.version,
            digest: self.digest.to_string(),
            model: self.model.to_string(),
            embedding_model: self.embedding_model.map(|digest| digest.to_string()),
            passed: self.passed.0,
            cases: self.passed.1,
            bar: self.bar,
            on_trial: self.on_trial,
        }
    }
}
