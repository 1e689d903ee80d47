//! All that can happen to the engine's thread.

use std::time::Instant;

use baton_contract::{Emission, Generate, SequenceId, TokenId};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::Allowed;
use crate::permit::Permit;

/// A message to the engine's thread.
pub(crate) enum Command {
    /// Generate these sequences, admitted together.
    Generate(Vec<Job>),
    /// The owner of this sequence went away.
    Cancel(SequenceId),
    /// Take nothing more, finish until the deadline, fail the rest and end.
    Drain {
        deadline: Instant,
        /// Dropped when the thread has ended.
        over: oneshot::Sender<()>,
    },
}

/// One sequence on the engine's thread.
pub(crate) struct Job {
    pub(crate) sequence: SequenceId,
    /// Dropped before `emissions`, so that it is back before the owner can see the end.
    pub(crate) permit: Permit,
    pub(crate) request: Generate,
    /// Tokens drawn so far.
    pub(crate) output: Vec<TokenId>,
    /// What may be drawn next, if the request has a constraint.
    pub(crate) allowed: Option<Allowed>,
    /// Unbounded, but never holds more than `max_tokens` tokens and an end.
    pub(crate) emissions: UnboundedSender<Emission>,
}

impl Job {
    /// Ends the stream.
    pub(crate) fn end(self, last: Emission) {
        drop(self.permit);
        // An owner that has gone has nothing to be told.
        let _ = self.emissions.send(last);
    }
}
