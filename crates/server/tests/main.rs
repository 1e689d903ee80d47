//! The server over loopback, with a scripted engine in place of a model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
