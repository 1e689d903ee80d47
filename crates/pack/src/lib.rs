//! The twin-pack format: reads, checks and writes packs of every version.
//!
//! A pack is a folder of plain text:
//!
//! ```text
//! twin.toml         who, what for, until when, with which defaults and limits (required)
//! instructions.md   how the expert decides (required)
//! context/*.md      what the expert knows, one document a subject
//! cases/*.toml      known-good cases: questions with checks on the answer (at least one)
//! rules/*.cedar     the expert's rules, as text (optional, from format 2 on)
//! spec.json         a JSON Schema that answers must meet (optional)
//! adapter/*         a LoRA adapter in PEFT's two files (optional; listed and digested, never read here)
//! ```
//!
//! Everything in the folder is either part of the pack or an error; nothing is read silently wrong. Names that
//! begin with a dot are not part of the pack and are never read. A pack's digest covers the sorted paths and
//! contents of its files and nothing else: no file dates, no modes, no listing order. In text files CRLF counts
//! as LF, so that a checkout on any system has the same digest.
//!
//! What the parts from format 2 on are for: `[decisions]` of the manifest says what the twin's decisions are about,
//! `[[space]]` what its expert hands over in advance, `[[spec.check]]` what every answer must meet, `[cases]` how many
//! of the cases must pass, `[adapter]` for which model the adapter was trained. None of it is part of what the model reads.
//!
//! This crate knows no model, no tokenizer, no protocol and no language of rules: the caller passes functions that
//! count tokens and check rules, and the time. Wire types live in one module per format version and never leave it.

mod answer;
mod case;
mod catalog;
mod check;
mod create;
mod decisions;
mod error;
mod finding;
mod folder;
mod json;
mod limits;
mod manifest;
mod pack;
mod passage;
mod pattern;
mod publication;
mod shelf;
mod source;
mod spec;
#[cfg(test)]
mod tests;
mod trial;
mod trial_file;
mod v1;
mod v2;
mod versions;
mod wire;

pub use answer::{AnswerCheck, REFUSING};
pub use case::{Case, Check, Choice, Stated};
pub use catalog::Catalog;
pub use check::{Given, RuleFault, check};
pub use create::create_new;
pub use decisions::{Decisions, Space, Topic};
pub use error::{CreateError, TrialError, VersionError};
pub use finding::{Finding, Report, Severity};
pub use folder::PackFile;
pub use jiff::{Timestamp, civil::Date};
pub use json::{JsonCheck, JsonPointer, JsonTest};
pub use manifest::{Exclusion, Expert, Limits, Manifest, SamplingDefaults, Scope};
pub use pack::{Document, Pack, RuleFile};
pub use passage::Passage;
pub use pattern::Pattern;
pub use publication::{Publication, Tested};
pub use shelf::{AddError, add_case};
pub use trial::{CaseOutcome, Trial, TriedCase};
pub use versions::{Journal, Versions, may_publish, target};
