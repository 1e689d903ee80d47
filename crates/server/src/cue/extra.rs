//! Parts of a reply that both endpoints write alike.

use baton_contract::{FinishReason, Intent, TokenId, Usage};
use baton_text::Tokenizer;
use serde::Serialize;

use super::Kept;
use crate::judging::Filed;
use crate::library::Citation;
use crate::twins::Model;

/// OpenAI's usage object.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct UsageBody {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
}

/// The usage of a chunk: null in all but the last.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct ChunkUsage(pub(crate) Option<UsageBody>);

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: usize,
}

/// What Baton says about an answer beyond OpenAI's fields: all that is needed to replay it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BatonExtra {
    /// The seed in use, given or drawn; below 2^53 if it was drawn.
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    twin: Option<TwinExtra>,
    /// The passages of the pack's documents that were looked up for the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Citation>,
    /// How each answer was drawn, where they are checked and an attempt may have been thrown away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Kept>,
    /// What became of an answer that is checked as its blast radius asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Filed>,
}

#[derive(Clone, Debug, Serialize)]
struct TwinExtra {
    id: String,
    pack_version: String,
    pack_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter_digest: Option<String>,
    /// The pack's review is overdue.
    stale: bool,
    /// The cue did not say why; a twin fills gaps better if it does.
    why_missing: bool,
}

impl UsageBody {
    pub(crate) fn new(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.input + usage.output,
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached },
        }
    }
}

impl BatonExtra {
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn new(model: &Model, seed: u64, intent: &Intent, now: i64) -> Self {
        let twin = model.twin().map(|twin| TwinExtra {
            id: twin.pack.id().to_string(),
            pack_version: twin.pack.manifest().version.clone(),
            pack_digest: twin.pack.digest().to_string(),
            adapter_digest: twin.adapter.as_ref().map(|adapter| adapter.digest().to_string()),
            stale: twin.is_stale(now),
            why_missing: intent.why.is_none(),
        });
        Self { seed, twin, citations: Vec::new(), answers: Vec::new(), decision: None }
    }

    /// With what was looked up for the answer.
    pub(crate) fn with_citations(self, cited: &[Citation]) -> Self {
        Self { citations: cited.to_vec(), ..self }
    }

    /// With what became of the answer.
    pub(crate) fn with_decision(self, decision: Filed) -> Self {
        Self { decision: Some(decision), ..self }
    }

    /// With what is known once answers are there.
    pub(crate) fn with_answers(&self, kept: impl IntoIterator<Item = Kept>) -> Self {
        Self { answers: kept.into_iter().collect(), ..self.clone() }
    }
}

/// OpenAI's word.
pub(crate) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

/// A token's text as OpenAI writes it: a part of a character is spelled `bytes:\xe2\x9c`.
pub(crate) fn token_text(tokenizer: &Tokenizer, token: TokenId) -> String {
    use std::fmt::Write;
    let bytes = tokenizer.piece(token);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
            text
        }),
    }
}

/// A log-probability that JSON can say; OpenAI's own floor.
pub(crate) fn finite(logprob: f32) -> f32 {
    logprob.max(-9999.0)
}
