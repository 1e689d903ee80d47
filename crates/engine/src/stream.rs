//! What the owner of a request holds.

use std::future::poll_fn;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll, ready};

use baton_contract::{Emission, SequenceId};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::command::Command;

/// The emissions of one sequence: tokens, then exactly one `Finished` or `Failed`.
///
/// Dropping it before the end cancels the sequence and frees its blocks.
#[derive(Debug)]
pub struct Emissions {
    sequence: SequenceId,
    received: UnboundedReceiver<Emission>,
    commands: Sender<Command>,
    ended: bool,
}

impl Emissions {
    pub(crate) fn new(sequence: SequenceId, received: UnboundedReceiver<Emission>, commands: Sender<Command>) -> Self {
        Self { sequence, received, commands, ended: false }
    }

    /// The engine's name for the sequence, for logs.
    pub fn sequence(&self) -> SequenceId {
        self.sequence
    }

    /// The next emission; `None` after the last. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Emission> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Self::next`], for those that implement a stream.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Emission>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The thread ends every stream itself, unless it dies of a bug.
        let died = || Emission::Failed("the engine stopped before this request was finished".to_owned());
        let emission = ready!(self.received.poll_recv(context)).unwrap_or_else(died);
        self.ended = !matches!(emission, Emission::Token { .. });
        Poll::Ready(Some(emission))
    }
}

impl Drop for Emissions {
    fn drop(&mut self) {
        if !self.ended {
            // If the thread has ended, so has the sequence.
            let _ = self.commands.send(Command::Cancel(self.sequence));
        }
    }
}
