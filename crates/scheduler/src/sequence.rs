//! One live request.

use std::sync::Arc;

use baton_contract::{
    Adapter, BLOCK_SIZE, ConductorId, Digest, Generate, Prefix, SequenceId, StopRules, TokenId, Usage,
};

use crate::chain::{self, BlockName, Chain};
use crate::{BlockId, Owner, Span};

/// One live request: waiting if it holds nothing, else running.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: SequenceId,
    /// Position in the order of admission; the lower, the later it is preempted.
    pub(crate) order: u64,
    pub(crate) conductor: ConductorId,
    pub(crate) prefix: Option<Arc<Prefix>>,
    adapter: Option<Adapter>,
    /// Prompt and drawn tokens.
    tokens: Vec<TokenId>,
    chain: Chain,
    pub(crate) stop: StopRules,
    /// Most tokens to draw: `max_tokens`, or what context and cache leave.
    pub(crate) output_limit: usize,
    pub(crate) usage: Usage,
    /// Positions up to here were reused, or computed and charged, at some time.
    pub(crate) settled: usize,
    /// Whether it has ever run.
    pub(crate) started: bool,
    /// Whether it has drawn a token since it was admitted or preempted.
    pub(crate) contending: bool,
    /// How often another sequence was started while this one's turn was earlier.
    pub(crate) passed_over: u32,
    /// Cancelled while its step is being executed.
    pub(crate) cancelled: bool,
    pub(crate) held: Option<Held>,
}

/// What a running sequence holds, besides its prefix.
#[derive(Debug)]
pub(crate) struct Held {
    /// Blocks that follow the prefix's full ones.
    pub(crate) blocks: Vec<BlockId>,
    /// Positions up to here are in the cache, or will be once the prefix is complete and `source` is copied.
    pub(crate) computed: usize,
    /// What the block that `computed` lies in begins with, until a step has copied it there.
    pub(crate) source: Option<Source>,
    /// Whether the step being executed has a span of it.
    pub(crate) in_step: bool,
}

/// Where the first tokens of a block come from that are in the cache already, though in another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The prefix's partial last block.
    Prefix,
    /// A finished block of the same conductor that begins alike; the sequence is one of its holders.
    Block(BlockId),
}

impl Sequence {
    pub(crate) fn new(id: SequenceId, order: u64, request: &Generate, length_limit: usize) -> Self {
        let input = request.input_len();
        Self {
            id,
            order,
            conductor: request.conductor.clone(),
            prefix: request.prefix.clone(),
            adapter: request.adapter.clone(),
            tokens: request.prompt.clone(),
            chain: Chain::new(&request.conductor, request.prefix.as_deref(), request.adapter.as_ref()),
            stop: request.stop.clone(),
            output_limit: request.stop.max_tokens.min(length_limit - input),
            usage: Usage { input, cached: 0, output: 0 },
            settled: 0,
            started: false,
            contending: true,
            passed_over: 0,
            cancelled: false,
            held: None,
        }
    }

    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.prefix.as_ref().map(|prefix| &prefix.digest)
    }

    pub(crate) fn prefix_len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len())
    }

    /// Full blocks of the prefix.
    pub(crate) fn shared_blocks(&self) -> usize {
        self.prefix_len() / BLOCK_SIZE
    }

    /// Tokens of the prefix, the prompt and the output so far.
    pub(crate) fn known(&self) -> usize {
        self.prefix_len() + self.tokens.len()
    }

    /// Own blocks that hold all known tokens.
    pub(crate) fn own_blocks(&self) -> usize {
        self.known().div_ceil(BLOCK_SIZE) - self.shared_blocks()
    }

    /// Known tokens that are not computed yet, if it runs.
    pub(crate) fn remaining(&self) -> usize {
        self.held.as_ref().map_or(0, |held| self.known() - held.computed)
    }

    /// Prompt tokens that are yet to be charged.
    pub(crate) fn unsettled(&self) -> usize {
        self.usage.input.saturating_sub(self.settled)
    }

    /// What does not fill a block of the prefix.
    pub(crate) fn prefix_tail(&self) -> &[TokenId] {
        let shared = self.shared_blocks() * BLOCK_SIZE;
        self.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens[shared..])
    }

    /// Names of all full own blocks.
    pub(crate) fn names(&mut self) -> &[BlockName] {
        let shared = self.shared_blocks() * BLOCK_SIZE;
        let tail = self.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens[shared..]);
        self.chain.extend(tail, &self.tokens);
        self.chain.names()
    }

    /// Names of full own blocks, as far as they were ever needed.
    pub(crate) fn known_names(&self) -> &[BlockName] {
        self.chain.names()
    }

    /// Names of the full own blocks that may be reused: the last known token is always computed, for a draw follows it.
    pub(crate) fn reusable_names(&mut self) -> &[BlockName] {
        let most = (self.known() - 1) / BLOCK_SIZE - self.shared_blocks();
        &self.names()[..most]
    }

    /// Whether it runs and has yet to compute all of its own block at `index`, which will then be that of `name`.
    pub(crate) fn is_to_compute(&self, index: usize, name: &BlockName) -> bool {
        let end = (self.shared_blocks() + index + 1) * BLOCK_SIZE;
        self.held.as_ref().is_some_and(|held| held.computed < end)
            && self.chain.names().get(index).is_some_and(|own| own.key == name.key)
    }

    /// What the own block at `index` holds, padded, and how many tokens of it may be reused. All blocks before it are
    /// named.
    pub(crate) fn beginning(&self, index: usize) -> (BlockName, usize) {
        let mut tokens = [0; BLOCK_SIZE];
        let held = chain::fill(&mut tokens, self.prefix_tail(), &self.tokens, index);
        let last = self.known() - 1 - (self.shared_blocks() + index) * BLOCK_SIZE;
        (BlockName::new(*self.chain.parent(index), tokens), held.min(last))
    }

    pub(crate) fn push(&mut self, token: TokenId) {
        self.tokens.push(token);
    }

    /// The next `count` tokens as a span; `prefix_blocks` are the prefix's full blocks. [`Held`] is marked.
    pub(crate) fn next_span(&mut self, count: usize, prefix_blocks: &[BlockId]) -> Option<Span> {
        let (prefix_len, known) = (self.prefix_len(), self.known());
        let held = self.held.as_mut()?;
        held.in_step = true;
        let (start, end) = (held.computed, held.computed + count);
        let own = end.div_ceil(BLOCK_SIZE) - prefix_blocks.len();
        Some(Span {
            owner: Owner::Sequence(self.id),
            tokens: self.tokens[start - prefix_len..end - prefix_len].to_vec(),
            start,
            blocks: [prefix_blocks, &held.blocks[..own]].concat(),
            shared_blocks: prefix_blocks.len(),
            adapter: self.adapter.clone(),
            draws: end == known,
        })
    }
}
