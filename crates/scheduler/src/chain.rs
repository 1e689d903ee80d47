//! Names of full blocks: a hash chain over everything that their keys and values depend on.
//!
//! The root holds the conductor, so no conductor can reuse, or learn of, another's blocks, and the prefix's digest,
//! so equal words under different packs differ. So do equal words that are read with different adapters.

use baton_contract::{Adapter, BLOCK_SIZE, ConductorId, Digest, Digester, Prefix, TokenId};

/// The names of one sequence's own blocks, computed as they fill up.
#[derive(Debug)]
pub(crate) struct Chain {
    root: Digest,
    names: Vec<BlockName>,
}

/// What a full block is found by. Ordered by what precedes it, then by its tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockName {
    /// Key of the block before, or the chain's root.
    pub(crate) parent: Digest,
    pub(crate) tokens: [TokenId; BLOCK_SIZE],
    /// Digest of both.
    pub(crate) key: Digest,
}

impl Chain {
    pub(crate) fn new(conductor: &ConductorId, prefix: Option<&Prefix>, adapter: Option<&Adapter>) -> Self {
        let mut root = Digester::new("baton block chain v1");
        root.field(conductor.as_str().as_bytes());
        if let Some(prefix) = prefix {
            root.field(prefix.digest.as_bytes());
        }
        if let Some(adapter) = adapter {
            root.field(b"adapter").field(adapter.digest().as_bytes());
        }
        Self { root: root.finish(), names: Vec::new() }
    }

    /// Adds the names of blocks that have become full.
    ///
    /// A sequence's own blocks hold the prefix's `tail` (what does not fill a block) and then its `tokens`.
    pub(crate) fn extend(&mut self, tail: &[TokenId], tokens: &[TokenId]) {
        while (self.names.len() + 1) * BLOCK_SIZE <= tail.len() + tokens.len() {
            let mut block = [0; BLOCK_SIZE];
            fill(&mut block, tail, tokens, self.names.len());
            self.names.push(BlockName::new(*self.parent(self.names.len()), block));
        }
    }

    /// One name a full block, in order.
    pub(crate) fn names(&self) -> &[BlockName] {
        &self.names
    }

    /// What precedes the block at `index`; all blocks before it are named.
    pub(crate) fn parent(&self, index: usize) -> &Digest {
        index.checked_sub(1).and_then(|last| self.names.get(last)).map_or(&self.root, |name| &name.key)
    }
}

impl BlockName {
    pub(crate) fn new(parent: Digest, tokens: [TokenId; BLOCK_SIZE]) -> Self {
        let mut bytes = [0; BLOCK_SIZE * size_of::<TokenId>()];
        for (bytes, token) in bytes.chunks_exact_mut(size_of::<TokenId>()).zip(&tokens) {
            bytes.copy_from_slice(&token.to_le_bytes());
        }
        let key = Digester::new("baton block v1").field(parent.as_bytes()).field(&bytes).finish();
        Self { parent, tokens, key }
    }
}

/// Copies what the own block at `index` holds into `block`, as far as there is anything; returns how much that is.
pub(crate) fn fill(block: &mut [TokenId; BLOCK_SIZE], tail: &[TokenId], tokens: &[TokenId], index: usize) -> usize {
    let first = index * BLOCK_SIZE;
    let of_tail = tail.get(first..).unwrap_or_default();
    let of_tokens = tokens.get((first + of_tail.len()).saturating_sub(tail.len())..).unwrap_or_default();
    let held = of_tail.iter().chain(of_tokens);
    block.iter_mut().zip(held).map(|(slot, token)| *slot = *token).count()
}
