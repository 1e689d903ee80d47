//! Format 2, as it is written down: format 1, and what the twin's decisions are about, decision spaces, checks on
//! every answer, the bar for the cases, more kinds of checks, and rules. Frozen: a change here needs a new number.

mod cases;
mod checks;
mod decisions;
mod manifest;

pub(crate) use cases::parse as parse_cases;
pub(crate) use manifest::parse as parse_manifest;

/// The format number that this module reads.
pub(crate) const FORMAT: i64 = 2;
