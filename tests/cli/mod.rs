//! The `baton` program as its users see it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapters;
mod bench;
mod calibrate;
mod chat;
mod compile;
mod config;
mod doctor;
mod folder;
mod help;
#[cfg(feature = "hub")]
mod hub;
mod keys;
mod ledger;
mod lookup;
#[cfg(not(feature = "hub"))]
mod no_hub;
mod probe;
#[cfg(feature = "hub")]
mod pull;
#[cfg(feature = "hub")]
mod pull_repository;
mod report;
mod rules;
mod serve;
mod served;
mod support;
mod tiny;
mod trial;
mod twin;
