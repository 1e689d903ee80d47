//! Names of full blocks: a hash chain over everything that their keys and values depend on.
//!
//! The root holds the conductor, so no conductor can reuse, or learn of, another's blocks, and the prefix's digest,
//! so equal words under different packs differ.

use baton_contract::{BLOCK_SIZE, ConductorId, Digest, Digester, Prefix, TokenId};

/// The keys of one sequence's own blocks, computed as they fill up.
#[derive(Debug)]
pub(crate) struct Chain {
    root: Digest,
    keys: Vec<Digest>,
}

impl Chain {
    pub(crate) fn new(conductor: &ConductorId, prefix: Option<&Prefix>) -> Self {
        let mut root = Digester::new("baton block chain v1");
        root.field(conductor.as_str().as_bytes());
        if let Some(prefix) = prefix {
            root.field(prefix.digest.as_bytes());
        }
        Self { root: root.finish(), keys: Vec::new() }
    }

    /// Adds the keys of blocks that have become full.
    ///
    /// A sequence's own blocks hold the prefix's `tail` (what does not fill a block) and then its `tokens`.
    pub(crate) fn extend(&mut self, tail: &[TokenId], tokens: &[TokenId]) {
        while (self.keys.len() + 1) * BLOCK_SIZE <= tail.len() + tokens.len() {
            let first = self.keys.len() * BLOCK_SIZE;
            let of_tail = tail.get(first..).unwrap_or_default();
            let from = (first + of_tail.len()) - tail.len();
            let of_tokens = &tokens[from..from + BLOCK_SIZE - of_tail.len()];
            let mut bytes = [0; BLOCK_SIZE * size_of::<TokenId>()];
            for (bytes, token) in bytes.chunks_exact_mut(size_of::<TokenId>()).zip(of_tail.iter().chain(of_tokens)) {
                bytes.copy_from_slice(&token.to_le_bytes());
            }
            let parent = self.keys.last().unwrap_or(&self.root);
            let key = Digester::new("baton block v1").field(parent.as_bytes()).field(&bytes).finish();
            self.keys.push(key);
        }
    }

    /// One key a full block, in order.
    pub(crate) fn keys(&self) -> &[Digest] {
        &self.keys
    }
}
