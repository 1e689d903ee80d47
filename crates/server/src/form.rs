//! The form that an answer is held to: a twin's own spec, by which it is also checked before anybody sees it; or the
//! schema that a caller asks for, by which it is drawn and then given out as it is.

use std::sync::Arc;

use baton_constraint::{CallError, CallGrammar, CallRules, Grammar, Grammars, Schema, SchemaError};
use baton_contract::FinishReason;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::json;
use crate::twins::Twin;

/// Compiles the schemas that callers ask for, one at a time: however many there are, the rest of the machine goes on.
pub(crate) struct Compiler {
    grammars: Grammars,
    turn: Arc<Semaphore>,
}

impl Compiler {
    pub(crate) fn new(grammars: Grammars) -> Self {
        Self { grammars, turn: Arc::new(Semaphore::new(1)) }
    }

    /// For schemas that are not a caller's.
    pub(crate) fn grammars(&self) -> &Grammars {
        &self.grammars
    }

    /// Compiles on a blocking thread a schema that the field `at` asks for.
    ///
    /// # Errors
    /// The schema cannot be honoured.
    pub(crate) async fn compile(&self, schema: Schema, at: &str) -> Result<Arc<Grammar>, ApiError> {
        let compiled = self.in_turn(move |grammars| grammars.compile(&schema)).await?;
        compiled.map(Arc::new).map_err(|error| refused(at, &error))
    }

    /// The same for the rules of calls.
    ///
    /// # Errors
    /// They cannot be honoured.
    pub(crate) async fn compile_calls(&self, rules: CallRules) -> Result<Arc<CallGrammar>, CallsRefused> {
        let compiled = self.in_turn(move |grammars| grammars.compile_calls(&rules)).await;
        compiled.map_err(CallsRefused::Fault)?.map(Arc::new).map_err(CallsRefused::Rules)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Grammars) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let closed = |_| ApiError::internal("no schema can be compiled any more");
        let permit = Arc::clone(&self.turn).acquire_owned().await.map_err(closed)?;
        let grammars = self.grammars.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Kept until the work is done, even if nobody waits for it any more.
            let _permit = permit;
            work(&grammars)
        });
        task.await.map_err(|_| ApiError::internal("the schema could not be compiled"))
    }
}

/// Why calls cannot be drawn.
pub(crate) enum CallsRefused {
    Rules(CallError),
    /// A fault of the server.
    Fault(ApiError),
}

/// A schema that a caller asked for in the field `at` cannot be honoured.
pub(crate) fn refused(at: &str, error: &SchemaError) -> ApiError {
    ApiError::invalid(at, format!("the schema of `{at}` is not one to answer in: {error}"))
}

impl Twin {
    /// Whether answers must meet something that can be checked: a schema, or the pack's own checks.
    pub(crate) fn has_spec(&self) -> bool {
        self.grammar.is_some() || !self.pack.manifest().answer_checks.is_empty()
    }

    /// Checks an answer as a whole.
    ///
    /// # Errors
    /// The first thing that makes it broken work, in a sentence without the answer's words.
    pub(crate) fn examine(&self, answer: &str, reason: FinishReason) -> Result<(), String> {
        if let Some(grammar) = &self.grammar {
            if reason == FinishReason::Length {
                return Err("the answer was cut before it was complete".to_owned());
            }
            // Strictly, so that nobody reads it in another way: no name may stand twice in an object.
            let value =
                json::parse(answer.as_bytes()).map_err(|error| format!("the answer is not strict JSON: {error}"))?;
            grammar.schema().check(&value).map_err(|breach| breach.to_string())?;
        }
        self.pack.broken_work(answer).into_iter().next().map_or(Ok(()), Err)
    }
}
