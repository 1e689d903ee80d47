//! Tables and properties.
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

mod calibration;
mod judgment;
mod question;
mod reader;
