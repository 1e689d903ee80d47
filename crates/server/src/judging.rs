//! What becomes of a decision once the twin has judged: its tier, its record, and who has to look at it.
//!
//! [`settle`] finds the checking that a decision needs, writes it to the ledger and says whether the answer goes out. The
//! routes are what people do afterwards: approve or refuse what is held, review what was assumed, withdraw, correct.
//! Nothing counts before the ledger has it.

mod ask;
mod case;
mod deeds;
mod desk;
mod lower;
mod moves;
mod question;
mod refused;
mod release;
mod routes;
mod settle;
mod spaces;
mod status;
mod tables;
mod unrecorded;
mod waiting;

pub(crate) use ask::{Stated, not_of_a_twin};
pub(crate) use case::make_case;
pub(crate) use desk::Desk;
pub(crate) use moves::can_be_made;
pub(crate) use question::stated_radius;
pub(crate) use release::{release_approved, void_changed};
pub(crate) use routes::{act, list, retrieve};
pub(crate) use settle::{Filed, Matter, settle};
pub use spaces::hand_over;
pub(crate) use tables::{rules, spaces};
pub(crate) use unrecorded::Unrecorded;
