//! The wire types of `POST /v1/chat/completions`: the request as it was read, the reply as it is written.

use baton_constraint::Schema;
use baton_text::{Answered, ToolCall};
use serde::Serialize;

use crate::cue::{BatonExtra, ChunkUsage, Params, UsageBody};
use crate::judging::Stated;
use crate::tools::Tools;

/// A body whose every field has been read and checked.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    pub(crate) model: String,
    pub(crate) messages: Vec<Message>,
    /// What may be called.
    pub(crate) tools: Option<Tools>,
    /// How many alternatives to report beside each token's own log-probability.
    pub(crate) top_logprobs: Option<u8>,
    pub(crate) params: Params,
    /// The schema that the answer is wanted in.
    pub(crate) schema: Option<Schema>,
    /// What the caller states about an answer that is to be checked as a decision is.
    pub(crate) stated: Option<Stated>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) content: String,
    /// What an answer called.
    pub(crate) calls: Vec<ToolCall>,
    /// Whose result it is.
    pub(crate) answered: Option<Answered>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

#[derive(Serialize)]
pub(crate) struct ChatCompletion<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: i64,
    pub(crate) model: &'a str,
    pub(crate) choices: Vec<ChatChoice>,
    pub(crate) usage: UsageBody,
    pub(crate) system_fingerprint: &'a str,
    pub(crate) baton: BatonExtra,
}

#[derive(Serialize)]
pub(crate) struct ChatChoice {
    pub(crate) index: u32,
    pub(crate) message: AssistantMessage,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: &'static str,
}

#[derive(Serialize)]
pub(crate) struct AssistantMessage {
    pub(crate) role: &'static str,
    /// Null if the answer does not go out, or is calls alone.
    pub(crate) content: Option<String>,
    /// Why it does not; null otherwise, for a twin says what it will not answer in its own words.
    pub(crate) refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<CallBody>,
}

/// A call of a tool. In a stream, its first piece has id and name, all have more of its arguments.
#[derive(Serialize)]
pub(crate) struct CallBody {
    /// Its place among the calls of the answer, in streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<&'static str>,
    pub(crate) function: FunctionBody,
}

#[derive(Serialize)]
pub(crate) struct FunctionBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) arguments: String,
}

#[derive(Serialize)]
pub(crate) struct ChatChunk<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: i64,
    pub(crate) model: &'a str,
    pub(crate) system_fingerprint: &'a str,
    pub(crate) choices: Vec<ChunkChoice>,
    /// Absent unless usage was asked for; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<ChunkUsage>,
    /// In the first chunk, and in the last one of an answer that was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baton: Option<BatonExtra>,
}

#[derive(Serialize)]
pub(crate) struct ChunkChoice {
    pub(crate) index: u32,
    pub(crate) delta: Delta,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
pub(crate) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<CallBody>,
}

#[derive(Serialize)]
pub(crate) struct ChatLogprobs {
    pub(crate) content: Vec<TokenLogprob>,
    pub(crate) refusal: Option<Vec<TokenLogprob>>,
}

#[derive(Serialize)]
pub(crate) struct TokenLogprob {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) top_logprobs: Vec<Alternative>,
}

#[derive(Serialize)]
pub(crate) struct Alternative {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    pub(crate) bytes: Vec<u8>,
}
