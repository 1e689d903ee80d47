//! The database file: its tables, and how it is opened.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Error;

/// `BtnL`: marks the file as a ledger of Baton.
const APPLICATION_ID: i64 = 0x4274_6e4c;
/// The version of the format; see `FORMAT.md`.
const VERSION: i64 = 1;
/// How long a statement waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(10);

/// A subtree's root is stored, and a checkpoint kept, once every so many leaves: 256, as tiles have it.
pub(crate) const TILE_LEVELS: u32 = 8;
/// Entries between two checkpoints that are kept.
pub(crate) const TILE: u64 = 1 << TILE_LEVELS;

/// The tables, version 1. Frozen: `verify` compares every ledger's with them.
pub(crate) const SCHEMA: &str = "\
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
    idx INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT,
    body TEXT NOT NULL,
    texts TEXT NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_kind ON entries (kind, idx);
CREATE INDEX entries_by_actor ON entries (actor, idx);
CREATE INDEX entries_by_subject ON entries (subject, idx) WHERE subject IS NOT NULL;
CREATE INDEX entries_by_time ON entries (at, idx);
CREATE TABLE texts (
    idx INTEGER NOT NULL, name TEXT NOT NULL, sealed BLOB, erased_by INTEGER, PRIMARY KEY (idx, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE text_keys (
    idx INTEGER NOT NULL, name TEXT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (idx, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE subtrees (
    level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
";

/// Opens the ledger to write it; makes the file, readable by its owner alone, if it is not there.
///
/// Whether it holds a ledger already is the second answer.
pub(crate) fn open_to_write(path: &Path) -> Result<(Connection, bool), Error> {
    let mut create = OpenOptions::new();
    match create.write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::File { path: path.to_owned(), source: Arc::new(error) }),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let version: i64 = pragma(&connection, "user_version")?;
    let empty =
        version == 0 && connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)) == Ok(0);
    if !empty {
        check_version(&connection, path)?;
    }
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA cell_size_check = ON;",
    )?;
    Ok((connection, !empty))
}

/// Makes the tables; part of the caller's transaction.
pub(crate) fn create(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Opens the ledger to read it, beside a process that may be writing it.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    if !path.exists() {
        return Err(Error::NotThere(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let connection = match check_version(&connection, path) {
        // On a read-only medium there can be no shared memory beside the file. Without a log nothing is missed.
        Err(Error::Read(_)) if !has_content(&wal(path)) => open_unchanging(path)?,
        other => other.map(|()| connection)?,
    };
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}

fn open_unchanging(path: &Path) -> Result<Connection, Error> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            other => uri.extend(format!("%{other:02x}").chars()),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri + "?immutable=1", flags)?;
    check_version(&connection, path)?;
    Ok(connection)
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), Error> {
    let application: i64 = pragma(connection, "application_id")?;
    let found: i64 = pragma(connection, "user_version")?;
    if application != APPLICATION_ID || found != VERSION {
        return Err(Error::Version { path: path.to_owned(), found });
    }
    Ok(())
}

/// The tables and indexes of a database, as its schema table has them.
pub(crate) fn described(connection: &Connection) -> Result<Vec<(String, String, Option<String>)>, Error> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What [`described`] gives for an untouched ledger.
pub(crate) fn expected() -> Result<Vec<(String, String, Option<String>)>, Error> {
    let connection = Connection::open_in_memory()?;
    create(&connection)?;
    described(&connection)
}

/// The file that new rows are written to first.
fn wal(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn has_content(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() > 0)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, Error> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}
