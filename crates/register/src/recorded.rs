//! The row of an answer as it is read back, to be asked again.

use baton_contract::Digest;
use baton_ledger::{Reader, Record, Text};
use jiff::Timestamp;
use serde::Deserialize;

use crate::cue::Ended;
use crate::kinds::CUE;

/// An answer that the ledger has, with all that it takes to ask for it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its place in the ledger.
    pub index: u64,
    /// The endpoint, as its path.
    pub endpoint: String,
    /// What was asked for as `model`: a twin or the model itself.
    pub target: String,
    /// The pack's digest, if a twin was asked.
    pub pack: Option<Digest>,
    /// The model's digest.
    pub model: Digest,
    /// The rules that applied, if a decision was asked for.
    pub rules: Option<Digest>,
    /// What computed it; rows of older builds do not say.
    pub computed_by: Option<String>,
    /// The temperature that probabilities were taken at, if one was fitted.
    pub calibration: Option<f64>,
    /// What the draws began with.
    pub seed: u64,
    /// The most tokens of an answer; nothing of a decision is drawn.
    pub max_tokens: Option<usize>,
    /// What was drawn; rows of older builds do not say.
    pub draws: Option<Draws>,
    /// How it ended.
    pub ended: Ended,
    /// The request's body.
    pub request: String,
    /// The answer's text, if it can still be read.
    pub answer: Option<String>,
    /// The digest of the answer's text.
    pub answer_digest: Digest,
}

/// What is kept of the tokens that were drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draws {
    /// Of all of them, in the order of the answers.
    pub digest: Digest,
    /// How many each answer has.
    pub lengths: Vec<usize>,
}

/// Why an entry cannot be asked again.
#[derive(Debug, thiserror::Error)]
pub enum Unanswerable {
    /// It is about something else.
    #[error(
        "entry {index} is a `{kind}`, and only a `cue` was asked for\nhint: `baton ledger show --kind cue` lists them"
    )]
    NotACue {
        /// The entry.
        index: u64,
        /// Its kind.
        kind: String,
    },
    /// It is of another version than this build reads, or was changed.
    #[error("entry {index} cannot be read: {problem}\nhint: use the build that wrote it")]
    Row {
        /// The entry.
        index: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// What was asked is gone.
    #[error("what was asked in entry {index} was erased on {on}; entry {by} says why")]
    Erased {
        /// The entry.
        index: u64,
        /// When.
        on: Timestamp,
        /// The entry that says so.
        by: u64,
    },
    /// What was asked is there, but not readable.
    #[error("what was asked in entry {index} cannot be read: {problem}")]
    Unreadable {
        /// The entry.
        index: u64,
        /// Why.
        problem: String,
    },
    /// There is no answer that another could be held against.
    #[error("the answer of entry {index} failed; there is nothing to hold another one against")]
    Failed {
        /// The entry.
        index: u64,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] baton_ledger::Error),
}

impl Unanswerable {
    /// Whether who asked can mend it by asking for another entry.
    pub fn is_request_fault(&self) -> bool {
        match self {
            Self::NotACue { .. } | Self::Erased { .. } | Self::Failed { .. } => true,
            Self::Row { .. } | Self::Unreadable { .. } => false,
            Self::Ledger(error) => error.is_request_fault(),
        }
    }
}

/// The body of the row, versions 1 to 4; what is not needed here is left out.
#[derive(Deserialize)]
struct Body {
    v: u32,
    endpoint: String,
    target: String,
    pack: Option<String>,
    model: String,
    rules: Option<String>,
    computed_by: Option<String>,
    calibration: Option<f64>,
    seed: String,
    drawn: Option<DrawnBody>,
    ended: Ended,
    answer: String,
}

#[derive(Deserialize)]
struct DrawnBody {
    max_tokens: usize,
    tokens: Option<String>,
    #[serde(default)]
    lengths: Vec<usize>,
}

impl Recorded {
    /// Reads a row back.
    ///
    /// # Errors
    /// It is no answer's, it cannot be read, what was asked is gone, or the answer failed.
    pub fn read(reader: &Reader, record: &Record) -> Result<Self, Unanswerable> {
        let index = record.index;
        if record.kind != CUE {
            return Err(Unanswerable::NotACue { index, kind: record.kind.clone() });
        }
        let row = |problem: String| Unanswerable::Row { index, problem };
        let body: Body = serde_json::from_str(&record.body).map_err(|error| row(error.to_string()))?;
        if !(1..=4).contains(&body.v) {
            return Err(row(format!("it has version {}, and this build reads versions 1 to 4", body.v)));
        }
        if body.ended == Ended::Failed {
            return Err(Unanswerable::Failed { index });
        }
        let digest = |text: &str| text.parse::<Digest>().map_err(|error| row(error.to_string()));
        let request = request(reader, record)?;
        let draws = match body.drawn.as_ref().and_then(|drawn| Some((drawn.tokens.as_ref()?, &drawn.lengths))) {
            Some((tokens, lengths)) => Some(Draws { digest: digest(tokens)?, lengths: lengths.clone() }),
            None => None,
        };
        Ok(Self {
            index,
            pack: body.pack.as_deref().map(digest).transpose()?,
            model: digest(&body.model)?,
            rules: body.rules.as_deref().map(digest).transpose()?,
            seed: body.seed.parse().map_err(|_| row("its seed is no number".to_owned()))?,
            max_tokens: body.drawn.map(|drawn| drawn.max_tokens),
            answer_digest: digest(&body.answer)?,
            endpoint: body.endpoint,
            target: body.target,
            computed_by: body.computed_by,
            calibration: body.calibration,
            draws,
            ended: body.ended,
            request,
            answer: record.text("answer").map(str::to_owned),
        })
    }
}

/// What was asked.
fn request(reader: &Reader, record: &Record) -> Result<String, Unanswerable> {
    let index = record.index;
    let unreadable = |problem: &str| Unanswerable::Unreadable { index, problem: problem.to_owned() };
    match record.texts.get("request") {
        Some(Text::Readable(opened)) => Ok(opened.text.to_string()),
        Some(Text::Erased { by }) => Err(Unanswerable::Erased { index, on: reader.entry(*by)?.at, by: *by }),
        Some(Text::Sealed) => Err(unreadable("the installation's secret is not in the data folder")),
        Some(Text::Damaged(problem)) => Err(unreadable(problem)),
        None => Err(unreadable("it was longer than an entry takes, and only its digest was kept")),
    }
}
