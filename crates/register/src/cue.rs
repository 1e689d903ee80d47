//! The row of an answer: all that is needed to run it again and to see whether it is the same.

use baton_authority::KeyId;
use baton_contract::{ConductorId, Digest, Sampling, TokenId};
use baton_ledger::NewEntry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::again::tokens_digest;
use crate::kinds::CUE;

/// An answer that was given, and to what. Several answers to one request are one row; one cue to several twins is a row
/// for each of them, about the same id.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// Names the answer: the id of the reply, or of the decision.
    pub id: String,
    /// Who asked.
    pub conductor: ConductorId,
    /// With which key; the row of the key says what it is cleared for.
    pub key: KeyId,
    /// The endpoint, as its path.
    pub endpoint: &'static str,
    /// What was asked for as `model`: a twin or the model itself.
    pub target: String,
    /// The pack's digest, if a twin was asked.
    pub pack: Option<Digest>,
    /// The model's digest.
    pub model: Digest,
    /// The adapter's digest, if the twin has one.
    pub adapter: Option<Digest>,
    /// The rules that applied, if a decision was asked for.
    pub rules: Option<Digest>,
    /// What computed it, for people: build, kernels, device. Another one may give other bits.
    pub computed_by: String,
    /// The temperature that a decision's probabilities were taken at, if one was fitted for the pack on this model.
    pub calibration: Option<f64>,
    /// What the draws began with.
    pub seed: u64,
    /// How the answers were drawn; nothing of a decision is.
    pub drawn: Option<Drawn>,
    /// The passages of the pack's documents that were looked up for it, by name.
    pub passages: Vec<String>,
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

/// How answers were drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// As it was for the first answer, the pack's values and the server's in the place of what the caller left out.
    pub sampling: Sampling,
    /// The most tokens that any of the answers could have.
    pub max_tokens: usize,
    /// How many answers came to an end of their own.
    pub stopped: usize,
    /// How many ended because they had reached their length.
    pub at_length: usize,
    /// Of how many answers a first attempt broke the twin's spec and was thrown away.
    pub redrawn: usize,
    /// The tokens of each answer, those that were thrown away before those that were kept. The row has their digest.
    pub tokens: Vec<Vec<TokenId>>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// As it was to.
    Complete,
    /// The deadline came; the answer is what there was.
    CutOff,
    /// The client left, or the server ended before the answer did; the answer is what had gone out.
    Disconnected,
    /// By a fault of the engine, or because it broke its spec.
    Failed,
}

/// The body of the row. Version 1 had no `key` and no `drawn`; version 2 said nothing of what computed it, of the
/// temperature that was fitted, and of the tokens; version 3 had no `passages`.
#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    key: &'a str,
    endpoint: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pack: Option<String>,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
    computed_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<f64>,
    /// As text: not every reader of JSON has integers of 64 bits.
    seed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<DrawnBody>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    passages: &'a [String],
    why: bool,
    input_tokens: usize,
    output_tokens: usize,
    ended: Ended,
    request: String,
    answer: String,
}

#[derive(Serialize)]
struct DrawnBody {
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    /// How many tokens had a bias; the request says which.
    biased_tokens: usize,
    max_tokens: usize,
    stopped: usize,
    at_length: usize,
    redrawn: usize,
    /// The digest of all tokens, and how many each answer has.
    tokens: String,
    lengths: Vec<usize>,
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
        self.entry_without_texts()?.text("request", &self.request)?.text("answer", &self.answer)
    }

    /// The row with the digests of its texts alone, for an answer that is longer than a row takes.
    ///
    /// # Errors
    /// The id is no label.
    pub fn entry_without_texts(&self) -> Result<NewEntry, baton_ledger::Error> {
        let body = Body {
            v: 4,
            key: self.key.as_str(),
            endpoint: self.endpoint,
            target: &self.target,
            pack: self.pack.map(|digest| digest.to_string()),
            model: self.model.to_string(),
            adapter: self.adapter.map(|digest| digest.to_string()),
            rules: self.rules.map(|digest| digest.to_string()),
            computed_by: &self.computed_by,
            calibration: self.calibration,
            seed: self.seed.to_string(),
            drawn: self.drawn.as_ref().map(Drawn::body),
            passages: &self.passages,
            why: self.why,
            input_tokens: self.tokens.0,
            output_tokens: self.tokens.1,
            ended: self.ended,
            request: self.request_digest().to_string(),
            answer: self.answer_digest().to_string(),
        };
        let json = serde_json::to_string(&body).map_err(|error| baton_ledger::Error::Body(error.to_string()))?;
        NewEntry::new(CUE, self.at, self.conductor.as_str())?.about(&self.id)?.body(&json)
    }
}

impl Drawn {
    fn body(&self) -> DrawnBody {
        let Self { sampling, max_tokens, stopped, at_length, redrawn, tokens } = self;
        DrawnBody {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            min_p: sampling.min_p,
            repetition_penalty: sampling.repetition_penalty,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            biased_tokens: sampling.logit_bias.len(),
            max_tokens: *max_tokens,
            stopped: *stopped,
            at_length: *at_length,
            redrawn: *redrawn,
            tokens: tokens_digest(tokens).to_string(),
            lengths: tokens.iter().map(Vec::len).collect(),
        }
    }
}
