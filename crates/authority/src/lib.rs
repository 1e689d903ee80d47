//! Says who may do what, and what checking a decision needs: keys and their roles, mandates, the clearing of a cue,
//! and the judging of a decision by blast radius, rules, overrides and decision spaces.
//!
//! Everything here is pure and deterministic. This crate knows no HTTP, no files, no clock, no source of
//! randomness and no model: times, random bytes and file texts are passed in and handed back. A key's secret
//! is never stored, only its keyed hash.

mod acts;
mod clear;
pub mod docket;
mod error;
mod facts;
mod judge;
mod key;
mod mandate;
mod overrides;
mod ring;
mod roles;
mod ruling;
pub mod space;
mod store;
mod table;

pub use acts::{Act, Cell, Forbidden, On, may};
pub use clear::{Ask, ClearedCue, Denied, Target, clear};
pub use error::Error;
pub use facts::{Confidence, Facts, Reading, UNSTATED};
pub use judge::{Standards, judge};
pub use key::{InstallationSecret, KEY_RANDOM_BYTES, KeyId, NewKey};
pub use mandate::{Cleared, Ground, Mandate};
pub use overrides::{Override, OverrideError};
pub use ring::{KeyRecord, KeyRing, Principal};
pub use roles::Roles;
pub use ruling::{Asked, Fired, Outcome, Ruling, Source, Standing};
pub use space::{DecisionSpace, SpaceDraft, SpaceError, SpaceId};
pub use table::{FreeGround, free_ground, read_off};
