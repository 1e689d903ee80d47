//! What can be seen from outside.

use std::collections::BTreeMap;

use baton_contract::{SequenceId, Usage};

/// A scheduler's state in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sequences that hold blocks.
    pub running: usize,
    /// Sequences that wait for their turn, preempted ones with them.
    pub waiting: usize,
    /// Where the blocks are.
    pub blocks: BlockCounts,
    /// Sequences that were preempted, since the start.
    pub preemptions: u64,
    /// How often the prefix of each label was computed to its end, since the start.
    pub prefixes_computed: BTreeMap<String, u64>,
    /// How often the prefix of each label was restored instead, since the start.
    pub prefixes_restored: BTreeMap<String, u64>,
    /// Input tokens of started sequences, since the start; those started again after a preemption count once.
    pub cache_queried: u64,
    /// Part of `cache_queried` that did not have to be computed for the sequence.
    pub cache_hit: u64,
    /// Usage so far of every live sequence, by id.
    pub usage: BTreeMap<SequenceId, Usage>,
}

/// Where the blocks are; the others are held by sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// All.
    pub total: usize,
    /// Empty.
    pub free: usize,
    /// Held by resident prefixes.
    pub pinned: usize,
    /// Held by nobody, but with content that may be used again.
    pub reusable: usize,
}
