//! Appends entries, proves that none was changed, and reads them back.
//!
//! A ledger is a Merkle tree (RFC 6962) over rows of one SQLite file. [`Ledger`] writes it from a thread of its own:
//! a receipt comes only once the entry is on the disk, and every transaction ends with a signed checkpoint of the
//! whole. [`Outbox`] takes entries that nobody waits for. [`Reader`] reads it beside the writer, [`Reader::verify`]
//! checks all of it, and [`Proof`], [`Consistency`] and [`Reader::export`] are what leaves the house. Free texts lie
//! beside the rows, each encrypted with a key of its own, so that deleting the key erases the text and the tree still
//! verifies. `FORMAT.md` describes the file.
//!
//! This crate does not know why an entry was made, nor any runtime, protocol or model. Time, randomness, the secret
//! and the signing key are passed in.

mod checkpoint;
mod entry;
mod erase;
mod error;
mod export;
mod filter;
mod finding;
mod hash;
mod json;
mod ledger;
mod outbox;
mod pending;
mod proof;
mod reader;
mod retention;
mod schema;
mod seal;
mod store;
mod tree;
mod verify;
mod writer;

pub use checkpoint::{Checkpoint, PublicKey, Signer};
pub use entry::{ERASURE, EntryId, MAX_BODY_BYTES, MAX_TEXT_BYTES, MAX_TEXTS, NewEntry, Receipt};
pub use erase::{Erased, Erasure};
pub use error::Error;
pub use export::{ExportReport, verify_export};
pub use filter::{Filter, Page};
pub use finding::Finding;
pub use hash::Hash;
pub use ledger::{Ledger, Options};
pub use outbox::{Outbox, Room, Told};
pub use pending::Pending;
pub use proof::{Consistency, Proof};
pub use reader::{Reader, Record, Text};
pub use retention::Retention;
pub use seal::{Opened, Random, Secret};
pub use tree::{Frontier, is_consistent, root_from_inclusion};
pub use verify::Report;
