//! The rows as the one writer sees them: everything happens in transactions that end with a signed checkpoint.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::entry::Receipt;
use crate::schema::{self, TILE, TILE_LEVELS};
use crate::seal::Draft;
use crate::tree::{Frontier, Nodes};
use crate::{Checkpoint, Error, Hash, PublicKey, Signer};

/// The open ledger of the writer.
pub(crate) struct Store {
    path: PathBuf,
    connection: Connection,
    signer: Arc<Signer>,
    frontier: Frontier,
}

/// A transaction in which entries are appended.
pub(crate) struct Batch<'a> {
    pub(crate) tx: Transaction<'a>,
    frontier: Frontier,
    signer: &'a Signer,
    /// Its size before.
    began: u64,
}

impl Store {
    /// Opens the ledger, or makes an empty one, and checks that it ends as its last checkpoints say.
    pub(crate) fn open(path: &Path, signer: &Arc<Signer>) -> Result<Self, Error> {
        let (mut connection, exists) = schema::open_to_write(path)?;
        if !exists {
            create(&mut connection, signer)?;
        }
        let found = stored_key(&connection)?;
        if found != *signer.public_key() {
            let given = signer.public_key().to_string();
            return Err(Error::OtherKey { found: found.to_string(), given });
        }
        let frontier = Frontier::of(size(&connection)?, &connection)?;
        let store = Self { path: path.to_owned(), connection, signer: Arc::clone(signer), frontier };
        store.check_end()?;
        store.write_head()?;
        Ok(store)
    }

    /// Reads where the ledger ends once more, after a failure.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.frontier = Frontier::of(size(&self.connection)?, &self.connection)?;
        self.check_end()
    }

    /// Runs `work` in one transaction, which is durable when this returns. After an error nothing of it is there.
    pub(crate) fn transact<T>(&mut self, work: impl FnOnce(&mut Batch) -> Result<T, Error>) -> Result<T, Error> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let frontier = self.frontier.clone();
        let mut batch = Batch { tx, began: frontier.size(), frontier, signer: &self.signer };
        let result = work(&mut batch)?;
        self.frontier = batch.commit()?;
        // The head only says more than the rows can. Without it a loss may go unseen, but none is invented.
        let _ = self.write_head();
        Ok(result)
    }

    /// Empties the log, which may still hold what was erased. Says whether readers allowed it.
    pub(crate) fn scrub(&self) -> bool {
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        busy == Ok(0)
    }

    fn check_end(&self) -> Result<(), Error> {
        let damaged = |what: String| Err(Error::Damaged(what));
        let size = self.frontier.size();
        let last: Option<(u64, String)> = self
            .connection
            .query_row("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((stated, note)) = last else { return damaged("it has no checkpoint".to_owned()) };
        let checkpoint = self.signer.public_key().verify(&note)?;
        if (stated, checkpoint.size) != (size, size) {
            return damaged(format!("it has {size} entries, but its last checkpoint says {}", checkpoint.size));
        }
        if checkpoint.root != self.frontier.root() {
            return damaged(format!("its {size} entries are not those of its last checkpoint"));
        }
        match read_head(&self.path, self.signer.public_key())? {
            Some(head) => check_head(&head, size, &self.connection).map_or(Ok(()), damaged),
            None => Ok(()),
        }
    }

    /// Writes the newest checkpoint beside the database, so that the loss of the database's end is seen.
    fn write_head(&self) -> Result<(), Error> {
        let checkpoint = Checkpoint { size: self.frontier.size(), root: self.frontier.root() };
        let path = head_file(&self.path);
        let new = path.with_extension("head.new");
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(self.signer.sign(&checkpoint).as_bytes())?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| Error::File { path: path.clone(), source: Arc::new(source) })
    }
}

impl Batch<'_> {
    /// Appends one entry.
    pub(crate) fn append(&mut self, draft: &Draft) -> Result<Receipt, Error> {
        let mut row = draft.row.clone();
        row.index = self.frontier.size();
        let leaf = row.leaf();
        let sql = "INSERT INTO entries (idx, id, kind, at, actor, subject, body, texts, leaf) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.tx.prepare_cached(sql)?.execute(params![
            row.index,
            row.id.as_str(),
            row.kind,
            row.at.as_microsecond(),
            row.actor,
            row.subject,
            row.body,
            row.commitments,
            leaf.as_bytes()
        ])?;
        for text in &draft.texts {
            let sql = "INSERT INTO texts (idx, name, sealed) VALUES (?1, ?2, ?3)";
            self.tx.prepare_cached(sql)?.execute(params![row.index, text.name, text.sealed])?;
            let sql = "INSERT INTO text_keys (idx, name, wrapped) VALUES (?1, ?2, ?3)";
            self.tx.prepare_cached(sql)?.execute(params![row.index, text.name, text.wrapped])?;
        }
        self.grow(leaf)?;
        Ok(Receipt { index: row.index, id: row.id, leaf })
    }

    /// Writes the newest checkpoint's row again, so that the disk is asked.
    pub(crate) fn touch(&self) -> Result<(), Error> {
        self.tx.execute("DELETE FROM checkpoints WHERE size = ?1", [self.began])?;
        self.sign()
    }

    fn grow(&mut self, leaf: Hash) -> Result<(), Error> {
        let mut stored = Vec::new();
        self.frontier.push(leaf, |level, number, node| {
            if level > 0 && level % TILE_LEVELS == 0 {
                stored.push((level, number, node));
            }
        });
        for (level, number, node) in stored {
            let sql = "INSERT INTO subtrees (level, number, hash) VALUES (?1, ?2, ?3)";
            self.tx.prepare_cached(sql)?.execute(params![level, number, node.as_bytes()])?;
        }
        if self.frontier.size().is_multiple_of(TILE) { self.sign() } else { Ok(()) }
    }

    fn sign(&self) -> Result<(), Error> {
        let checkpoint = Checkpoint { size: self.frontier.size(), root: self.frontier.root() };
        let sql = "INSERT INTO checkpoints (size, note) VALUES (?1, ?2)";
        self.tx.prepare_cached(sql)?.execute(params![checkpoint.size, self.signer.sign(&checkpoint)])?;
        Ok(())
    }

    fn commit(self) -> Result<Frontier, Error> {
        let size = self.frontier.size();
        if size != self.began {
            if !self.began.is_multiple_of(TILE) {
                self.tx.execute("DELETE FROM checkpoints WHERE size = ?1", [self.began])?;
            }
            if !size.is_multiple_of(TILE) {
                self.sign()?;
            }
        }
        self.tx.commit()?;
        Ok(self.frontier)
    }
}

impl Nodes for Connection {
    fn node(&self, level: u32, number: u64) -> Result<Hash, Error> {
        let missing = || Error::Damaged(format!("node {number} of level {level} of the tree is not there"));
        let stored: Option<Vec<u8>> = if level == 0 {
            let mut statement = self.prepare_cached("SELECT leaf FROM entries WHERE idx = ?1")?;
            statement.query_row([number], |row| row.get(0)).optional()?
        } else if level.is_multiple_of(TILE_LEVELS) {
            let mut statement = self.prepare_cached("SELECT hash FROM subtrees WHERE level = ?1 AND number = ?2")?;
            statement.query_row(params![level, number], |row| row.get(0)).optional()?
        } else {
            let (left, right) = (self.node(level - 1, number * 2)?, self.node(level - 1, number * 2 + 1)?);
            return Ok(Hash::node(&left, &right));
        };
        stored.as_deref().and_then(Hash::from_slice).ok_or_else(missing)
    }
}

/// The file beside the database that holds the newest checkpoint.
pub(crate) fn head_file(path: &Path) -> PathBuf {
    path.with_extension("head")
}

/// Reads the checkpoint beside the database, if there is one.
pub(crate) fn read_head(path: &Path, key: &PublicKey) -> Result<Option<Checkpoint>, Error> {
    let path = head_file(path);
    match fs::read_to_string(&path) {
        // A file system may leave an empty file after a loss of power.
        Ok(note) if note.is_empty() => Ok(None),
        Ok(note) => match key.verify(&note) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(error) => Err(Error::Damaged(format!("{} cannot be used: {error}", path.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::File { path, source: Arc::new(error) }),
    }
}

/// What is wrong if a ledger of `size` entries once had the checkpoint `known`.
pub(crate) fn check_head(known: &Checkpoint, size: u64, nodes: &impl Nodes) -> Option<String> {
    if known.size > size {
        let lost = known.size - size;
        return Some(format!("it has {size} entries, but once had {}: the last {lost} are gone", known.size));
    }
    match Frontier::of(known.size, nodes) {
        Ok(then) if then.root() == known.root => None,
        Ok(_) => Some(format!("its first {} entries are not those of a checkpoint made then", known.size)),
        Err(error) => Some(error.to_string()),
    }
}

/// How many entries there are.
pub(crate) fn size(connection: &Connection) -> Result<u64, Error> {
    let last: Option<i64> = connection.query_row("SELECT max(idx) FROM entries", [], |row| row.get(0))?;
    match last.map(u64::try_from) {
        None => Ok(0),
        Some(Ok(last)) => Ok(last + 1),
        Some(Err(_)) => Err(Error::Damaged("an entry has a negative index".to_owned())),
    }
}

/// The public key that the ledger says is its own.
pub(crate) fn stored_key(connection: &Connection) -> Result<PublicKey, Error> {
    let sql = "SELECT value FROM meta WHERE name = 'public-key'";
    let text: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let key = text.and_then(|text| text.parse().ok());
    key.ok_or_else(|| Error::Damaged("it does not say which key signs it".to_owned()))
}

fn create(connection: &mut Connection, signer: &Signer) -> Result<(), Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::create(&tx)?;
    tx.execute("INSERT INTO meta (name, value) VALUES ('public-key', ?1)", [signer.public_key().to_string()])?;
    let note = signer.sign(&Checkpoint { size: 0, root: Hash::empty() });
    tx.execute("INSERT INTO checkpoints (size, note) VALUES (0, ?1)", [note])?;
    tx.commit()?;
    Ok(())
}
