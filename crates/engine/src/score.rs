//! The probability of answers that are given, rather than answers.

use std::future::poll_fn;
use std::task::{Context, Poll};

use baton_contract::{Emission, Generate, Refusal, Usage};

use crate::{Emissions, EngineHandle};

/// What the model says of one given answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Natural logarithm of the probability that the model writes the answer's tokens: the sum over all of them.
    pub logprob: f64,
    /// What it cost; `output` is the number of its tokens.
    pub usage: Usage,
}

/// Why answers could not be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The engine did not take a request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine failed at a request; the text is safe to show to the caller.
    #[error("{0}")]
    Failed(String),
}

/// An answer whose score is not known yet.
struct Open {
    /// Its place among the requests.
    index: usize,
    emissions: Emissions,
    logprob: f64,
}

impl EngineHandle {
    /// Scores the `forced` tokens of every request, in their order; make the requests with [`Generate::score`].
    ///
    /// At most `at_once` are in flight, and never more than the engine has places, so that any number can be scored; a
    /// request is made when its turn comes.
    /// The first are submitted together: if there is no room for them, none is. Later ones wait for room. Dropping the
    /// future cancels what is not finished.
    ///
    /// # Errors
    /// The first request that is refused or fails; the others are cancelled.
    pub async fn score(
        &self,
        requests: impl IntoIterator<Item = Generate>,
        at_once: usize,
    ) -> Result<Vec<Score>, ScoreError> {
        let at_once = at_once.clamp(1, self.status().capacity.max(1));
        let mut requests = requests.into_iter().enumerate().peekable();
        let (indices, first): (Vec<usize>, Vec<Generate>) = requests.by_ref().take(at_once).unzip();
        let streams = indices.into_iter().zip(self.submit_all(first)?);
        let mut open: Vec<Open> = streams.map(|(index, emissions)| Open { index, emissions, logprob: 0.0 }).collect();
        let mut scores: Vec<(usize, Score)> = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let (at, score) = poll_fn(|context| poll(&mut open, context)).await;
            scores.push((open.swap_remove(at).index, score?));
            while open.len() < at_once
                && let Some((index, request)) = requests.peek()
            {
                match self.submit(request.clone()) {
                    Ok(emissions) => open.push(Open { index: *index, emissions, logprob: 0.0 }),
                    // There is room again when one of these has ended.
                    Err(Refusal::Busy { .. }) if !open.is_empty() => break,
                    Err(refusal) => return Err(refusal.into()),
                }
                requests.next();
            }
        }
        scores.sort_unstable_by_key(|(index, _)| *index);
        Ok(scores.into_iter().map(|(_, score)| score).collect())
    }
}

/// The first of the open answers that ends, by its place among them.
fn poll(open: &mut [Open], context: &mut Context<'_>) -> Poll<(usize, Result<Score, ScoreError>)> {
    for (at, one) in open.iter_mut().enumerate() {
        while let Poll::Ready(emission) = one.emissions.poll_next(context) {
            let end = match emission {
                Some(Emission::Token { logprobs, .. }) => {
                    // Requests of this module ask for them.
                    one.logprob += logprobs.map_or(f64::NAN, |logprobs| f64::from(logprobs.logprob));
                    continue;
                }
                Some(Emission::Finished { usage, .. }) => Ok(Score { logprob: one.logprob, usage }),
                Some(Emission::Failed(text)) => Err(ScoreError::Failed(text)),
                None => Err(ScoreError::Failed("the engine ended without a word".to_owned())),
            };
            return Poll::Ready((at, end));
        }
    }
    Poll::Pending
}
