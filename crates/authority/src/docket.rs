//! The life of a decision once its tier is known, as a state that is built from events.
//!
//! A [`Docket`] holds decisions. A command is a method with `&self`: it checks, changes nothing, and gives the [`Event`]
//! that is to be recorded, or says in [`Rejected`] why there is none. [`Docket::apply`] changes the state. The caller
//! writes an event to the ledger before it applies it; [`Docket::replay`] makes the same state from the ledger's events.
//!
//! **The caller holds one lock from check to apply**, around the ledger's append too. A check speaks about the state it
//! saw; of two commands that want the same thing, the second is then checked against what the first has changed, and is
//! rejected. Without the lock both would be recorded, and the second would not fit.
//!
//! An event says everything that the state needs, and it is checked again when it is applied: whatever a ledger holds, no
//! decision of tier 3 counts as released without an approval by somebody else over the digests that were held, and
//! nothing that an invariant denies counts as released at all.
//!
//! | tier | opened as | then, by whom | stands as |
//! | --- | --- | --- | --- |
//! | 1 | released | – | `released`, for good |
//! | 2 | released, `in-review` | checked by an expert of the twin | `checked-ok` or, with the fix, `checked-wrong` |
//! | | | its review-by time | `expired-unchecked` |
//! | 3 | `held` | approved by an expert of the twin who did not ask | `approved`, until the approval expires |
//! | | `held` | refused by such an expert, with a reason | `refused` |
//! | | `held` | the last default that asked for tier 3 was overridden by who asked | as if opened in the lower tier |
//! | | `approved` | released, once | `released`, for good |
//! | | `held` or `approved` | withdrawn by who asked | `withdrawn` |
//! | | `held` or `approved` | a digest has changed | `voided` |
//! | | `held` or `approved` | its time is over | `expired` |
//! | – | `denied` | the last default that denied it was overridden by who asked | as if opened in the tier that is left |
//!
//! A time limit is over at its very instant. What was released stays released: if it is found to be wrong outside the
//! review, a correction is noted beside it. What was held is kept by digest and by the ledger's row that has its text;
//! nothing here can produce another text.

mod bound;
mod case;
mod command;
mod decision;
mod error;
mod event;
mod fits;
pub mod line;
mod opening;
mod queue;
mod state;
pub mod tax;
#[cfg(test)]
mod tests;
mod words;

pub use bound::{Bound, Part};
pub use case::{Asked, CaseDraft, CheckDraft, NoCase};
pub use command::{Approve, Expert, Verdict};
pub use decision::{Decision, Standing};
pub use error::{Misfit, Rejected};
pub use event::{Answered, Approval, Event, Opened, Override};
pub use opening::{Course, Fired, Opening, RuleKind, Subject, TextRow};
pub use state::Docket;
pub use words::{DecisionId, RuleId, TypedKey, Words, WordsError};
