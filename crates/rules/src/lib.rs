//! Says which rules stand on a decision: Cedar policies behind four guards.
//!
//! 1. Policies are validated strictly against [`SCHEMA`] when they are loaded; a warning is a refusal too.
//! 2. An evaluation that ends in an error is a deny that nobody can release.
//! 3. Policy text is capped in size and nesting and parsed on a thread with a large stack of its own.
//! 4. What a rule sees is built from typed values ([`Situation`]), never from JSON of a caller.
//!
//! Rules only restrict. Every policy is a `forbid`, so a rule that is added never takes a restriction away; and no
//! rule may ask that a fact which makes a decision graver does *not* hold, so a graver decision always meets at least
//! the same rules. No rule can see overrides. What a rule asks for is in its annotations: see [`Rule`].
//!
//! This crate does not know what a tier is decided from, who may override, where texts come from or what time it is.

mod context;
mod error;
mod guard;
mod parse;
mod rule;
mod set;
mod shape;
mod source;

pub use context::Situation;
pub use error::Error;
pub use guard::{FILE_BYTES, FILES, NESTING, RULES};
pub use rule::{Effect, Kind, Layer, Rule, RuleId};
pub use set::RuleSet;
pub use source::{Move, Source, shipped};

/// What a rule can see, as a Cedar schema.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
