//! What the engine answers.

use std::time::Duration;

use crate::TokenId;

/// One message from the engine about one sequence.
///
/// A stream is any number of `Token`s and then exactly one of `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Emission {
    /// A token was drawn. The token that ends a sequence (end or stop token) is not emitted.
    Token {
        /// The drawn token.
        token: TokenId,
        /// Present if it was asked for.
        logprobs: Option<TokenLogprobs>,
    },
    /// The sequence ended well.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
    /// The sequence ended by a fault of the engine; the text is safe to show to the caller.
    Failed(String),
}

/// Log-probabilities of a drawn token and of the most probable ones, from the model's own
/// distribution: before penalties, bias and temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Natural logarithm of the drawn token's probability.
    pub logprob: f32,
    /// The most probable tokens, best first; as many as were asked for.
    pub top: Vec<(TokenId, f32)>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FinishReason {
    /// An end token, a stop token or a stop string.
    Stop,
    /// `max_tokens` or the model's context was reached.
    Length,
}

/// What one sequence cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prefix and prompt.
    pub input: usize,
    /// Part of `input` whose keys and values were already there.
    pub cached: usize,
    /// Drawn tokens, with the one that ended the sequence.
    pub output: usize,
}

/// Why the engine did not take a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is full; the same request may be taken later.
    #[error("the server is busy: {waiting} requests are waiting; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// Requests that wait already.
        waiting: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The request can never fit.
    #[error(
        "this model's maximum context length is {limit} tokens, but the request needs {needed}; \
         shorten the messages or lower max_tokens"
    )]
    TooLong {
        /// Tokens that the request would need.
        needed: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The request itself is wrong, for example an empty prompt or a token outside the vocabulary.
    #[error("{0}")]
    Invalid(String),
    /// The engine is shutting down or has died.
    #[error("the engine is not running")]
    Stopped,
    /// The device that computes the model has failed for good, and the process that uses it has to end.
    #[error(
        "the device that computes the model has failed, and the server ends; send the request again once it is started anew"
    )]
    Lost,
}

impl Refusal {
    /// Whether the caller can mend it by changing the request.
    pub fn is_request_fault(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Invalid(_))
    }
}
