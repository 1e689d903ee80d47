//! The `baton` program as its users see it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chat;
mod config;
mod doctor;
mod help;
mod hub;
mod keys;
mod pull;
mod serve;
mod support;
mod twin;
