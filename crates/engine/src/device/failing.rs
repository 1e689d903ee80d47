//! What becomes of requests when something fails.

use std::error::Error;

use baton_contract::{Digest, Emission, SequenceId};
use baton_scheduler::{Span, StepPlan};

use super::Device;
use crate::ExecutorError;
use crate::error::chain;

/// Failed steps in a row that make an engine unhealthy.
const UNHEALTHY_AFTER: u32 = 3;

impl Device {
    /// The step failed: so do its requests, and only they.
    pub(super) fn abort(&mut self, plan: StepPlan, error: &ExecutorError) {
        self.failures += 1;
        self.board.counters.failed_steps += 1;
        let (step, lost) = (plan.step, matches!(error, ExecutorError::Lost(_)));
        let dropped = self.scheduler.abort(plan);
        let error = chain(error);
        tracing::error!(step, error, failures = self.failures, requests = dropped.len(), "step failed");
        if lost || self.failures >= UNHEALTHY_AFTER {
            self.board.unhealthy = Some(error.clone());
        }
        if lost {
            self.lost = true;
            self.shared.lose(error);
        }
        self.fail(dropped, "the engine failed at this request; send it again");
    }

    /// An adapter is missing: the requests for it fail, and the others of the step are planned again.
    pub(super) fn refuse(&mut self, plan: StepPlan, adapter: Digest, reason: &dyn Error) {
        let needs = |span: &Span| span.adapter.as_ref().is_some_and(|of| of.digest() == adapter);
        let dropped = self.scheduler.withdraw(plan, needs);
        let (adapter, reason) = (adapter.short(), chain(reason));
        tracing::error!(adapter, reason, requests = dropped.len(), "an adapter could not be loaded");
        self.fail(dropped, "this twin's adapter could not be loaded; send the request again later");
    }

    fn fail(&mut self, dropped: Vec<SequenceId>, text: &str) {
        self.board.counters.failed += dropped.len() as u64;
        self.publish();
        for sequence in dropped {
            self.end(sequence, Emission::Failed(text.to_owned()));
        }
    }

    /// What computes is lost: so is everybody's work, also of those who asked during the last step.
    pub(super) fn tell_of_loss(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.handle(command);
        }
        self.fail_all("the device that computes the model has failed; send the request again later");
    }

    /// The scheduler has work but no plan, which it promises never to say. Failing loudly beats hanging.
    pub(super) fn stalled(&mut self) {
        tracing::error!(requests = self.jobs.len(), "the scheduler has work, but no plan");
        self.board.counters.broken_invariants += 1;
        self.fail_all("the engine could not schedule this request; send it again");
    }

    pub(super) fn fail_all(&mut self, text: &str) {
        let jobs = std::mem::take(&mut self.jobs);
        self.board.counters.failed += jobs.len() as u64;
        for sequence in jobs.keys() {
            self.scheduler.cancel(*sequence);
        }
        self.publish();
        for job in jobs.into_values() {
            job.end(Emission::Failed(text.to_owned()));
        }
    }
}
