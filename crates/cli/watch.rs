//! Takes up, while the server runs, what other commands change in the data folder: keys, and which versions are live.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baton_ledger::Ledger;
use baton_pack::Versions;
use baton_register::Change;
use baton_server::Keys;

use crate::keys::{KeyStore, key_file};
use crate::ledger;

/// How soon a change is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// When a file was written and which one it is: it is put in the place of the one before, and may have the same time.
type Seen = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// What the ledger is still to be told.
pub(crate) struct Unrecorded(Vec<Change>);

/// Takes up keys that were made or revoked and has the ledger say so, and which versions of twins are live.
pub(crate) async fn watch(data: &Path, keys: &Keys, ledger: &Ledger, mut unrecorded: Unrecorded) {
    let versions = Versions::of(data);
    let mut seen = look(data, &versions);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = look(data, &versions);
        if now != seen {
            // Everything that changed is told anew; the ledger takes what it does not say yet.
            unrecorded.0.extend(take_up(data, &versions, keys));
            seen = now;
        }
        if !unrecorded.0.is_empty() {
            let ledger = ledger.clone();
            let rest = tokio::task::spawn_blocking(move || record(&ledger, unrecorded.0)).await;
            // A panic was reported; the next change tries all of them again.
            unrecorded = rest.unwrap_or(Unrecorded(Vec::new()));
        }
    }
}

fn take_up(data: &Path, versions: &Versions, keys: &Keys) -> Vec<Change> {
    let mut changes = Vec::new();
    match KeyStore::open(data) {
        Ok(store) => {
            changes.extend(ledger::changes_of(&store.ring));
            // At once: a revoked key opens nothing, whether or not the ledger can be written.
            keys.replace(store.ring);
            tracing::info!("keys or versions have changed");
        }
        Err(error) => tracing::error!("the keys cannot be read; those from before stay: {error:#}"),
    }
    match ledger::changes_of_versions(versions) {
        Ok(published) => changes.extend(published),
        Err(error) => tracing::error!("it cannot be read which versions are live: {error:#}"),
    }
    changes
}

/// Has the ledger say these changes. What it cannot be told now comes back.
pub(crate) fn record(ledger: &Ledger, changes: Vec<Change>) -> Unrecorded {
    match baton_register::record(ledger, &changes) {
        Ok(_) => Unrecorded(Vec::new()),
        Err(error) => {
            tracing::error!("the ledger does not have the keys in use and what is live: {error}");
            Unrecorded(changes)
        }
    }
}

fn look(data: &Path, versions: &Versions) -> Seen {
    // What cannot be listed now is tried again.
    let journals = versions.twins().unwrap_or_default().into_iter().map(|twin| versions.journal_of(&twin));
    let files = journals.chain([key_file(data)]);
    let written = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.ino()))
    };
    files.map(|path| (path.clone(), written(&path))).collect()
}
