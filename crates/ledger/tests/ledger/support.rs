//! A ledger in a folder of its own, made from fixed seeds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_ledger::{Ledger, NewEntry, Options, Random, Reader, Report, Secret, Signer};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// The installation's secret in tests.
pub(super) const SECRET: [u8; 32] = [3; 32];
const SEED: [u8; 32] = [5; 32];

/// A folder for one ledger.
pub(super) struct Home(TempDir);

impl Home {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn open(&self) -> Ledger {
        Ledger::open(options(&self.path())).unwrap()
    }

    pub(super) fn reader(&self) -> Reader {
        reader(&self.path()).unwrap()
    }

    pub(super) fn verify(&self) -> Report {
        verify(&self.reader())
    }
}

pub(super) fn options(path: &Path) -> Options {
    Options { path: path.to_owned(), secret: Secret::new(&SECRET), signer: signer(), random: random(path) }
}

pub(super) fn signer() -> Signer {
    Signer::from_seed(&SEED)
}

pub(super) fn reader(path: &Path) -> Result<Reader, baton_ledger::Error> {
    Reader::open(path, Some(Secret::new(&SECRET)))
}

pub(super) fn verify(reader: &Reader) -> Report {
    reader.verify(signer().public_key(), &[], &mut |_, _| ()).unwrap()
}

/// Bytes that never come twice: a count, the process and the time go into them.
fn random(path: &Path) -> Random {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let salt = format!("{} {} {:?}", path.display(), std::process::id(), std::time::SystemTime::now());
    Arc::new(move |bytes| {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let seed = blake3::Hasher::new().update(salt.as_bytes()).update(&count.to_le_bytes()).finalize_xof();
        let mut seed = seed;
        seed.fill(bytes);
        Ok(())
    })
}

/// So many minutes after the tests' beginning of time.
pub(super) fn minute(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

/// A decision with two texts.
pub(super) fn decision(number: i64) -> NewEntry {
    NewEntry::new("decision", minute(number), if number % 2 == 0 { "ada" } else { "ben" })
        .and_then(|entry| entry.about(&format!("dec_{}", number / 2)))
        .and_then(|entry| entry.body(&format!(r#"{{"tier":3,"number":{number}}}"#)))
        .and_then(|entry| entry.text("question", &format!("may I do thing {number}?")))
        .and_then(|entry| entry.text("why", "the customer asked"))
        .unwrap()
}

/// A cue without texts.
pub(super) fn cue(number: i64) -> NewEntry {
    NewEntry::new("cue", minute(number), "ada").unwrap()
}

/// Appends so many decisions at once.
pub(super) fn fill(ledger: &Ledger, count: i64) {
    let pending: Vec<_> = (0..count).map(|number| ledger.append_all(vec![decision(number)])).collect();
    for pending in pending {
        pending.wait().unwrap();
    }
}
