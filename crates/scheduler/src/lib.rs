//! Decides which tokens run next and which blocks of the paged cache hold them.
//!
//! Plan, execute, commit: [`StepPlan`] is made here, carried out elsewhere, and moved into `commit`, so it cannot
//! be committed twice. This crate touches no tensor and knows no time, no channels and no twins. It draws nothing
//! at random: the same calls in the same order give the same plans.
//!
//! What must always hold is named in [`Broken`] and checked by [`Scheduler::check_invariants`].

mod chain;
mod check;
mod config;
mod fairness;
mod plan;
mod planner;
mod pool;
mod prefixes;
mod scheduler;
mod sequence;
mod snapshot;

pub use check::Broken;
pub use config::{AdmitError, Invalid, SchedulerConfig};
pub use plan::{BlockCopy, BlockId, Drawn, KeptPrefix, Owner, Span, StepEvent, StepPlan};
pub use scheduler::Scheduler;
pub use snapshot::{BlockCounts, Snapshot};
