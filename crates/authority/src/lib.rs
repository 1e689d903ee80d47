//! Says who may cue what: conductors' keys, their mandates, and the clearing of a cue.
//!
//! Everything here is pure and deterministic. This crate knows no HTTP, no files, no clock, no source of
//! randomness and no model: times, random bytes and file texts are passed in and handed back. A key's secret
//! is never stored, only its keyed hash.

mod clear;
pub mod docket;
mod error;
mod key;
mod mandate;
mod ring;
mod store;

pub use clear::{ClearedCue, Denied, Target, clear};
pub use error::Error;
pub use key::{InstallationSecret, KEY_RANDOM_BYTES, KeyId, NewKey};
pub use mandate::{Cleared, Mandate};
pub use ring::{KeyRecord, KeyRing, Principal};
