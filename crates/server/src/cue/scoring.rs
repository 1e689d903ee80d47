//! A cue whose answers are given: they are scored, nothing is drawn.

use std::sync::Arc;

use baton_contract::{ConductorId, FinishReason, Generate, TokenId, Usage};
use baton_engine::Score;

use super::Cue;
use crate::error::ApiError;
use crate::metrics::Meter;
use crate::render::Posed;
use crate::state::AppState;

/// A cleared cue whose answers are being scored. It counts as one answer in progress, and as one that was dropped if
/// it is dropped before its end.
pub(crate) struct Scoring {
    conductor: ConductorId,
    weight: u32,
    meter: Meter,
    /// Of every answer that was scored.
    usages: Vec<Usage>,
}

/// What a cue cost whose answers were scored, in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Of the input: all that was computed, some of it for several answers.
    pub(crate) computed: usize,
    /// Of the answers.
    pub(crate) scored: usize,
    /// Of the input: what was there for every answer, so surely before the first was scored.
    pub(crate) there: usize,
}

/// Answers of one request that are in flight at once. More would fill the queue that all conductors share, and gain
/// nothing, for a step has no more places than this on most machines.
const AT_ONCE: usize = 32;

impl Cue {
    /// Begins to score.
    pub(crate) fn scoring(self, state: &AppState) -> Scoring {
        Scoring {
            conductor: self.cleared.conductor().clone(),
            weight: self.cleared.weight(),
            meter: Meter::start(&state.metrics, Arc::new(self.slot)),
            usages: Vec::new(),
        }
    }
}

impl Scoring {
    /// The scores of all answers to each question, in their order.
    ///
    /// # Errors
    /// The engine refuses or fails.
    pub(crate) async fn score(&mut self, state: &AppState, posed: &[Posed]) -> Result<Vec<Vec<Score>>, ApiError> {
        let caller = (self.conductor.clone(), self.weight);
        let requests = posed.iter().flat_map(|Posed { prefix, adapter, asked }| {
            let request = |answer: &Vec<TokenId>| {
                let with = (prefix.clone(), adapter.clone());
                Generate::score(caller.clone(), with, asked.prompt.clone(), answer.clone())
            };
            asked.answers.iter().map(request).collect::<Vec<_>>()
        });
        // Boxed, because what waits for its scores must not depend on the lifetimes inside.
        let requests: Box<dyn Iterator<Item = Generate> + Send> = Box::new(requests);
        let all = state.engine.score(requests, AT_ONCE).await.map_err(|error| {
            self.meter.fail();
            ApiError::from(error).or_param("input")
        })?;
        self.usages.extend(all.iter().map(|score| score.usage));
        let mut all = all.into_iter();
        Ok(posed.iter().map(|posed| all.by_ref().take(posed.asked.answers.len()).collect()).collect())
    }

    /// Ends the cue, and says what it cost in truth.
    pub(crate) fn end(mut self) -> Cost {
        let sum = |of: fn(&Usage) -> usize| self.usages.iter().map(of).sum::<usize>();
        let usage = Usage {
            input: sum(|usage| usage.input),
            cached: sum(|usage| usage.cached),
            output: sum(|usage| usage.output),
        };
        self.meter.end(FinishReason::Stop, &usage);
        let there = self.usages.iter().map(|usage| usage.cached).min().unwrap_or(0);
        Cost { computed: usage.input - usage.cached, scored: usage.output, there }
    }
}
