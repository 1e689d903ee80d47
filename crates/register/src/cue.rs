//! The row of an answer: all that is needed to run it again and to see whether it is the same.

use baton_contract::{ConductorId, Digest};
use baton_ledger::NewEntry;
use jiff::Timestamp;
use serde::Serialize;

use crate::kinds::CUE;

/// An answer that was given, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// Names the answer: the id of the reply, or of the decision.
    pub id: String,
    /// Who asked.
    pub conductor: ConductorId,
    /// The endpoint, as its path.
    pub endpoint: &'static str,
    /// What was asked for as `model`: a twin or the model itself.
    pub target: String,
    /// The pack's digest, if a twin was asked.
    pub pack: Option<Digest>,
    /// The model's digest.
    pub model: Digest,
    /// The rules that applied, if a decision was asked for.
    pub rules: Option<Digest>,
    /// What the draws began with.
    pub seed: u64,
    /// Whether it was said why.
    pub why: bool,
    /// Tokens that were read and written.
    pub tokens: (usize, usize),
    /// How it ended.
    pub ended: Ended,
    /// The request's body, as JSON.
    pub request: String,
    /// The answer's text; of several answers, as JSON.
    pub answer: String,
    /// When it was over.
    pub at: Timestamp,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// As it was to.
    Complete,
    /// The client left or the deadline came; the answer is what there was.
    CutOff,
    /// By a fault of the engine, or because it broke its spec.
    Failed,
}

/// The body of the row, version 1.
#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    endpoint: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<String>,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
    /// As text: not every reader of JSON has integers of 64 bits.
    seed: String,
    why: bool,
    input_tokens: usize,
    output_tokens: usize,
    ended: Ended,
    request: String,
    answer: String,
}

impl Cue {
    /// The digest of the request's body.
    pub fn request_digest(&self) -> Digest {
        Digest::of(self.request.as_bytes())
    }

    /// The digest of the answer's text.
    pub fn answer_digest(&self) -> Digest {
        Digest::of(self.answer.as_bytes())
    }

    /// The row; its texts are the request's body and the answer.
    ///
    /// # Errors
    /// A text is longer than a row takes, or the id is no label.
    pub fn entry(&self) -> Result<NewEntry, baton_ledger::Error> {
        let body = Body {
            v: 1,
            endpoint: self.endpoint,
            target: &self.target,
            pack: self.pack.map(|digest| digest.to_string()),
            model: self.model.to_string(),
            rules: self.rules.map(|digest| digest.to_string()),
            seed: self.seed.to_string(),
            why: self.why,
            input_tokens: self.tokens.0,
            output_tokens: self.tokens.1,
            ended: self.ended,
            request: self.request_digest().to_string(),
            answer: self.answer_digest().to_string(),
        };
        let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        let entry = NewEntry::new(CUE, self.at, self.conductor.as_str())?.about(&self.id)?.body(&json)?;
        entry.text("request", &self.request)?.text("answer", &self.answer)
    }
}
