//! The whole ledger as JSON lines, which can be verified without it.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::proof::{Leaf, WireText, to_json};
use crate::reader::{COLUMNS, Reader, Text, read_row};
use crate::{Checkpoint, Error, Frontier, Hash, PublicKey};

const FORMAT: &str = "baton-ledger-export/1";
/// Entries between two signs of progress.
const STEP: u64 = 256;

/// What an export was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The checkpoint that it adds up to.
    pub checkpoint: Checkpoint,
    /// Texts that come along and are those that were committed to.
    pub texts: u64,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    key: String,
    checkpoint: String,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The content of the leaf.
    leaf: String,
    /// Texts by name; null for one that was erased.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<String, Option<WireText>>,
}

impl Reader {
    /// Writes the ledger as it is now: a line with key and checkpoint, then one line an entry. With texts, those that
    /// are still there and can be read come along. `progress` gets entries done and in all. Returns how many.
    ///
    /// # Errors
    /// The ledger cannot be read, or the output cannot be written.
    pub fn export(
        &self,
        out: &mut dyn Write,
        with_texts: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, Error> {
        let snapshot = self.connection.unchecked_transaction()?;
        let size = self.size()?;
        let (key, checkpoint) = (self.stored_key()?.to_string(), self.checkpoint()?);
        write(out, &Head { format: FORMAT.to_owned(), key, checkpoint })?;
        let mut statement = snapshot.prepare(&format!("SELECT {COLUMNS} FROM entries ORDER BY idx"))?;
        let mut rows = statement.query([])?;
        let mut done = 0;
        while let Some(sql_row) = rows.next()? {
            let (row, _) = read_row(sql_row)?;
            let texts = if with_texts { self.texts(&row)? } else { BTreeMap::new() };
            let texts = texts.into_iter().map(|(name, text)| match text {
                Text::Readable(opened) => (name, Some(WireText::of(&opened))),
                Text::Erased { .. } | Text::Sealed | Text::Damaged(_) => (name, None),
            });
            write(out, &Line { leaf: row.leaf_text(), texts: texts.collect() })?;
            done += 1;
            if done % STEP == 0 {
                progress(done, size);
            }
        }
        out.flush().map_err(|error| Error::Output(Arc::new(error)))?;
        progress(done, size);
        Ok(done)
    }
}

/// Verifies an export with the ledger's public key alone: the entries are all there, in order, those that the
/// checkpoint signed, and the texts are those that they commit to.
///
/// # Errors
/// The export cannot be read or does not hold.
pub fn verify_export(input: impl BufRead, key: &PublicKey) -> Result<ExportReport, Error> {
    let mut lines = input.lines().zip(1..).map(|(line, number)| {
        let bad = |problem: String| Error::Export { line: number, problem };
        line.map(|text| (text, number)).map_err(|error| bad(error.to_string()))
    });
    let bad = |line, problem: &str| Error::Export { line, problem: problem.to_owned() };
    let (first, _) = lines.next().ok_or_else(|| bad(1, "it is empty"))??;
    let head: Head = serde_json::from_str(&first).map_err(|_| bad(1, "it is not the first line of an export"))?;
    if head.format != FORMAT {
        return Err(bad(1, "the export has another version"));
    }
    let checkpoint = key.verify(&head.checkpoint)?;
    let mut frontier = Frontier::default();
    let mut texts = 0;
    for line in lines {
        let (text, number) = line?;
        let line: Line = serde_json::from_str(&text).map_err(|error| bad(number, &error.to_string()))?;
        let leaf = Leaf::parse(&line.leaf).ok_or_else(|| bad(number, "its leaf is not an entry of version 1"))?;
        if leaf.index != frontier.size() {
            return Err(bad(number, "the entry is not the next one"));
        }
        for (name, text) in line.texts {
            let Some(text) = text else { continue };
            let opened = text.read().ok_or_else(|| bad(number, "a salt is not 64 hex digits"))?;
            if !leaf.commits_to(&name, &opened) {
                return Err(bad(number, "a text is not the one that the entry commits to"));
            }
            texts += 1;
        }
        frontier.push(Hash::leaf(line.leaf.as_bytes()), |_, _, _| ());
    }
    if (frontier.size(), frontier.root()) != (checkpoint.size, checkpoint.root) {
        return Err(Error::Proof("its entries are not those that the checkpoint signed"));
    }
    Ok(ExportReport { checkpoint, texts })
}

fn write(out: &mut dyn Write, line: &impl Serialize) -> Result<(), Error> {
    writeln!(out, "{}", to_json(line)).map_err(|error| Error::Output(Arc::new(error)))
}
