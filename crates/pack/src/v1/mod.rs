//! Format 1, as it is written down. Frozen: a change here needs a new format number.

pub(crate) mod cases;
pub(crate) mod manifest;

/// The format number that this module reads.
pub(crate) const FORMAT: i64 = 1;
