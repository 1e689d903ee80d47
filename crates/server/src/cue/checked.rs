//! Answers of a twin with a spec: nothing is given out before it has been checked.
//!
//! An answer that breaks the spec is broken work. It is asked for once more, with another seed, and then the request
//! fails; no part of it is ever passed on.

use std::sync::Arc;

use baton_contract::{FinishReason, Generate, Sampling, Usage};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;

use super::generation::{Choice, Event, events};
use super::open::Source;
use super::{Piece, mix};
use crate::error::ApiError;
use crate::metrics::Work;
use crate::twins::Twin;

/// How an answer that was checked was drawn; with it, a request for one answer gives the same one again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Kept {
    index: u32,
    seed: u64,
    temperature: f32,
    /// The first attempt was broken work.
    retried: bool,
}

/// One answer that is to be checked.
pub(super) struct Checked {
    pub(super) first: Choice,
    /// As it was submitted.
    pub(super) request: Generate,
    pub(super) twin: Arc<Twin>,
    pub(super) source: Source,
}

/// An answer that nobody has seen yet.
struct Whole {
    pieces: Vec<Piece>,
    reason: FinishReason,
    usage: Usage,
}

/// Where a second attempt at temperature 0 would only repeat the first, it is drawn at this one.
const RETRY_TEMPERATURE: f32 = 0.5;

/// Sets a second attempt's seed apart from those of the first attempts.
const RETRY: u64 = 0xd1b5_4a32_d192_ed03;

/// The stream of one answer: nothing until it has been checked, then all of it.
pub(super) fn checked(choice: Checked) -> impl Stream<Item = Event> + Send {
    stream::once(choice.run())
        .flat_map(|outcome| stream::iter(outcome.unwrap_or_else(|error| vec![Event::Failed(error)])))
}

impl Checked {
    async fn run(self) -> Result<Vec<Event>, ApiError> {
        let Self { first, request, twin, source } = self;
        let index = first.index;
        let name = twin.pack.id().as_str();
        let broken = match attempt(first, &twin).await? {
            Ok(whole) => {
                source.metrics.work(name, Work::Kept);
                return Ok(told(whole, Kept::new(index, &request.sampling, false)));
            }
            Err(broken) => broken,
        };
        tracing::warn!(twin = name, why = broken.why, "broken work; asked for once more");
        let sampling = again(&request.sampling);
        let second = source.submit(index, Generate { sampling: sampling.clone(), ..request })?;
        match attempt(second, &twin).await? {
            Ok(mut whole) => {
                source.metrics.work(name, Work::KeptAfterRetry);
                // Both attempts were computed.
                whole.usage.output += broken.output;
                Ok(told(whole, Kept::new(index, &sampling, true)))
            }
            Err(broken) => {
                source.metrics.work(name, Work::Broken);
                Err(ApiError::broken_work(name, &broken.why))
            }
        }
    }
}

/// An attempt that is not passed on.
struct Broken {
    why: String,
    /// Tokens that were drawn for it.
    output: usize,
}

/// Draws one answer to its end and checks it.
async fn attempt(choice: Choice, twin: &Twin) -> Result<Result<Whole, Broken>, ApiError> {
    let whole = gather(choice).await?;
    let text: String = whole.pieces.iter().map(|piece| piece.text.as_str()).collect();
    let examined = twin.examine(&text, whole.reason);
    Ok(examined.map_err(|why| Broken { why, output: whole.usage.output }).map(|()| whole))
}

async fn gather(choice: Choice) -> Result<Whole, ApiError> {
    let mut events = std::pin::pin!(events(choice));
    let mut pieces = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Text(piece) => pieces.push(piece),
            Event::End { reason, usage, .. } => return Ok(Whole { pieces, reason, usage }),
            Event::Failed(error) => return Err(error),
            // A twin with a spec calls nothing.
            Event::Call { .. } | Event::Arguments(_) => {}
        }
    }
    Err(ApiError::internal("an answer has no end"))
}

fn told(whole: Whole, kept: Kept) -> Vec<Event> {
    let Whole { pieces, reason, usage } = whole;
    pieces.into_iter().map(Event::Text).chain([Event::End { reason, usage, kept: Some(kept) }]).collect()
}

/// The second attempt's sampling: another seed, derived from the first one's and small enough for every JSON reader.
fn again(first: &Sampling) -> Sampling {
    let temperature = if first.temperature == 0.0 { RETRY_TEMPERATURE } else { first.temperature };
    Sampling { seed: mix(first.seed.wrapping_add(RETRY)) >> 11, temperature, ..first.clone() }
}

impl Kept {
    fn new(index: u32, sampling: &Sampling, retried: bool) -> Self {
        Self { index, seed: sampling.seed, temperature: sampling.temperature, retried }
    }

    /// Whether the first attempt was broken work.
    pub(super) fn was_redrawn(&self) -> bool {
        self.retried
    }
}
