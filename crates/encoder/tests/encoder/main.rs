//! The encoder against references, by itself, and as a service.
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod folders;
mod real;
mod service;
mod tiny;
