//! Takes up, while the server runs, what other commands change in the data folder: keys, and which versions are live.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use baton_ledger::Ledger;
use baton_pack::{Pack, Versions};
use baton_register::Change;
use baton_server::{Exchange, Keys};

use crate::keys::{KeyStore, key_file};
use crate::live::Loaded;
use crate::{ledger, live, packs};

/// How soon a change is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// When a file was written and which one it is: it is put in the place of the one before, and may have the same time.
pub(crate) type Seen = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// What the ledger is still to be told.
pub(crate) struct Unrecorded(Vec<Change>);

/// What is watched, and what is in use.
pub(crate) struct Watch {
    pub(crate) data: PathBuf,
    /// What the packs have to fit.
    pub(crate) loaded: Loaded,
    /// What is served.
    pub(crate) served: Vec<Pack>,
    pub(crate) keys: Keys,
    pub(crate) ledger: Ledger,
    pub(crate) unrecorded: Unrecorded,
    /// How the files were before they were read.
    pub(crate) seen: Seen,
}

impl Watch {
    /// Takes up keys that were made or revoked, has the ledger say so and which versions of twins are live, and then
    /// hands what is live to `exchange`.
    pub(crate) async fn run(&mut self, exchange: &Exchange) {
        let versions = Versions::of(&self.data);
        // What is live is served once the ledger says that it is.
        let mut to_serve = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = look(&self.data, &versions);
            if now != self.seen {
                // Everything that changed is told anew; the ledger takes what it does not say yet.
                let changes = self.take_up(&versions);
                self.unrecorded.0.extend(changes);
                to_serve |= journals(&self.data, &now).ne(journals(&self.data, &self.seen));
                self.seen = now;
            }
            if !self.unrecorded.0.is_empty() {
                let (ledger, changes) = (self.ledger.clone(), std::mem::take(&mut self.unrecorded.0));
                let rest = tokio::task::spawn_blocking(move || record(&ledger, changes)).await;
                // A panic was reported; the next change tries all of them again.
                self.unrecorded = rest.unwrap_or(Unrecorded(Vec::new()));
            }
            if to_serve && self.unrecorded.0.is_empty() {
                to_serve = false;
                if let Err(error) = self.serve(&versions, exchange).await {
                    tracing::error!("what is live cannot be served; what was served before is: {error:#}");
                }
            }
        }
    }

    fn take_up(&self, versions: &Versions) -> Vec<Change> {
        let mut changes = Vec::new();
        match KeyStore::open(&self.data) {
            Ok(store) => {
                changes.extend(ledger::changes_of(&store.ring));
                // At once: a revoked key opens nothing, whether or not the ledger can be written.
                self.keys.replace(store.ring);
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

    /// Serves what is live of each twin, if that is not what is served.
    async fn serve(&mut self, versions: &Versions, exchange: &Exchange) -> Result<()> {
        let (data, loaded, exchange) = (self.data.clone(), self.loaded.clone(), exchange.clone());
        let (served, versions) = (self.served.clone(), versions.clone());
        let task = tokio::task::spawn_blocking(move || -> Result<Vec<Pack>> {
            let packs = packs::live(served, &versions)?;
            // The same pack may have been published on this model, and be on trial no more.
            exchange.serve(live::offer(&data, packs.clone(), &loaded)?)?;
            tracing::info!("what is live is served");
            Ok(packs)
        });
        self.served = task.await??;
        Ok(())
    }
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

/// How the files are now.
pub(crate) fn look(data: &Path, versions: &Versions) -> Seen {
    // What cannot be listed now is tried again.
    let journals = versions.twins().unwrap_or_default().into_iter().map(|twin| versions.journal_of(&twin));
    let files = journals.chain([key_file(data)]);
    let written = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.ino()))
    };
    files.map(|path| (path.clone(), written(&path))).collect()
}

/// What was seen of the twins' journals.
fn journals<'a>(data: &Path, seen: &'a Seen) -> impl Iterator<Item = (&'a PathBuf, &'a Option<(SystemTime, u64)>)> {
    let keys = key_file(data);
    seen.iter().filter(move |(path, _)| **path != keys)
}
