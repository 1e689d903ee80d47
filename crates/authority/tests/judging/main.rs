//! Judging through the public interface: a table of situations, decision spaces, and what must hold for all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod house;
mod properties;
mod situations;
mod spaces;
