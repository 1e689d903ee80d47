//! Packs' prefixes: computed once, pinned, shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_contract::{BLOCK_SIZE, Digest, Prefix, SequenceId};

use crate::pool::Pool;
use crate::{BlockId, KeptPrefix};

/// Every prefix that is resident or that a live sequence names.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    entries: BTreeMap<Digest, Entry>,
    /// Completed computations by label.
    computed: BTreeMap<String, u64>,
    /// Restorations by label.
    restored: BTreeMap<String, u64>,
    clock: u64,
}

/// One prefix. It holds no blocks, or all it needs.
#[derive(Debug)]
pub(crate) struct Entry {
    /// While nobody names it, without the weights of its adapter: they are free to go.
    pub(crate) prefix: Arc<Prefix>,
    pub(crate) blocks: Vec<BlockId>,
    /// Tokens whose keys and values are in the blocks.
    pub(crate) computed: usize,
    /// Running sequences that use or await it: while there are any, it is not evicted.
    pub(crate) users: usize,
    /// Waiting sequences that name it: it is evicted after those that nobody names.
    pub(crate) wanted: usize,
    /// Counts up with every use; breaks ties of eviction.
    last_used: u64,
    /// Orders computations: the job that was begun first goes first.
    pub(crate) begun: u64,
    /// Whether it is being restored: by the step that is planned or executed, or beside the steps.
    pub(crate) restoring: bool,
    /// Whether its blocks are copied beside the steps, from where it is kept or to there: it is not evicted meanwhile.
    pub(crate) moving: bool,
    /// The sequence that was started first because of it, if that was its first start: it pays for the computation.
    payer: Option<SequenceId>,
}

impl Entry {
    /// Whether it can be shared.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_resident() && self.computed == self.prefix.tokens.len()
    }

    /// Whether it lacks tokens that are not being restored.
    pub(crate) fn is_to_compute(&self) -> bool {
        !self.is_complete() && !self.restoring
    }

    pub(crate) fn is_resident(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// It and its blocks, as a plan names them.
    pub(crate) fn kept(&self) -> KeptPrefix {
        KeptPrefix { prefix: Arc::clone(&self.prefix), blocks: self.blocks.clone() }
    }

    /// Lets go of the adapter's weights if no sequence names the prefix.
    fn rest(&mut self) {
        if self.users + self.wanted == 0 && self.prefix.adapter.is_some() {
            self.prefix = Arc::new(self.prefix.named());
        }
    }

    fn is_idle(&self) -> bool {
        self.is_resident() && self.users == 0 && !self.moving
    }
}

impl Prefixes {
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Entry> {
        self.entries.get(digest)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn computed(&self) -> &BTreeMap<String, u64> {
        &self.computed
    }

    pub(crate) fn restored(&self) -> &BTreeMap<String, u64> {
        &self.restored
    }

    /// Whether `prefix` differs from a known one of the same digest.
    pub(crate) fn clashes(&self, prefix: &Arc<Prefix>) -> bool {
        self.get(&prefix.digest)
            .is_some_and(|entry| !Arc::ptr_eq(&entry.prefix, prefix) && entry.prefix.tokens != prefix.tokens)
    }

    /// A sequence that names the prefix starts to wait.
    pub(crate) fn want(&mut self, prefix: &Arc<Prefix>) {
        let new = || Entry {
            prefix: Arc::clone(prefix),
            blocks: Vec::new(),
            computed: 0,
            users: 0,
            wanted: 0,
            last_used: 0,
            begun: 0,
            restoring: false,
            moving: false,
            payer: None,
        };
        let entry = self.entries.entry(prefix.digest).or_insert_with(new);
        entry.prefix = Arc::clone(prefix);
        entry.wanted += 1;
    }

    /// A sequence that names the prefix no longer waits.
    pub(crate) fn unwant(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.wanted -= 1;
            entry.rest();
        }
        self.forget_if_unused(digest);
    }

    /// A sequence that names the prefix starts to run.
    pub(crate) fn hold(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.users += 1;
        }
    }

    /// A sequence that names the prefix no longer runs.
    pub(crate) fn unhold(&mut self, digest: &Digest) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.users -= 1;
            entry.last_used = self.clock;
            entry.rest();
        }
        self.forget_if_unused(digest);
    }

    /// Gives the prefix the blocks that it will be restored to or computed into, at the cost of `payer`.
    pub(crate) fn begin(&mut self, digest: &Digest, blocks: Vec<BlockId>, restoring: bool, payer: Option<SequenceId>) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(digest) {
            debug_assert_eq!(blocks.len(), entry.prefix.tokens.len().div_ceil(BLOCK_SIZE));
            entry.blocks = blocks;
            entry.computed = 0;
            entry.begun = self.clock;
            entry.restoring = restoring;
            entry.payer = payer;
        }
    }

    /// The prefix is now computed up to `end`.
    pub(crate) fn advance(&mut self, digest: &Digest, end: usize) {
        let Some(entry) = self.entries.get_mut(digest) else { return };
        entry.computed = end;
        if entry.is_complete() {
            *self.computed.entry(entry.prefix.label.clone()).or_default() += 1;
        }
    }

    /// Prefixes that the next step is to restore, the one begun first before others.
    pub(crate) fn to_restore(&self) -> Vec<KeptPrefix> {
        let mut entries: Vec<_> = self.entries.values().filter(|entry| entry.restoring && !entry.moving).collect();
        entries.sort_unstable_by_key(|entry| entry.begun);
        entries.into_iter().map(Entry::kept).collect()
    }

    /// The prefix that is being restored is there. Returns who need not pay for it, and how many tokens.
    pub(crate) fn restore(&mut self, digest: &Digest) -> Option<(SequenceId, usize)> {
        let entry = self.entries.get_mut(digest).filter(|entry| entry.restoring)?;
        (entry.restoring, entry.moving) = (false, false);
        entry.computed = entry.prefix.tokens.len();
        *self.restored.entry(entry.prefix.label.clone()).or_default() += 1;
        Some((entry.payer.take()?, entry.computed))
    }

    /// The step that was to restore the prefix is over: unless it was restored, or still is, it has to be computed.
    pub(crate) fn stop_restoring(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest).filter(|entry| !entry.moving) {
            entry.restoring = false;
        }
    }

    /// The prefix's blocks are copied beside the steps from now on.
    pub(crate) fn begin_move(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest).filter(|entry| entry.is_resident()) {
            entry.moving = true;
        }
    }

    /// They no longer are. A prefix that was not restored by then has to be computed.
    pub(crate) fn end_move(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.get_mut(digest) {
            (entry.restoring, entry.moving) = (false, false);
        }
    }

    /// Prefixes whose blocks are copied beside the steps.
    pub(crate) fn moving(&self) -> usize {
        self.entries.values().filter(|entry| entry.moving).count()
    }

    /// Drops what was computed of the prefix.
    pub(crate) fn discard(&mut self, digest: &Digest, pool: &mut Pool) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.computed = 0;
            entry.blocks.drain(..).rev().for_each(|block| pool.release(block));
        }
        self.forget_if_unused(digest);
    }

    /// Blocks that evicting idle prefixes would give, but not those of `keep`.
    pub(crate) fn idle_blocks(&self, keep: Option<&Digest>) -> usize {
        let idle = self.entries.iter().filter(|(digest, entry)| entry.is_idle() && Some(*digest) != keep);
        idle.map(|(_, entry)| entry.blocks.len()).sum()
    }

    /// Evicts the idle prefix that nobody waits for and that was used longest ago. False if none is idle.
    pub(crate) fn evict(&mut self, pool: &mut Pool) -> bool {
        let idle = self.entries.iter().filter(|(_, entry)| entry.is_idle());
        let Some((digest, _)) = idle.min_by_key(|(_, entry)| (entry.wanted > 0, entry.last_used)) else {
            return false;
        };
        self.discard(&digest.clone(), pool);
        true
    }

    fn forget_if_unused(&mut self, digest: &Digest) {
        if self.get(digest).is_some_and(|entry| !entry.is_resident() && entry.users == 0 && entry.wanted == 0) {
            self.entries.remove(digest);
        }
    }
}
