//! Constraints that need no schema.

use std::sync::Arc;

use baton_contract::{Constraint, ConstraintError, Next, TokenId, Walk};

/// A constraint that allows exactly these answers.
pub fn one_of(answers: &[&[TokenId]]) -> Arc<dyn Constraint> {
    Arc::new(OneOf { answers: answers.iter().map(|answer| answer.to_vec()).collect(), fault: None })
}

/// As [`one_of`], but the walk does not go on from the answer's token at `position`: with an error, or a panic.
pub fn one_of_until(answers: &[&[TokenId]], position: usize, panics: bool) -> Arc<dyn Constraint> {
    let answers = answers.iter().map(|answer| answer.to_vec()).collect();
    Arc::new(OneOf { answers, fault: Some((position, panics)) })
}

#[derive(Clone, Debug)]
struct OneOf {
    answers: Vec<Vec<TokenId>>,
    /// Where the walk fails, and whether it panics there.
    fault: Option<(usize, bool)>,
}

struct Steps {
    constraint: OneOf,
    taken: Vec<TokenId>,
}

impl Constraint for OneOf {
    fn begin(&self) -> Box<dyn Walk> {
        Box::new(Steps { constraint: self.clone(), taken: Vec::new() })
    }
}

impl Walk for Steps {
    fn next(&mut self) -> Result<Next, ConstraintError> {
        let rest = || self.constraint.answers.iter().filter_map(|answer| answer.strip_prefix(self.taken.as_slice()));
        let tokens = rest().filter_map(|rest| rest.first().copied()).collect();
        Ok(Next { tokens, may_end: rest().any(<[_]>::is_empty) })
    }

    fn advance(&mut self, token: TokenId) -> Result<(), ConstraintError> {
        match self.constraint.fault {
            Some((position, true)) if position == self.taken.len() => panic!("scripted panic at token {position}"),
            Some((position, false)) if position == self.taken.len() => {
                Err(ConstraintError(format!("scripted error at token {position}")))
            }
            _ => {
                self.taken.push(token);
                Ok(())
            }
        }
    }
}
