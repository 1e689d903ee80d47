//! What can go wrong below the handle.

use std::error::Error;
use std::io;

use baton_contract::{ConstraintError, Digest};

/// Why an executor could not be built, a step failed, or one token could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The executor could not be built.
    #[error("the model could not be made ready")]
    Load(#[source] Box<dyn Error + Send + Sync>),
    /// The step could not be computed; none of its sequences got a token.
    #[error("the step could not be computed")]
    Step(#[source] Box<dyn Error + Send + Sync>),
    /// What computes has failed, and every later step would: only another process can use it again.
    #[error("the device is lost")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    /// An adapter could not be brought to where the model is computed. Nothing of the step was computed but its copies of
    /// blocks were made.
    #[error("the adapter {} could not be loaded", adapter.short())]
    Adapter {
        /// Which.
        adapter: Digest,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The executor panicked, in a step or while it was built.
    #[error("the executor panicked: {0}")]
    Panicked(String),
    /// The engine's thread could not be started.
    #[error("the engine's thread could not be started; check the limit on threads")]
    Thread(#[source] io::Error),
    /// The model's output for one row holds a value that is not a number, or is infinite.
    #[error("the model's output is not a number")]
    NotANumber,
    /// The request's constraint does not say what may come next.
    #[error("the answer could not be held to its form: {0}")]
    Constraint(ConstraintError),
    /// Nothing is left to draw from.
    #[error("no token is left to draw; ease logit_bias or lower min_tokens")]
    NothingLeft,
}

impl ExecutorError {
    /// Whether the caller can mend it by changing the request.
    pub fn is_request_fault(&self) -> bool {
        matches!(self, Self::NothingLeft)
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
