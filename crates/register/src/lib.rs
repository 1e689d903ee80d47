//! Keeps the docket of decisions in the ledger: events become rows, and rows become events again.
//!
//! [`Register`] holds both. Whatever happens to a decision is checked against the docket, written to the ledger and only
//! then counts, all under one lock; at a start the docket is rebuilt from the rows. [`Cue`] is the row of an answer,
//! [`Recorded`] that row read back to be asked again, and [`Change`] the row of a key, of rules or of a pack. Architects'
//! answers to proposals are kept the same way as decisions.
//!
//! What people wrote (questions, answers, reasons, fixes, names of products) goes into a row's texts, which can be
//! erased; ids, digests and numbers go into its body. A docket that is rebuilt after an erasure has the same decisions
//! without those words.
//!
//! This crate does not know HTTP, any runtime, models, or what a tier is found from. Calls block on the disk.

mod again;
mod case;
mod change;
mod cue;
mod error;
mod gap;
mod kinds;
mod recorded;
mod register;
mod reply;
mod rows;
mod rulings;
mod wire;

pub use again::{Again, EMBEDDINGS, LOGPROB_TOLERANCE, PROBABILITY_TOLERANCE};
pub use case::{Drafted, is_drafted};
pub use change::{Change, Held, Published, record};
pub use cue::{Cue, Drawn, Ended};
pub use error::Error;
pub use gap::{Gap, gaps_of};
pub use kinds::{APPROVAL, CASE, CUE, DECISION, GAP, KEY, OVERRIDE, PACK, PROPOSAL, PUBLICATION, REPLY, REVIEW, RULES};
pub use recorded::{Draws, Recorded, Unanswerable};
pub use register::{Register, docket_of};
pub use reply::KeptReply;
pub use rows::{entry_of, event_of};
pub use rulings::rulings_of;
