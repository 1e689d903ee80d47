//! The wire types of `POST /v1/cues`: the request as it was read, the reply as it is written.

use std::time::Duration;

use serde::Serialize;

use super::agreement::Agreement;
use crate::cue::{BatonExtra, Params, UsageBody};

/// A body whose every field has been read and checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CueRequest {
    /// No twin twice; never empty.
    pub(crate) twins: Vec<String>,
    pub(crate) what: String,
    /// After it, what there is of every answer is the answer.
    pub(crate) deadline: Option<Duration>,
    pub(crate) params: Params,
}

/// What all events and the reply begin with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

/// The whole reply, and the last event of a stream.
#[derive(Serialize)]
pub(crate) struct Joined<'a> {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) system_fingerprint: &'a str,
    /// In the order in which the twins were named.
    pub(crate) answers: Vec<AnswerBody<'a>>,
    /// The deadline came before the last answer was complete.
    pub(crate) deadline_reached: bool,
    pub(crate) agreement: Agreement,
    pub(crate) usage: UsageBody,
}

/// One twin's answer.
#[derive(Serialize)]
pub(crate) struct AnswerBody<'a> {
    pub(crate) twin: &'a str,
    pub(crate) status: Status,
    pub(crate) content: &'a str,
    /// Null unless the answer is complete.
    pub(crate) finish_reason: Option<&'static str>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Null unless the answer is complete: what it has cost until it was cut off is told by nobody.
    pub(crate) usage: Option<UsageBody>,
    pub(crate) baton: &'a BatonExtra,
}

/// How far an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It ended by itself or by the token limit.
    Complete,
    /// The deadline cut it off.
    Partial,
    /// The deadline came before its first word.
    Missing,
    /// The engine failed on it.
    Failed,
}

/// An event: more of one twin's answer.
#[derive(Serialize)]
pub(crate) struct DeltaEvent<'a> {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) twin: &'a str,
    pub(crate) delta: &'a str,
}

/// An event: one twin's answer is over.
#[derive(Serialize)]
pub(crate) struct AnswerEvent<'a> {
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) answer: AnswerBody<'a>,
}
