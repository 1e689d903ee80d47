//! The twin-pack format: reads, checks and writes packs of every version.
//!
//! A pack is a folder of plain text:
//!
//! ```text
//! twin.toml         who, what for, until when, with which defaults and limits (required)
//! instructions.md   how the expert decides (required)
//! context/*.md      what the expert knows, one document a subject
//! cases/*.toml      known-good cases: questions with checks on the answer (at least one)
//! spec.json         a JSON Schema that answers must meet (optional)
//! adapter/*         weights of a LoRA adapter (optional; listed and digested, never read here)
//! ```
//!
//! Everything in the folder is either part of the pack or an error; nothing is read silently wrong. Names that
//! begin with a dot are not part of the pack and are never read. A pack's digest covers the sorted paths and
//! contents of its files and nothing else: no file dates, no modes, no listing order. In text files CRLF counts
//! as LF, so that a checkout on any system has the same digest.
//!
//! This crate knows no model, no tokenizer and no protocol: the caller passes a function that counts tokens, and
//! today's date. Wire types live in one module per format version and never leave it.

mod case;
mod catalog;
mod check;
mod create;
mod error;
mod finding;
mod folder;
mod limits;
mod manifest;
mod pack;
mod source;
mod spec;
#[cfg(test)]
mod tests;
mod v1;

pub use case::{Case, Check, Pattern};
pub use catalog::Catalog;
pub use check::check;
pub use create::create_new;
pub use error::CreateError;
pub use finding::{Finding, Report, Severity};
pub use folder::PackFile;
pub use jiff::civil::Date;
pub use manifest::{Exclusion, Expert, Limits, Manifest, SamplingDefaults, Scope};
pub use pack::{Document, Pack};
