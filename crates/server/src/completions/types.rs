//! The wire types of `POST /v1/completions`: the request as it was read, the reply as it is written.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cue::{BatonExtra, ChunkUsage, Params};

/// A body whose every field has been read and checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompletionRequest {
    pub(crate) model: String,
    /// Never empty.
    pub(crate) prompts: Vec<Prompt>,
    /// Whether the prompt comes back before the answer.
    pub(crate) echo: bool,
    /// How many alternatives to report beside each token's own log-probability.
    pub(crate) top_logprobs: Option<u8>,
    pub(crate) params: Params,
}

/// What is to be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

#[derive(Serialize)]
pub(crate) struct Completion<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: i64,
    pub(crate) model: &'a str,
    pub(crate) choices: Vec<CompletionChoice>,
    /// Absent in a stream unless usage was asked for; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<ChunkUsage>,
    pub(crate) system_fingerprint: &'a str,
    /// In a stream only in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baton: Option<BatonExtra>,
}

#[derive(Serialize)]
pub(crate) struct CompletionChoice {
    pub(crate) index: u32,
    pub(crate) text: String,
    pub(crate) logprobs: Option<CompletionLogprobs>,
    /// Null until the last chunk of the choice.
    pub(crate) finish_reason: Option<&'static str>,
}

/// Four lists of one length.
#[derive(Default, Serialize)]
pub(crate) struct CompletionLogprobs {
    pub(crate) tokens: Vec<String>,
    pub(crate) token_logprobs: Vec<f32>,
    pub(crate) top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where each token begins in `text`, in characters.
    pub(crate) text_offset: Vec<usize>,
}
