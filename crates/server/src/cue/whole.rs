//! Answers that are given at once.

use baton_contract::{FinishReason, Usage};

use super::{Event, Generation, Kept, TokenReport};
use crate::error::ApiError;

/// One finished answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenReport>,
    pub(crate) calls: Vec<Call>,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
    /// How it was drawn, if it was checked.
    pub(crate) kept: Option<Kept>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// A JSON object, as the model wrote it; a part of one if the answer was cut.
    pub(crate) arguments: String,
}

impl Call {
    pub(crate) fn new(name: String) -> Self {
        Self { name, arguments: String::new() }
    }
}

/// What there is of an answer.
#[derive(Clone, Default)]
struct Parts {
    text: String,
    tokens: Vec<TokenReport>,
    calls: Vec<Call>,
}

/// Waits for all `count` answers, in order of their indices.
///
/// # Errors
/// One of them failed; the others are cancelled.
pub(crate) async fn collect(generation: &mut Generation, count: usize) -> Result<Vec<Answer>, ApiError> {
    let mut parts: Vec<Parts> = vec![Parts::default(); count];
    let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    while let Some((index, event)) = generation.next().await {
        let at = index as usize;
        match event {
            Event::Text(piece) => {
                parts[at].text.push_str(&piece.text);
                parts[at].tokens.extend(piece.tokens);
            }
            Event::Call { name } => parts[at].calls.push(Call::new(name)),
            Event::Arguments(more) => {
                if let Some(call) = parts[at].calls.last_mut() {
                    call.arguments.push_str(&more);
                }
            }
            Event::End { reason, usage, kept } => {
                let Parts { text, tokens, calls } = std::mem::take(&mut parts[at]);
                answers[at] = Some(Answer { text, tokens, calls, reason, usage, kept });
            }
            Event::Failed(error) => return Err(error),
        }
    }
    let all: Option<Vec<Answer>> = answers.into_iter().collect();
    all.ok_or_else(|| ApiError::internal("an answer has no end"))
}
