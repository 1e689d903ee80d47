//! Blocks: free, held, or kept for reuse.

use std::collections::{BTreeMap, HashMap};

use baton_contract::Digest;

use crate::BlockId;

/// All blocks of the cache. A block is free (no holder, no key), held, or reusable (no holder, but a key).
#[derive(Debug)]
pub(crate) struct Pool {
    blocks: Vec<Block>,
    free: Vec<BlockId>,
    /// Reusable blocks by the time they were let go, oldest first.
    reusable: BTreeMap<u64, BlockId>,
    /// Finished blocks by content. Only ever looked up, so its order does not matter.
    by_key: HashMap<Digest, BlockId>,
    clock: u64,
}

#[derive(Clone, Debug, Default)]
struct Block {
    holders: u32,
    key: Option<Digest>,
    /// When it was let go; meaningful for reusable blocks.
    released: u64,
}

impl Pool {
    pub(crate) fn new(blocks: usize) -> Self {
        let count = u32::try_from(blocks).unwrap_or(u32::MAX);
        Self {
            blocks: vec![Block::default(); count as usize],
            // Taken from the end: low ids first.
            free: (0..count).rev().collect(),
            reusable: BTreeMap::new(),
            by_key: HashMap::new(),
            clock: 0,
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn reusable(&self) -> usize {
        self.reusable.len()
    }

    /// Blocks that `take` can give.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.reusable.len()
    }

    /// A block with no content and one holder; forgets the reusable block that was let go longest ago if it must.
    pub(crate) fn take(&mut self) -> Option<BlockId> {
        let id = self.free.pop().or_else(|| {
            let (_, id) = self.reusable.pop_first()?;
            if let Some(key) = self.block_mut(id).key.take() {
                self.by_key.remove(&key);
            }
            Some(id)
        })?;
        self.block_mut(id).holders = 1;
        Some(id)
    }

    /// How many of the first `keys` have a block, and how many of those blocks have no holder.
    pub(crate) fn matching(&self, keys: &[Digest]) -> (usize, usize) {
        let found = keys.iter().map_while(|key| self.by_key.get(key));
        found.fold((0, 0), |(all, idle), id| (all + 1, idle + usize::from(self.holders(*id) == 0)))
    }

    /// One more holder for the finished block of `key`.
    pub(crate) fn share(&mut self, key: &Digest) -> Option<BlockId> {
        let id = *self.by_key.get(key)?;
        let block = self.block_mut(id);
        block.holders += 1;
        if block.holders == 1 {
            let released = block.released;
            self.reusable.remove(&released);
        }
        Some(id)
    }

    /// Makes a block findable once its content is complete. If an equal block is, this one stays private.
    pub(crate) fn publish(&mut self, id: BlockId, key: Digest) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.by_key.entry(key) {
            entry.insert(id);
            self.block_mut(id).key = Some(key);
        }
    }

    /// One holder less; the last one makes the block reusable if it has a key, else free.
    pub(crate) fn release(&mut self, id: BlockId) {
        self.clock += 1;
        let released = self.clock;
        let block = self.block_mut(id);
        debug_assert!(block.holders > 0, "block {id} is released more often than it is held");
        block.holders = block.holders.saturating_sub(1);
        if block.holders > 0 {
            return;
        }
        block.released = released;
        if block.key.is_some() {
            self.reusable.insert(released, id);
        } else {
            self.free.push(id);
        }
    }

    /// Sequences and prefixes that hold the block.
    pub(crate) fn holders(&self, id: BlockId) -> u32 {
        self.blocks[id as usize].holders
    }

    /// The name under which the block can be found.
    pub(crate) fn key(&self, id: BlockId) -> Option<&Digest> {
        self.blocks[id as usize].key.as_ref()
    }

    /// Whether free list, reusable list and index agree with the blocks themselves.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut listed = vec![false; self.blocks.len()];
        let mut is_first = |id: BlockId| !std::mem::replace(&mut listed[id as usize], true);
        let free = self.free.iter().all(|id| self.holders(*id) == 0 && self.key(*id).is_none() && is_first(*id));
        let reusable = self.reusable.iter().all(|(released, id)| {
            let block = &self.blocks[*id as usize];
            block.holders == 0 && block.key.is_some() && block.released == *released && is_first(*id)
        });
        let found = self.by_key.iter().all(|(key, id)| self.key(*id) == Some(key));
        let keyed = self.blocks.iter().filter(|block| block.key.is_some()).count();
        let idle = self.blocks.iter().filter(|block| block.holders == 0).count();
        free && reusable && found && keyed == self.by_key.len() && idle == self.available()
    }

    fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id as usize]
    }
}
