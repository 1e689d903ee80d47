//! How an engine is set up.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use baton_contract::BLOCK_SIZE;
use baton_scheduler::SchedulerConfig;

/// What an engine needs to know beside how to build its executor.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The scheduler's limits. `max_sequences` and `max_waiting` together are the most requests in flight.
    pub scheduler: SchedulerConfig,
    /// Tokens that the model knows; ids are below it.
    pub vocabulary: usize,
    /// Tells the time.
    pub clock: Clock,
}

/// Tells the time; passed in, so that tests can make it up.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Instant + Send + Sync>);

/// What a request has to fit into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of one sequence, input and output.
    pub max_context: usize,
    /// Tokens that the model knows; ids are below it.
    pub vocabulary: usize,
}

impl Clock {
    /// The system's monotonic clock.
    pub fn system() -> Self {
        Self::from_fn(Instant::now)
    }

    /// A clock that asks `now`.
    pub fn from_fn(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> Instant {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl EngineConfig {
    /// Most requests in flight: running and waiting.
    pub(crate) fn capacity(&self) -> usize {
        self.scheduler.max_sequences + self.scheduler.max_waiting
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_context: self.scheduler.max_context.min(self.scheduler.blocks * BLOCK_SIZE),
            vocabulary: self.vocabulary,
        }
    }
}
