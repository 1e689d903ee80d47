//! Holds an answer to a JSON Schema: token by token while it is drawn, and as a whole when it is there.
//!
//! * [`Schema::read`]: a schema whose every keyword can be honoured, or the path of the first that cannot.
//! * [`Grammars::compile`]: a schema as a [`Constraint`](baton_contract::Constraint) for one vocabulary.
//! * [`Grammars::compile_calls`]: the same for an answer that calls tools, whose arguments meet a schema each.
//! * [`Schema::check`]: what a finished answer breaks, if anything.
//!
//! The two halves are made independently of each other, the first by llguidance and the second here, so that a fault in
//! one shows in the other. A schema may come from anybody: its size, its nesting, the work to compile it and the work for
//! each token are bounded, and what exceeds the bounds is an error.
//!
//! It knows no HTTP, no engine, no packs and no files, and it opens no connection: a `$ref` leads into the same schema.

mod calls;
mod check;
mod ending;
mod error;
mod exclusive;
mod format;
mod grammar;
mod keywords;
mod limits;
mod names;
mod references;
mod schema;
mod vocabulary;
mod walk;

pub use calls::{CallError, CallGrammar, CallRules};
pub use check::Breach;
pub use error::SchemaError;
pub use grammar::{Grammar, Grammars};
pub use schema::Schema;

#[cfg(test)]
mod tests;
