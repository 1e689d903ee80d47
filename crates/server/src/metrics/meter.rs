//! What one answer took.

use std::sync::Arc;
use std::time::Instant;

use baton_contract::{FinishReason, Usage};
use tracing::Span;

use super::{Ended, Metrics};
use crate::conductors::Slot;
use crate::cue::finish_reason;

/// Measures one answer from submission to its end; one that is dropped before counts as aborted.
pub(crate) struct Meter {
    metrics: Metrics,
    /// The request's; the answer may outlive its handler.
    span: Span,
    /// The conductor's place, given back when all answers of a cue have ended.
    _slot: Arc<Slot>,
    started: Instant,
    last: Option<Instant>,
    tokens: usize,
    ended: bool,
}

impl Meter {
    pub(crate) fn start(metrics: &Metrics, slot: Arc<Slot>) -> Self {
        let metrics = metrics.clone();
        Self {
            metrics,
            span: Span::current(),
            _slot: slot,
            started: Instant::now(),
            last: None,
            tokens: 0,
            ended: false,
        }
    }

    /// A token has come.
    pub(crate) fn token(&mut self) {
        let now = Instant::now();
        let inner = &self.metrics.0;
        match self.last.replace(now) {
            None => inner.first_token.observe((now - self.started).as_secs_f64()),
            Some(last) => inner.next_token.observe((now - last).as_secs_f64()),
        }
        self.tokens += 1;
    }

    /// How many have come.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// The answer is complete.
    pub(crate) fn end(&mut self, reason: FinishReason, usage: &Usage) {
        let took = self.started.elapsed();
        self.metrics.0.whole.observe(took.as_secs_f64());
        self.over(finish_reason(reason));
        tracing::info!(
            parent: &self.span,
            reason = finish_reason(reason),
            input = usage.input,
            cached = usage.cached,
            output = usage.output,
            seconds = took.as_secs_f64(),
            "answered"
        );
    }

    /// The engine has failed.
    pub(crate) fn fail(&mut self) {
        self.over("error");
        tracing::warn!(parent: &self.span, output = self.tokens, "failed");
    }

    fn over(&mut self, finished_reason: &'static str) {
        self.ended = true;
        self.metrics.0.ended.get_or_create(&Ended { finished_reason }).inc();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.ended {
            self.over("abort");
            tracing::info!(parent: &self.span, output = self.tokens, "left");
        }
    }
}
