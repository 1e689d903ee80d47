//! Answers that went out although the ledger could not be written: of tier 1, or of no tier at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_register::Gap;

/// Counts them, until the ledger knows how many they are.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded {
    /// What the ledger does not know of yet.
    untold: Mutex<Option<Gap>>,
    /// Since the start.
    count: AtomicU64,
}

impl Unrecorded {
    /// One more.
    pub(super) fn miss(&self, gap: Gap) {
        self.count.fetch_add(gap.answers, Ordering::Relaxed);
        self.put_back(gap);
    }

    /// What the ledger is to be told.
    pub(super) fn take(&self) -> Option<Gap> {
        self.untold().take()
    }

    /// What it could not be told.
    pub(super) fn put_back(&self, gap: Gap) {
        let mut untold = self.untold();
        let all = match untold.take() {
            Some(other) => gap.with(&other),
            None => gap,
        };
        *untold = Some(all);
    }

    /// How many there were since the start, told or not.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn untold(&self) -> MutexGuard<'_, Option<Gap>> {
        // A plain value that is replaced whole.
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
