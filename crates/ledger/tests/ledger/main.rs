//! The ledger as its users see it, and what it withstands.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append;
mod crash;
mod erase;
mod export;
mod faults;
mod fixture;
mod mutate;
mod outbox;
mod read;
mod support;
mod torn;
