//! The values that cross between scheduler and executor.

use std::sync::Arc;

use baton_contract::{Adapter, Digest, FinishReason, Prefix, SequenceId, TokenId, Usage};

/// A block of the paged cache, an index into its first dimension.
pub type BlockId = u32;

/// What one step computes. Made by `Scheduler::plan`, given back by value to `commit` or `abort`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct StepPlan {
    /// Counts from 1 and only up.
    pub step: u64,
    /// Prefixes to restore before anything else, if that can be done; the others are computed in later steps.
    pub restores: Vec<KeptPrefix>,
    /// Block copies to make before anything is computed, in order.
    pub copies: Vec<BlockCopy>,
    /// Work of the step, at most one span an owner. Spans that share a prefix stand side by side. Empty only if there
    /// are restores.
    pub spans: Vec<Span>,
    /// Prefixes that the spans complete, to be stored once these are computed.
    pub stores: Vec<KeptPrefix>,
}

/// A prefix and its blocks, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeptPrefix {
    /// Whose keys and values.
    pub prefix: Arc<Prefix>,
    /// Where they are, or are to be, in order; what is left of the last block is nobody's.
    pub blocks: Vec<BlockId>,
}

/// Copies keys and values of all layers from one block to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockCopy {
    /// Read.
    pub from: BlockId,
    /// Overwritten.
    pub to: BlockId,
}

/// A run of consecutive tokens of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Whose tokens these are.
    pub owner: Owner,
    /// Never empty.
    pub tokens: Vec<TokenId>,
    /// Position of `tokens[0]` in its sequence; everything before it is in the cache already.
    pub start: usize,
    /// The owner's blocks in order; they cover positions up to `start + tokens.len()`.
    pub blocks: Vec<BlockId>,
    /// How many of the first `blocks` belong to a pack's prefix that other spans may share.
    pub shared_blocks: usize,
    /// What the span is computed with beside the model.
    pub adapter: Option<Adapter>,
    /// Whether a token is drawn after the span's last token.
    pub draws: bool,
}

/// Whose tokens a span holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A request.
    Sequence(SequenceId),
    /// A pack's prefix that is being computed, by its digest. It draws nothing.
    Prefix(Digest),
}

/// A token drawn after one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The sequence it belongs to.
    pub sequence: SequenceId,
    /// The token.
    pub token: TokenId,
}

/// What a committed step meant for one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepEvent {
    /// A token to emit.
    Token {
        /// Its sequence.
        sequence: SequenceId,
        /// The token.
        token: TokenId,
    },
    /// The sequence is over and its blocks are free.
    Finished {
        /// Which.
        sequence: SequenceId,
        /// Why.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

impl Span {
    /// Positions in the cache once the span has been computed.
    pub fn end(&self) -> usize {
        self.start + self.tokens.len()
    }
}
