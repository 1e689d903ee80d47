//! Answers that are given at once.

use baton_contract::{FinishReason, Usage};

use super::{Event, Generation, Kept, TokenReport};
use crate::error::ApiError;

/// One finished answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenReport>,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
    /// How it was drawn, if it was checked.
    pub(crate) kept: Option<Kept>,
}

/// Waits for all `count` answers, in order of their indices.
///
/// # Errors
/// One of them failed; the others are cancelled.
pub(crate) async fn collect(generation: &mut Generation, count: usize) -> Result<Vec<Answer>, ApiError> {
    let mut parts: Vec<(String, Vec<TokenReport>)> = vec![Default::default(); count];
    let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    while let Some((index, event)) = generation.next().await {
        let at = index as usize;
        match event {
            Event::Text(piece) => {
                parts[at].0.push_str(&piece.text);
                parts[at].1.extend(piece.tokens);
            }
            Event::End { reason, usage, kept } => {
                let (text, tokens) = std::mem::take(&mut parts[at]);
                answers[at] = Some(Answer { text, tokens, reason, usage, kept });
            }
            Event::Failed(error) => return Err(error),
        }
    }
    let all: Option<Vec<Answer>> = answers.into_iter().collect();
    all.ok_or_else(|| ApiError::internal("an answer has no end"))
}
