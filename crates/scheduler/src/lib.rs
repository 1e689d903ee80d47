//! Decides which tokens run next and which blocks of the paged cache hold them.
//!
//! Plan, execute, commit: [`StepPlan`] is made here, carried out elsewhere, and moved into `commit`, so it cannot
//! be committed twice. This crate touches no tensor and knows no time, no channels and no twins. It draws nothing
//! at random: the same calls in the same order give the same plans.

mod plan;

pub use plan::{BlockCopy, BlockId, Drawn, Owner, Span, StepEvent, StepPlan};
