//! One answer's way through a grammar.

use baton_contract::{ConstraintError, Next, TokenId, TokenSet, Walk};
use llguidance::Matcher;
use llguidance::api::StopReason;

use crate::grammar::first_line;

/// The place of one answer, with a lexer of its own: what another answer has drawn is neither seen nor paid for here.
pub(crate) struct SchemaWalk(Matcher);

impl SchemaWalk {
    pub(crate) fn new(start: Matcher) -> Self {
        Self(start)
    }

    fn error(&self, error: &impl ToString) -> ConstraintError {
        match self.0.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                ConstraintError("the schema takes too much work for one token; make its patterns simpler".to_owned())
            }
            _ => ConstraintError(first_line(&error.to_string())),
        }
    }
}

impl Walk for SchemaWalk {
    fn next(&mut self) -> Result<Next, ConstraintError> {
        if self.0.is_stopped() && !self.0.is_error() {
            return Ok(Next { tokens: TokenSet::default(), may_end: true });
        }
        let may_end = self.0.is_accepting().map_err(|error| self.error(&error))?;
        let mask = self.0.compute_mask().map_err(|error| self.error(&error))?;
        Ok(Next { tokens: TokenSet::from_words(mask.as_slice().to_vec()), may_end })
    }

    fn advance(&mut self, token: TokenId) -> Result<(), ConstraintError> {
        self.0.consume_token(token).map_err(|error| self.error(&error))
    }
}
