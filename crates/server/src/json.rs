//! Strict JSON: what one reader could understand in one way and another in another is refused.
//!
//! Duplicate keys, deep nesting and bodies of very many small values are errors; a field that was read is
//! taken out of its object, so whatever is left at the end is a field that nobody knows.

mod fields;
mod strict;

pub(crate) use fields::{Fields, integer, kind_of, number, wrong_type};
pub(crate) use strict::parse;
