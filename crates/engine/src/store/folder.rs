//! The folder of stored prefixes: names, sizes, and which give way.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baton_contract::Digest;

/// What the names of stored prefixes end with.
const ENDING: &str = "prefix";
/// What the names of files end with that are not whole yet.
pub(super) const UNFINISHED: &str = "part";
/// An unfinished file of this age was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_hours(1);

/// A stored prefix.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it was last read or written.
    used: SystemTime,
}

/// The file name of a key.
pub(super) fn name(key: &Digest) -> String {
    format!("{}.{ENDING}", key.to_hex())
}

/// All stored prefixes. Other files are nobody's business here.
pub(super) fn files(folder: &Path) -> io::Result<Vec<Stored>> {
    ending_with(folder, ENDING)
}

/// Deletes prefixes used longest ago, until `wanted` more bytes fit below `limit`. What is to be replaced, `replaced`,
/// does not count.
pub(super) fn make_room(folder: &Path, limit: u64, wanted: u64, replaced: &str) -> io::Result<()> {
    let mut files = files(folder)?;
    files.retain(|file| file.path.file_name().is_none_or(|name| name != replaced));
    files.sort_by_key(|file| file.used);
    let mut total: u64 = files.iter().map(|file| file.bytes).sum();
    for Stored { path, bytes, .. } in files {
        if total + wanted <= limit {
            break;
        }
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!(file = %path.display(), bytes, "a stored prefix gives way to newer ones"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        total -= bytes;
    }
    Ok(())
}

/// Deletes what a process left behind that was killed while it wrote.
pub(super) fn tidy(folder: &Path, now: SystemTime) -> io::Result<()> {
    for file in ending_with(folder, UNFINISHED)? {
        if now.duration_since(file.used).is_ok_and(|age| age > ABANDONED) {
            // Another process may tidy up at the same time.
            fs::remove_file(&file.path).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    Ok(())
}

fn ending_with(folder: &Path, ending: &str) -> io::Result<Vec<Stored>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|found| found != ending) {
            continue;
        }
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {
                files.push(Stored { path, bytes: metadata.len(), used: metadata.modified()? });
            }
            // Another process has just deleted it.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(files)
}
