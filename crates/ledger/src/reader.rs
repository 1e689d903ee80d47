//! Reading entries back, beside a writer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params_from_iter};

use crate::entry::{EntryId, Row};
use crate::filter::{Filter, Page};
use crate::hash::unhex;
use crate::seal::{Opened, Secret};
use crate::store::{size, stored_key};
use crate::{Error, Hash, PublicKey, schema};

/// The columns that make a [`Record`], in the order in which [`read_row`] takes them.
pub(crate) const COLUMNS: &str = "idx, id, kind, at, actor, subject, body, texts, leaf";

type Blob = Option<Vec<u8>>;

/// The problem of a text that has no row.
pub(crate) const NO_ROW: &str = "it is gone";

/// Reads a ledger over a connection of its own. Every call may block on the disk.
pub struct Reader {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) secret: Option<Secret>,
}

/// An entry as it was read back.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place in the ledger, from 0.
    pub index: u64,
    /// Its id.
    pub id: EntryId,
    /// Its kind.
    pub kind: String,
    /// When it was made, in microseconds.
    pub at: Timestamp,
    /// Who made it.
    pub actor: String,
    /// What it is about.
    pub subject: Option<String>,
    /// A JSON object, in canonical form.
    pub body: String,
    /// Its free texts by name.
    pub texts: BTreeMap<String, Text>,
    /// The hash of its leaf.
    pub leaf: Hash,
}

/// What is left of a free text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// It is there.
    Readable(Opened),
    /// Its key was deleted.
    Erased {
        /// The entry that says so.
        by: u64,
    },
    /// It is there, but was not decrypted: no secret was given.
    Sealed,
    /// It is there, but does not open.
    Damaged(&'static str),
}

impl Text {
    /// The text, if it can be read.
    pub fn readable(&self) -> Option<&str> {
        match self {
            Self::Readable(opened) => Some(&opened.text),
            Self::Erased { .. } | Self::Sealed | Self::Damaged(_) => None,
        }
    }
}

impl Record {
    /// One of its texts, if it is there and can be read.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name)?.readable()
    }
}

impl Reader {
    /// Opens a ledger to read it; without the secret its texts stay sealed.
    ///
    /// # Errors
    /// There is no ledger, it has another version, or it cannot be read.
    pub fn open(path: &Path, secret: Option<Secret>) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), connection: schema::open_to_read(path)?, secret })
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn size(&self) -> Result<u64, Error> {
        size(&self.connection)
    }

    /// The key that the ledger says is its own. Whoever can write the file can write another: hold it against a copy.
    ///
    /// # Errors
    /// The ledger cannot be read, or does not say.
    pub fn stored_key(&self) -> Result<PublicKey, Error> {
        stored_key(&self.connection)
    }

    /// The entry at an index.
    ///
    /// # Errors
    /// There is none, or the ledger cannot be read.
    pub fn entry(&self, index: u64) -> Result<Record, Error> {
        let found = self.select("WHERE idx = ?1", [Value::from(i64::try_from(index).unwrap_or(i64::MAX))], true)?;
        found.into_iter().next().ok_or_else(|| Error::Unknown(index.to_string()))
    }

    /// The entry with an id.
    ///
    /// # Errors
    /// There is none, or the ledger cannot be read.
    pub fn by_id(&self, id: &EntryId) -> Result<Record, Error> {
        let found = self.select("WHERE id = ?1", [Value::from(id.to_string())], true)?;
        found.into_iter().next().ok_or_else(|| Error::Unknown(id.to_string()))
    }

    /// Entries that a filter lets through, one page at a time.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn find(&self, filter: &Filter) -> Result<Page, Error> {
        let (clause, values) = filter.clause();
        let mut records = self.select(&clause, values, true)?;
        let more = records.len() > filter.limit;
        records.truncate(filter.limit);
        let next = if more { records.last().map(|record| record.index) } else { None };
        Ok(Page { records, next })
    }

    /// Hands over every entry from an index on, in order, as of now, until `each` breaks. For rebuilding what follows
    /// from the ledger; texts are decrypted only if `with_texts`, and left out otherwise.
    ///
    /// # Errors
    /// The ledger cannot be read, or a row of it is damaged.
    pub fn scan<B>(
        &self,
        from: u64,
        with_texts: bool,
        mut each: impl FnMut(Record) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE idx >= ?1 ORDER BY idx");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([i64::try_from(from).unwrap_or(i64::MAX)])?;
        let mut expected = from;
        while let Some(sql_row) = rows.next()? {
            let (row, leaf) = read_row(sql_row)?;
            if row.index != expected {
                return Err(Error::Damaged(format!("entry {expected} is missing")));
            }
            expected += 1;
            let texts = if with_texts { self.texts(&row)? } else { BTreeMap::new() };
            if let ControlFlow::Break(value) = each(record(row, leaf, texts)) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn select(
        &self,
        clause: &str,
        values: impl IntoIterator<Item = Value>,
        with_texts: bool,
    ) -> Result<Vec<Record>, Error> {
        let mut statement = self.connection.prepare(&format!("SELECT {COLUMNS} FROM entries {clause}"))?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut records = Vec::new();
        while let Some(sql_row) = rows.next()? {
            let (row, leaf) = read_row(sql_row)?;
            let texts = if with_texts { self.texts(&row)? } else { BTreeMap::new() };
            records.push(record(row, leaf, texts));
        }
        Ok(records)
    }

    /// The texts that a row commits to.
    pub(crate) fn texts(&self, row: &Row) -> Result<BTreeMap<String, Text>, Error> {
        commitments(row)?.into_iter().map(|(name, hash)| Ok((name.clone(), self.text(row, &name, &hash)?))).collect()
    }

    fn text(&self, row: &Row, name: &str, commitment: &[u8; 32]) -> Result<Text, Error> {
        let sql = "SELECT t.sealed, t.erased_by, k.wrapped FROM texts t \
                   LEFT JOIN text_keys k ON k.idx = t.idx AND k.name = t.name WHERE t.idx = ?1 AND t.name = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = |row: &SqlRow| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let stored = statement.query_row((row.index, name), read).optional()?;
        let stored: Option<(Blob, _, Blob)> = stored;
        Ok(match stored {
            Some((None, Some(by), None)) => Text::Erased { by },
            Some((Some(sealed), None, Some(wrapped))) => match &self.secret {
                None => Text::Sealed,
                Some(secret) => match secret.open((&row.id, name), (&sealed, &wrapped), commitment) {
                    Ok(opened) => Text::Readable(opened),
                    Err(problem) => Text::Damaged(problem),
                },
            },
            Some((Some(_), _, None)) => Text::Damaged("its key is gone, and no entry says that it was erased"),
            Some((None, _, _)) => Text::Damaged("it is gone, and its key is not"),
            Some((Some(_), Some(_), Some(_))) => Text::Damaged("it is said to be erased, but is there"),
            None => Text::Damaged(NO_ROW),
        })
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({}, ..)", self.path.display())
    }
}

/// Reads the columns of [`COLUMNS`].
pub(crate) fn read_row(row: &SqlRow) -> Result<(Row, Hash), Error> {
    let index: i64 = row.get(0)?;
    let bad = |what: &str| Error::Damaged(format!("entry {index} has {what} that is not one"));
    let leaf: Vec<u8> = row.get(8)?;
    let read = Row {
        index: u64::try_from(index).map_err(|_| bad("an index"))?,
        id: row.get::<_, String>(1)?.parse().map_err(|_| bad("an id"))?,
        kind: row.get(2)?,
        at: Timestamp::from_microsecond(row.get(3)?).map_err(|_| bad("a time"))?,
        actor: row.get(4)?,
        subject: row.get(5)?,
        body: row.get(6)?,
        commitments: row.get(7)?,
    };
    Ok((read, Hash::from_slice(&leaf).ok_or_else(|| bad("a leaf"))?))
}

/// The commitments of a row by name.
pub(crate) fn commitments(row: &Row) -> Result<BTreeMap<String, [u8; 32]>, Error> {
    let parsed: Option<BTreeMap<String, String>> = serde_json::from_str(&row.commitments).ok();
    let read = parsed.and_then(|all| all.into_iter().map(|(name, text)| Some((name, unhex(&text)?))).collect());
    read.ok_or_else(|| Error::Damaged(format!("entry {} has commitments that cannot be read", row.index)))
}

fn record(row: Row, leaf: Hash, texts: BTreeMap<String, Text>) -> Record {
    let Row { index, id, kind, at, actor, subject, body, commitments: _ } = row;
    Record { index, id, kind, at, actor, subject, body, texts, leaf }
}
