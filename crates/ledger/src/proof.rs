//! Proofs that can be verified anywhere with the ledger's public key alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::hash::{hex, unhex};
use crate::reader::{Reader, Text};
use crate::seal::{Opened, commitment};
use crate::tree::{self, is_consistent, root_from_inclusion};
use crate::{Checkpoint, Error, Hash, PublicKey};

const INCLUSION: &str = "baton-ledger-proof/1";
const CONSISTENCY: &str = "baton-ledger-consistency/1";

/// Proves that an entry is in the ledger that a checkpoint signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The content of the entry's leaf, JSON.
    pub leaf: String,
    /// The entry's place.
    pub index: u64,
    /// From the leaf to the root, the deepest first.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// Free texts that are shown along, by name.
    pub texts: BTreeMap<String, Opened>,
}

/// Proves that a ledger only grew between two checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The signed checkpoint of before.
    pub old: String,
    /// The signed checkpoint of after.
    pub new: String,
    /// The nodes that both roots are made of.
    pub path: Vec<Hash>,
}

/// A text and its salt, in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireText {
    text: String,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireProof {
    format: String,
    leaf: String,
    index: u64,
    path: Vec<String>,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<String, WireText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireConsistency {
    format: String,
    old: String,
    new: String,
    path: Vec<String>,
}

/// The parts of a leaf that a proof is held against.
#[derive(Deserialize)]
pub(crate) struct Leaf {
    pub(crate) index: u64,
    /// Commitments in hex by name.
    pub(crate) texts: BTreeMap<String, String>,
}

impl Proof {
    /// Reads the JSON that [`Proof::to_json`] writes.
    ///
    /// # Errors
    /// The text is not such JSON.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let wire: WireProof = parse("proof", INCLUSION, json)?;
        let texts = wire.texts.into_iter().map(|(name, text)| Some((name, text.read()?))).collect();
        Ok(Self {
            leaf: wire.leaf,
            index: wire.index,
            path: hashes(&wire.path)?,
            checkpoint: wire.checkpoint,
            texts: Option::ok_or(texts, Error::Format { what: "proof", problem: "a salt is not 64 hex digits" })?,
        })
    }

    /// The proof as JSON on one line.
    pub fn to_json(&self) -> String {
        let texts = self.texts.iter().map(|(name, text)| (name.clone(), WireText::of(text))).collect();
        to_json(&WireProof {
            format: INCLUSION.to_owned(),
            leaf: self.leaf.clone(),
            index: self.index,
            path: self.path.iter().map(ToString::to_string).collect(),
            checkpoint: self.checkpoint.clone(),
            texts,
        })
    }

    /// Verifies the proof: the checkpoint is signed, the leaf is in its tree at its index, and the texts are those
    /// that the leaf commits to.
    ///
    /// # Errors
    /// It does not hold.
    pub fn verify(&self, key: &PublicKey) -> Result<Checkpoint, Error> {
        let checkpoint = key.verify(&self.checkpoint)?;
        let root = root_from_inclusion(Hash::leaf(self.leaf.as_bytes()), self.index, checkpoint.size, &self.path);
        if root != Some(checkpoint.root) {
            return Err(Error::Proof("the entry is not in the tree that the checkpoint signed"));
        }
        let leaf = Leaf::parse(&self.leaf).ok_or(Error::Proof("its leaf is not an entry of version 1"))?;
        if leaf.index != self.index {
            return Err(Error::Proof("the entry has another index"));
        }
        if !self.texts.iter().all(|(name, text)| leaf.commits_to(name, text)) {
            return Err(Error::Proof("a text is not the one that the entry commits to"));
        }
        Ok(checkpoint)
    }
}

impl Consistency {
    /// Reads the JSON that [`Consistency::to_json`] writes.
    ///
    /// # Errors
    /// The text is not such JSON.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let wire: WireConsistency = parse("consistency proof", CONSISTENCY, json)?;
        Ok(Self { path: hashes(&wire.path)?, old: wire.old, new: wire.new })
    }

    /// The proof as JSON on one line.
    pub fn to_json(&self) -> String {
        let path = self.path.iter().map(ToString::to_string).collect();
        to_json(&WireConsistency { format: CONSISTENCY.to_owned(), old: self.old.clone(), new: self.new.clone(), path })
    }

    /// Verifies the proof: both checkpoints are signed, and the second ledger begins with the first.
    ///
    /// # Errors
    /// It does not hold.
    pub fn verify(&self, key: &PublicKey) -> Result<(Checkpoint, Checkpoint), Error> {
        let (old, new) = (key.verify(&self.old)?, key.verify(&self.new)?);
        if is_consistent((old.size, old.root), (new.size, new.root), &self.path) {
            Ok((old, new))
        } else {
            Err(Error::Proof("the newer ledger does not begin with the older one"))
        }
    }
}

impl Reader {
    /// The newest signed checkpoint.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn checkpoint(&self) -> Result<String, Error> {
        let sql = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }

    /// Proves that an entry is in the ledger, with its texts if they are to be shown and can be read.
    ///
    /// # Errors
    /// There is no such entry, or the ledger cannot be read.
    pub fn prove(&self, index: u64, with_texts: bool) -> Result<Proof, Error> {
        let snapshot = self.connection.unchecked_transaction()?;
        let (row, _) = self.row(index)?;
        let checkpoint = self.checkpoint()?;
        let size = self.size()?;
        let path = tree::inclusion(index, size, &*snapshot)?;
        let texts = if with_texts { self.texts(&row)? } else { BTreeMap::new() };
        let texts = texts.into_iter().filter_map(|(name, text)| match text {
            Text::Readable(opened) => Some((name, opened)),
            Text::Erased { .. } | Text::Sealed | Text::Damaged(_) => None,
        });
        Ok(Proof { leaf: row.leaf_text(), index, path, checkpoint, texts: texts.collect() })
    }

    /// Proves that the ledger still begins with what an older checkpoint signed.
    ///
    /// # Errors
    /// The checkpoint is not this ledger's or has more entries, or the ledger cannot be read. That the ledger does
    /// not begin so shows when the proof is verified.
    pub fn prove_consistency(&self, old: &str) -> Result<Consistency, Error> {
        let snapshot = self.connection.unchecked_transaction()?;
        let checkpoint = self.stored_key()?.verify(old)?;
        let size = self.size()?;
        if checkpoint.size > size {
            return Err(Error::Size { size, asked: checkpoint.size });
        }
        let path = tree::consistency(checkpoint.size, size, &*snapshot)?;
        Ok(Consistency { old: old.to_owned(), new: self.checkpoint()?, path })
    }
}

impl Leaf {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v: 1 } = serde_json::from_str(text).ok()? else { return None };
        serde_json::from_str(text).ok()
    }

    pub(crate) fn commits_to(&self, name: &str, text: &Opened) -> bool {
        self.texts.get(name).is_some_and(|hash| *hash == hex(&commitment(&text.salt, &text.text)))
    }
}

impl WireText {
    pub(crate) fn of(opened: &Opened) -> Self {
        Self { text: opened.text.to_string(), salt: hex(&opened.salt) }
    }

    pub(crate) fn read(self) -> Option<Opened> {
        Some(Opened { salt: unhex(&self.salt)?, text: Zeroizing::new(self.text) })
    }
}

fn parse<T: for<'de> Deserialize<'de>>(what: &'static str, expected: &str, json: &str) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    let format = serde_json::from_str(json).map(|Format { format }| format);
    if format.ok().as_deref() != Some(expected) {
        return Err(Error::Format { what, problem: "it is not JSON that says so" });
    }
    serde_json::from_str(json).map_err(|_| Error::Format { what, problem: "a field is missing, wrong or unknown" })
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    // Texts, numbers and lists of them can always be written.
    serde_json::to_string(value).unwrap_or_default()
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, Error> {
    texts.iter().map(|text| text.parse()).collect()
}
