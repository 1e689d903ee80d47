//! The seam between deciding and computing.

use baton_contract::{Digest, Generate, SequenceId, TokenId, TokenLogprobs};
use baton_scheduler::{KeptPrefix, StepPlan};

use crate::{Allowed, ExecutorError};

/// Computes what a plan says and decides nothing.
///
/// It need not be `Send`: it is built on the engine's thread and never leaves it. It may panic; the engine then
/// fails the requests of that step and calls it again for the next one.
pub trait Executor {
    /// Begins to bring a prefix of a plan back into its blocks, if it is kept anywhere. Called before the plan's `step`.
    /// True if its blocks are written beside the steps from now on, until [`moved`](Self::moved) says what came of it.
    fn restore(&mut self, kept: &KeptPrefix) -> bool {
        let _ = kept;
        false
    }

    /// Begins to keep a prefix that a step has completed. True if its blocks are read beside the steps from now on, until
    /// [`moved`](Self::moved) says that they no longer are.
    fn store(&mut self, kept: &KeptPrefix) -> bool {
        let _ = kept;
        false
    }

    /// Goes on with what is copied beside the steps, and says what is over. If `wait`, there is nothing else to do: it
    /// then waits for a few milliseconds if that helps.
    fn moved(&mut self, wait: bool) -> Vec<Moved> {
        let _ = wait;
        Vec::new()
    }

    /// Carries out one step: copies blocks, computes all spans, and draws a token for each entry of `draws`.
    ///
    /// `draws` has one entry for each span with `draws` set, in the order of the spans; so has the result. An error
    /// inside the result concerns that sequence alone.
    ///
    /// # Errors
    /// The whole step failed. Whatever it wrote to the cache counts as lost.
    fn step(
        &mut self,
        plan: &StepPlan,
        draws: &[Draw<'_>],
    ) -> Result<Vec<Result<Sample, ExecutorError>>, ExecutorError>;
}

/// What was copied beside the steps and no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// All of a prefix is in its blocks, from the host's memory or from a file.
    Restored {
        /// Which.
        prefix: Digest,
        /// Whether it was in memory.
        from_memory: bool,
    },
    /// A prefix is kept, but cannot be used; why has been reported.
    Damaged(Digest),
    /// A prefix's blocks have been read.
    Stored(Digest),
}

/// What is needed to draw the next token of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Whose token it will be.
    pub sequence: SequenceId,
    /// Its request: input tokens, sampling and stop rules.
    pub request: &'a Generate,
    /// The tokens drawn so far.
    pub output: &'a [TokenId],
    /// What the request's constraint allows now, if it has one.
    pub allowed: Option<&'a Allowed>,
}

/// A drawn token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The token.
    pub token: TokenId,
    /// Present if the request asks for it.
    pub logprobs: Option<TokenLogprobs>,
}

impl<'a> Draw<'a> {
    /// Which output token is drawn, from 0.
    pub fn position(&self) -> usize {
        self.output.len()
    }

    /// The tokens that the model has read: prefix, then prompt.
    pub fn input(&self) -> impl Iterator<Item = TokenId> + 'a {
        let prefix = self.request.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens);
        prefix.iter().chain(&self.request.prompt).copied()
    }

    /// The token that must be drawn now, if the request says so.
    pub fn forced(&self) -> Option<TokenId> {
        self.request.forced.get(self.position()).copied()
    }

    /// The tokens that may not be drawn now: all that would end the sequence before `min_tokens`.
    pub fn masked(&self) -> impl Iterator<Item = TokenId> + 'a {
        let stop = &self.request.stop;
        let early = self.output.len() < stop.min_tokens;
        let ends: &[TokenId] = if early && !stop.ignore_end { &stop.end_tokens } else { &[] };
        let stops: &[TokenId] = if early { &stop.stop_tokens } else { &[] };
        ends.iter().chain(stops).copied()
    }
}
