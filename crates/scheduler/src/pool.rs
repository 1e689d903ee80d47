//! Blocks: free, held, or kept for reuse.

use std::collections::{BTreeMap, HashMap};

use baton_contract::{Digest, TokenId};

use crate::BlockId;
use crate::chain::BlockName;

/// All blocks of the cache. A block is free (no holder, no name), held, or reusable (no holder, but a name).
#[derive(Debug)]
pub(crate) struct Pool {
    blocks: Vec<Block>,
    free: Vec<BlockId>,
    /// Reusable blocks by the time they were let go, oldest first.
    reusable: BTreeMap<u64, BlockId>,
    /// Finished blocks by content. Only ever looked up, so its order does not matter.
    by_key: HashMap<Digest, BlockId>,
    /// The same blocks in the order of their names.
    by_name: BTreeMap<BlockName, BlockId>,
    clock: u64,
}

#[derive(Clone, Debug, Default)]
struct Block {
    holders: u32,
    name: Option<BlockName>,
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
            by_name: BTreeMap::new(),
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
            if let Some(name) = self.block_mut(id).name.take() {
                self.by_key.remove(&name.key);
                self.by_name.remove(&name);
            }
            Some(id)
        })?;
        self.block_mut(id).holders = 1;
        Some(id)
    }

    /// How many of the first `names` have a block, and how many of those blocks have no holder.
    pub(crate) fn matching(&self, names: &[BlockName]) -> (usize, usize) {
        let found = names.iter().map_while(|name| self.by_key.get(&name.key));
        found.fold((0, 0), |(all, idle), id| (all + 1, idle + usize::from(self.holders(*id) == 0)))
    }

    /// The finished block after `parent` that begins with most of `tokens` (padded to a whole block), and how many.
    pub(crate) fn best_beginning(&self, padded: &BlockName, count: usize) -> Option<(BlockId, usize)> {
        // In lexicographic order, nothing begins more like it than one of its neighbours.
        let neighbours = [self.by_name.range(..=padded).next_back(), self.by_name.range(padded..).next()];
        let siblings = neighbours.into_iter().flatten().filter(|(name, _)| name.parent == padded.parent);
        let common = |tokens: &[TokenId]| {
            tokens.iter().zip(&padded.tokens[..count]).take_while(|(theirs, ours)| theirs == ours).count()
        };
        let common = siblings.map(|(name, id)| (*id, common(&name.tokens))).filter(|(_, common)| *common > 0);
        common.max_by_key(|(_, common)| *common)
    }

    /// One more holder for the finished block of `key`.
    pub(crate) fn share(&mut self, key: &Digest) -> Option<BlockId> {
        let id = *self.by_key.get(key)?;
        self.hold(id);
        Some(id)
    }

    /// One more holder for a block that has a name or a holder.
    pub(crate) fn hold(&mut self, id: BlockId) {
        let block = self.block_mut(id);
        block.holders += 1;
        if block.holders == 1 {
            let released = block.released;
            self.reusable.remove(&released);
        }
    }

    /// Makes a block findable once its content is complete. If an equal block is, this one stays private.
    pub(crate) fn publish(&mut self, id: BlockId, name: BlockName) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.by_key.entry(name.key) {
            entry.insert(id);
            self.by_name.insert(name.clone(), id);
            self.block_mut(id).name = Some(name);
        }
    }

    /// One holder less; the last one makes the block reusable if it has a name, else free.
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
        if block.name.is_some() {
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
    pub(crate) fn name(&self, id: BlockId) -> Option<&BlockName> {
        self.blocks[id as usize].name.as_ref()
    }

    /// Whether free list, reusable list and index agree with the blocks themselves.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut listed = vec![false; self.blocks.len()];
        let mut is_first = |id: BlockId| !std::mem::replace(&mut listed[id as usize], true);
        let free = self.free.iter().all(|id| self.holders(*id) == 0 && self.name(*id).is_none() && is_first(*id));
        let reusable = self.reusable.iter().all(|(released, id)| {
            let block = &self.blocks[*id as usize];
            block.holders == 0 && block.name.is_some() && block.released == *released && is_first(*id)
        });
        let found = self.by_key.iter().all(|(key, id)| self.name(*id).is_some_and(|name| name.key == *key));
        let ordered = self.by_name.iter().all(|(name, id)| self.name(*id) == Some(name));
        let named = self.blocks.iter().filter(|block| block.name.is_some()).count();
        let idle = self.blocks.iter().filter(|block| block.holders == 0).count();
        let counts = named == self.by_key.len() && named == self.by_name.len() && idle == self.available();
        free && reusable && found && ordered && counts
    }

    fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id as usize]
    }
}
