//! Limits, and which requests can never fit them.

use baton_contract::{BLOCK_SIZE, Generate, SequenceId};

/// The limits that a scheduler keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Blocks in the paged cache.
    pub blocks: usize,
    /// Most tokens computed in one step; at least 1.
    pub token_budget: usize,
    /// Most sequences running at once; never more than `token_budget`, so that each can have its token a step.
    pub max_sequences: usize,
    /// Most sequences waiting; further ones are refused.
    pub max_waiting: usize,
    /// Most tokens of one sequence: prefix, prompt and output.
    pub max_context: usize,
    /// Whether the executor keeps prefixes beyond this process: then one that begins is restored if it can be, and one
    /// that was computed is stored.
    pub keep_prefixes: bool,
}

/// Why a request was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// As many sequences wait as may; the same request may be admitted later.
    #[error("the queue is full: {waiting} requests are waiting; try again later")]
    Full {
        /// Sequences that wait already.
        waiting: usize,
    },
    /// The request can never fit, even alone.
    #[error("the request needs {needed} tokens, but {limit} fit; shorten the prompt")]
    TooLong {
        /// Prefix, prompt and the output that it must have: the forced tokens, or one.
        needed: usize,
        /// Tokens that fit into the context and into the cache beside the prefix.
        limit: usize,
    },
    /// The request is malformed.
    #[error("{0}")]
    Invalid(Invalid),
}

/// What is wrong with a malformed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A sequence is alive under this id.
    #[error("sequence {} is already known; give every request an id of its own", .0.0)]
    KnownSequence(SequenceId),
    /// There is nothing to continue.
    #[error("the prompt is empty; it needs at least one token")]
    EmptyPrompt,
    /// A prefix without tokens.
    #[error("the prefix of `{0}` is empty; leave it out instead")]
    EmptyPrefix(String),
    /// Nothing would be drawn.
    #[error("max_tokens is 0; it must be at least 1")]
    NoOutput,
    /// A conductor without any share.
    #[error("the conductor's weight is 0; it must be at least 1")]
    NoWeight,
    /// Two prefixes that cannot both be right.
    #[error("the prefix of `{0}` has the digest of another prefix with other tokens")]
    ClashingPrefix(String),
}

impl AdmitError {
    /// Whether the caller can mend it by changing the request.
    pub fn is_request_fault(&self) -> bool {
        !matches!(self, Self::Full { .. })
    }
}

impl SchedulerConfig {
    /// The same limits, made consistent.
    pub(crate) fn sane(self) -> Self {
        let token_budget = self.token_budget.max(1);
        Self {
            // Block ids are 32 bits wide.
            blocks: self.blocks.min(u32::MAX as usize),
            token_budget,
            max_sequences: self.max_sequences.clamp(1, token_budget),
            ..self
        }
    }

    /// Most tokens of a sequence with a prefix of `prefix_len` tokens, so that it can run alone.
    ///
    /// The prefix keeps all its blocks, and the sequence needs a copy of a partial last one.
    pub(crate) fn length_limit(&self, prefix_len: usize) -> usize {
        let shared = prefix_len / BLOCK_SIZE;
        let own = self.blocks.saturating_sub(prefix_len.div_ceil(BLOCK_SIZE));
        self.max_context.min((shared + own) * BLOCK_SIZE)
    }

    /// Everything about a request that can be judged without the scheduler's state.
    pub(crate) fn check(&self, request: &Generate) -> Result<(), AdmitError> {
        let invalid = |fault| Err(AdmitError::Invalid(fault));
        if request.prompt.is_empty() {
            return invalid(Invalid::EmptyPrompt);
        }
        if request.stop.max_tokens == 0 {
            return invalid(Invalid::NoOutput);
        }
        if request.weight == 0 {
            return invalid(Invalid::NoWeight);
        }
        if let Some(prefix) = request.prefix.as_ref().filter(|prefix| prefix.tokens.is_empty()) {
            return invalid(Invalid::EmptyPrefix(prefix.label.clone()));
        }
        let needed = request.input_len() + request.forced.len().max(1);
        let limit = self.length_limit(request.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len()));
        if needed > limit {
            return Err(AdmitError::TooLong { needed, limit });
        }
        Ok(())
    }
}
