//! Rule sets through the public interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;
mod properties;
mod shipped;
mod support;
