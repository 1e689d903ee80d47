//! Verifies a whole ledger: rows to leaves, leaves to roots, roots to signatures, and every text that is still there.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::entry::{ERASURE, Row, label};
use crate::erase::{ErasedTexts, ErasureBody};
use crate::json::canonical_object;
use crate::reader::{COLUMNS, NO_ROW, Reader, Text, commitments, read_row};
use crate::schema::{self, TILE, TILE_LEVELS};
use crate::store::{check_head, read_head};
use crate::{Checkpoint, Error, Finding, Frontier, Hash, PublicKey};

/// The most findings that are told one by one.
const MOST_FINDINGS: usize = 100;
/// Entries between two signs of progress.
const STEP: u64 = 256;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many entries there are.
    pub entries: u64,
    /// The root over all of them, as computed from the rows.
    pub root: Option<Hash>,
    /// How many checkpoints were verified.
    pub checkpoints: u64,
    /// Texts that open and are those that were committed to.
    pub texts_good: u64,
    /// Texts that could not be looked into, because no secret was given.
    pub texts_sealed: u64,
    /// Texts that were erased, each with an entry that says so.
    pub texts_erased: u64,
    /// What is wrong; the first hundred.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub more_findings: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    fn file(&mut self, problem: impl Into<String>) {
        self.add(Finding::File(problem.into()));
    }
}

impl Reader {
    /// Verifies all of the ledger as it is now, with its public key. `known` are checkpoints that were kept elsewhere
    /// and are signed with that key; the ledger must begin with each. `progress` gets entries done and in all.
    ///
    /// Without checkpoints from elsewhere, what cannot be found is a ledger that was put back whole, with all files
    /// beside it, to an earlier state.
    ///
    /// # Errors
    /// The ledger cannot be read. Damage is no error but a finding.
    pub fn verify(
        &self,
        key: &PublicKey,
        known: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Report, Error> {
        // Read before the snapshot begins: a writer beside us makes the ledger only longer.
        let head = read_head(&self.path, key);
        let _snapshot = self.connection.unchecked_transaction()?;
        let mut run = Run { reader: self, key, report: Report::default(), last_erasure: None };
        match run.all(known, head, progress) {
            Err(Error::Damaged(problem)) => run.report.file(problem),
            other => other?,
        }
        Ok(run.report)
    }

    /// The columns of an entry.
    pub(crate) fn row(&self, index: u64) -> Result<(Row, Hash), Error> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE idx = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([i64::try_from(index).unwrap_or(i64::MAX)])?;
        rows.next()?.map_or_else(|| Err(Error::Unknown(index.to_string())), read_row)
    }
}

struct Run<'a> {
    reader: &'a Reader,
    key: &'a PublicKey,
    report: Report,
    /// The erasure's entry that was read last, and what it says to be erased.
    last_erasure: Option<(u64, ErasedTexts)>,
}

impl Run<'_> {
    fn connection(&self) -> &Connection {
        &self.reader.connection
    }

    fn all(
        &mut self,
        known: &[Checkpoint],
        head: Result<Option<Checkpoint>, Error>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        self.check_file()?;
        let mut checkpoints = self.stored_checkpoints()?;
        let mut frontier = Frontier::default();
        self.check_checkpoint(&mut checkpoints, &frontier);
        let size = self.reader.size()?;
        let mut statement = self.reader.connection.prepare(&format!("SELECT {COLUMNS} FROM entries ORDER BY idx"))?;
        let mut rows = statement.query([])?;
        let mut texts_there = 0;
        while let Some(sql_row) = rows.next()? {
            let at = frontier.size();
            let (row, leaf) = match read_row(sql_row) {
                Ok(read) => read,
                Err(error) => {
                    self.report.add(Finding::Entry { index: at, problem: error.to_string() });
                    frontier.push(Hash::empty(), |_, _, _| ());
                    continue;
                }
            };
            if row.index != at {
                // Without the missing ones nothing that follows can add up.
                self.report.add(Finding::Entry { index: at, problem: "it is missing".to_owned() });
                return Ok(());
            }
            texts_there += self.check_row(&row, leaf)?;
            self.grow(&mut frontier, leaf)?;
            if frontier.size().is_multiple_of(TILE) {
                self.check_checkpoint(&mut checkpoints, &frontier);
            }
            if frontier.size().is_multiple_of(STEP) {
                progress(frontier.size(), size);
            }
        }
        self.report.entries = frontier.size();
        self.report.root = Some(frontier.root());
        if !frontier.size().is_multiple_of(TILE) {
            self.check_checkpoint(&mut checkpoints, &frontier);
        }
        self.check_rest(frontier.size(), checkpoints, texts_there)?;
        let head = head.unwrap_or_else(|error| {
            self.report.file(error.to_string());
            None
        });
        for checkpoint in known.iter().chain(&head) {
            if let Some(problem) = check_head(checkpoint, frontier.size(), self.connection()) {
                self.report.file(problem);
            }
        }
        progress(frontier.size(), size);
        Ok(())
    }

    /// What holds for the file as a whole.
    fn check_file(&mut self) -> Result<(), Error> {
        if schema::described(self.connection())? != schema::expected()? {
            self.report.file("its tables and indexes are not those of version 1");
        }
        let mut statement = self.reader.connection.prepare("PRAGMA integrity_check(20)")?;
        let said = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        for problem in said.into_iter().filter(|problem| problem != "ok") {
            self.report.file(problem);
        }
        let mut statement = self.reader.connection.prepare("SELECT name, value FROM meta")?;
        let meta = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()?;
        if meta != [("public-key".to_owned(), self.key.to_string())] {
            self.report.file(format!("it does not say that its key is {}", self.key));
        }
        Ok(())
    }

    /// Checks one entry and its texts. Says how many of its texts are stored.
    fn check_row(&mut self, row: &Row, leaf: Hash) -> Result<u64, Error> {
        let index = row.index;
        let mut wrong = |problem: String| self.report.add(Finding::Entry { index, problem });
        if row.leaf() != leaf {
            wrong("it was changed: it does not give the hash that was made of it".to_owned());
        }
        let labels = [("kind", Some(&row.kind)), ("actor", Some(&row.actor)), ("subject", row.subject.as_ref())];
        for (what, text) in labels {
            if let Some(Err(error)) = text.map(|text| label(what, text)) {
                wrong(error.to_string());
            }
        }
        if let Err(problem) = canonical_object(&row.body) {
            wrong(format!("its body cannot be read: {problem}"));
        }
        let commitments = match commitments(row) {
            Ok(commitments) => commitments,
            Err(error) => {
                wrong(error.to_string());
                return Ok(0);
            }
        };
        let mut there = 0;
        for (name, text) in self.reader.texts(row)? {
            debug_assert!(commitments.contains_key(&name));
            there += u64::from(self.check_text(index, name, &text)?);
        }
        if row.kind == ERASURE {
            self.check_erasure(row)?;
        }
        Ok(there)
    }

    /// Whether the text has a row.
    fn check_text(&mut self, index: u64, name: String, text: &Text) -> Result<bool, Error> {
        let problem = match text {
            Text::Readable(_) => {
                self.report.texts_good += 1;
                return Ok(true);
            }
            Text::Sealed => {
                self.report.texts_sealed += 1;
                return Ok(true);
            }
            Text::Erased { by } if self.is_erased_by(index, &name, *by)? => {
                self.report.texts_erased += 1;
                return Ok(true);
            }
            Text::Erased { by } => format!("it is gone, and entry {by} does not say that it was erased"),
            Text::Damaged(problem) => (*problem).to_owned(),
        };
        self.report.add(Finding::Text { index, name, problem });
        Ok(*text != Text::Damaged(NO_ROW))
    }

    fn is_erased_by(&mut self, index: u64, name: &str, by: u64) -> Result<bool, Error> {
        if self.last_erasure.as_ref().is_none_or(|(last, _)| *last != by) {
            let texts = match self.reader.row(by) {
                Ok((row, _)) if row.kind == ERASURE && by > index => erased_texts(&row),
                Ok(_) | Err(Error::Unknown(_)) => None,
                Err(error) => return Err(error),
            };
            let Some(texts) = texts else { return Ok(false) };
            self.last_erasure = Some((by, texts));
        }
        let Some((_, texts)) = &self.last_erasure else { return Ok(false) };
        Ok(texts.iter().any(|(entry, names)| *entry == index && names.iter().any(|erased| erased == name)))
    }

    /// What an erasure says to be erased must be gone.
    fn check_erasure(&mut self, row: &Row) -> Result<(), Error> {
        let Some(texts) = erased_texts(row) else {
            let problem = "its body does not say what was erased".to_owned();
            self.report.add(Finding::Entry { index: row.index, problem });
            return Ok(());
        };
        let sql = "SELECT 1 FROM texts t LEFT JOIN text_keys k ON k.idx = t.idx AND k.name = t.name \
                   WHERE t.idx = ?1 AND t.name = ?2 AND k.wrapped IS NULL AND t.sealed IS NULL AND t.erased_by = ?3";
        let mut statement = self.reader.connection.prepare_cached(sql)?;
        for (index, names) in texts {
            for name in names {
                let gone = statement.query_row((index, &name, row.index), |_| Ok(())).optional()?;
                if gone.is_none() {
                    let problem = format!("entry {} says that it was erased, but it was not", row.index);
                    self.report.add(Finding::Text { index, name, problem });
                }
            }
        }
        Ok(())
    }

    /// Adds a leaf, and checks the nodes that it completes against those that are stored.
    fn grow(&mut self, frontier: &mut Frontier, leaf: Hash) -> Result<(), Error> {
        let mut completed = Vec::new();
        frontier.push(leaf, |level, number, node| {
            if level > 0 && level.is_multiple_of(TILE_LEVELS) {
                completed.push((level, number, node));
            }
        });
        for (level, number, node) in completed {
            let sql = "SELECT hash FROM subtrees WHERE level = ?1 AND number = ?2";
            let mut statement = self.reader.connection.prepare_cached(sql)?;
            let stored: Option<Vec<u8>> = statement.query_row((level, number), |row| row.get(0)).optional()?;
            if stored.as_deref() != Some(node.as_bytes()) {
                let problem = "it is not what the entries below it give".to_owned();
                self.report.add(Finding::Node { level, number, problem });
            }
        }
        Ok(())
    }

    fn stored_checkpoints(&self) -> Result<BTreeMap<i64, String>, Error> {
        let mut statement = self.reader.connection.prepare("SELECT size, note FROM checkpoints")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Checks the checkpoint that there must be at this size, and takes it out.
    fn check_checkpoint(&mut self, stored: &mut BTreeMap<i64, String>, frontier: &Frontier) {
        let size = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
        let expected = Checkpoint { size: frontier.size(), root: frontier.root() };
        let problem = match stored.remove(&size).map(|note| self.key.verify(&note)) {
            Some(Ok(signed)) if signed == expected => {
                self.report.checkpoints += 1;
                return;
            }
            Some(Ok(signed)) if signed.size == expected.size => {
                "what it signed is not what the entries give: one was changed, or they were put in another order"
                    .to_owned()
            }
            Some(Ok(signed)) => format!("it is one of {} entries", signed.size),
            Some(Err(error)) => error.to_string(),
            None => "it is missing".to_owned(),
        };
        self.report.add(Finding::Checkpoint { size, problem });
    }

    /// What must not be there.
    fn check_rest(&mut self, size: u64, checkpoints: BTreeMap<i64, String>, texts_there: u64) -> Result<(), Error> {
        for at in checkpoints.into_keys() {
            let problem = match u64::try_from(at) {
                Ok(signed) if signed > size => format!("there are {size} entries: the last {} are gone", signed - size),
                _ => "there should be none".to_owned(),
            };
            self.report.add(Finding::Checkpoint { size: at, problem });
        }
        let count = |sql: &str| self.connection().query_row(sql, [], |row| row.get::<_, u64>(0));
        let texts = count("SELECT count(*) FROM texts")?;
        let keys = count(
            "SELECT count(*) FROM text_keys k \
             WHERE NOT EXISTS (SELECT 1 FROM texts t WHERE t.idx = k.idx AND t.name = k.name)",
        )?;
        let nodes = count("SELECT count(*) FROM subtrees")?;
        let complete: u64 = (1..8).map(|level| size >> (level * TILE_LEVELS)).sum();
        if texts != texts_there {
            self.report.file(format!("it has {texts} texts where its entries have {texts_there}"));
        }
        if keys != 0 {
            self.report.file(format!("it has {keys} keys of texts that are not there"));
        }
        if nodes != complete {
            self.report.file(format!("it has {nodes} nodes of the tree where there should be {complete}"));
        }
        Ok(())
    }
}

/// What an erasure's entry says to be erased.
fn erased_texts(row: &Row) -> Option<ErasedTexts> {
    serde_json::from_str::<ErasureBody>(&row.body).ok().map(|body| body.texts)
}
