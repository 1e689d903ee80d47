//! What a test can do to a scripted executor from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_contract::{Adapter, Digest, SequenceId};
use baton_scheduler::{Span, StepPlan};

use crate::SimulatedClock;

/// Watches and disturbs a scripted executor. Clones control the same one.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Inner>);

/// What goes wrong in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panics, after it has written to the cache.
    Panic,
    /// It returns an error, after it has written to the cache.
    Error,
    /// What computes fails for good.
    Lost,
    /// The adapter of this digest cannot be loaded; blocks were copied, and nothing was computed.
    Adapter(Digest),
    /// No token can be drawn for this sequence; the others are fine.
    Draw(SequenceId),
    /// It takes this much longer.
    Slow(Duration),
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    clock: SimulatedClock,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<u64, Fault>,
    /// Steps that may still pass; `None` lets all pass.
    allowed: Option<usize>,
    /// The step that waits to pass.
    held: Option<u64>,
    plans: Vec<StepPlan>,
}

/// What every step takes on the simulated clock.
const STEP_TIME: Duration = Duration::from_millis(10);

impl Control {
    /// The clock of this executor; each step advances it by 10 ms.
    pub fn clock(&self) -> &SimulatedClock {
        &self.0.clock
    }

    /// Lets a step go wrong. Steps count from 1.
    pub fn fault(&self, step: u64, fault: Fault) {
        self.state().faults.insert(step, fault);
    }

    /// Holds every step from now on, until it is allowed.
    pub fn hold(&self) {
        self.state().allowed = Some(0);
    }

    /// Waits until a step is held, and returns its number. The engine has then taken in everything submitted before
    /// that step and will take in nothing more until it has passed.
    pub fn wait_held(&self) -> u64 {
        let mut state = self.state();
        loop {
            match state.held {
                Some(step) if state.allowed == Some(0) => return step,
                _ => state = self.wait(state),
            }
        }
    }

    /// Lets so many steps pass and holds the ones after them.
    pub fn allow(&self, steps: usize) {
        self.state().allowed = Some(steps);
        self.0.changed.notify_all();
    }

    /// Lets every step pass from now on.
    pub fn release(&self) {
        self.state().allowed = None;
        self.0.changed.notify_all();
    }

    /// All plans so far, in order; the held one is among them.
    pub fn plans(&self) -> Vec<StepPlan> {
        self.state().plans.iter().map(copy_of).collect()
    }

    /// Records the plan, waits until it may pass, and says what is to go wrong.
    pub(crate) fn enter(&self, plan: &StepPlan) -> Option<Fault> {
        let mut state = self.state();
        state.plans.push(copy_of(plan));
        while state.allowed == Some(0) {
            state.held = Some(plan.step);
            self.0.changed.notify_all();
            state = self.wait(state);
        }
        state.held = None;
        state.allowed = state.allowed.map(|steps| steps - 1);
        let fault = state.faults.remove(&plan.step);
        let slow = if let Some(Fault::Slow(time)) = fault { time } else { Duration::ZERO };
        self.0.clock.advance(STEP_TIME + slow);
        fault
    }

    /// A scripted panic must not spoil the control of what comes after it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(span: &Span) -> Span {
    Span { adapter: span.adapter.as_ref().map(Adapter::named), ..span.clone() }
}

/// Plans are not `Clone`, so that none is committed twice by accident. What is remembered of adapters are their names: nobody
/// else keeps their weights, and this must not either.
fn copy_of(plan: &StepPlan) -> StepPlan {
    let StepPlan { step, restores, copies, spans, stores } = plan;
    StepPlan {
        step: *step,
        restores: restores.clone(),
        copies: copies.clone(),
        spans: spans.iter().map(named).collect(),
        stores: stores.clone(),
    }
}
