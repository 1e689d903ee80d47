//! Known-good cases: questions with checks on what comes of them.

use std::collections::BTreeSet;
use std::fmt;

use baton_contract::{BlastRadius, Intent, Tier, Touch};

use crate::AnswerCheck;

/// A question of which it is known what must come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Unique in the pack.
    pub name: String,
    /// The file it stands in, relative to the pack.
    pub file: String,
    /// The line it starts at, counted from 1.
    pub line: usize,
    /// What is wanted.
    pub what: String,
    /// Why it is wanted.
    pub why: Option<String>,
    /// What the one who asks says about it.
    pub stated: Stated,
    /// All must hold; never empty.
    pub checks: Vec<Check>,
}

/// What the one who asks says about a question, beside its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// The process it is a part of.
    pub process: Option<String>,
    /// The product it is asked for.
    pub product: Option<String>,
    /// The key of one of the pack's topics.
    pub topic: Option<String>,
    /// What the decision touches.
    pub touches: BTreeSet<Touch>,
    /// How far a mistake would travel; where one of the two facts is given, the other is the least.
    pub radius: Option<BlastRadius>,
}

/// What must hold for what comes of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The text of the answer.
    Answer(AnswerCheck),
    /// The twin's decision, where it has to choose.
    Choice(Choice),
    /// A decision with the case's stated radius and touches gets at least this checking, by the rules.
    TierAtLeast(Tier),
}

/// A decision question whose right answer is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What is to be decided; without it, the case's own question.
    pub question: Option<String>,
    /// The answers that are allowed, in this order; two or more, each once.
    pub answers: Vec<String>,
    /// Index of the right one in `answers`.
    pub right: usize,
    /// The least probability, in (0, 1], that the right one must have; it must also be the most probable.
    pub at_least: f64,
}

impl Case {
    /// The checks on the text of the answer.
    pub fn answer_checks(&self) -> impl Iterator<Item = &AnswerCheck> {
        self.checks.iter().filter_map(|check| match check {
            Check::Answer(check) => Some(check),
            Check::Choice(_) | Check::TierAtLeast(_) => None,
        })
    }

    /// The checks on the text that `answer` does not meet.
    pub fn failures<'a>(&'a self, answer: &str) -> Vec<&'a AnswerCheck> {
        self.answer_checks().filter(|check| !check.passes(answer)).collect()
    }

    /// The why, product and process that the question is asked with.
    pub fn intent(&self) -> Intent {
        Intent { why: self.why.clone(), product: self.stated.product.clone(), process: self.stated.process.clone() }
    }
}

impl Check {
    /// The decision that it is about, if it is about one.
    pub fn choice(&self) -> Option<&Choice> {
        match self {
            Self::Choice(choice) => Some(choice),
            Self::Answer(_) | Self::TierAtLeast(_) => None,
        }
    }

    /// The word for it in a pack's files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Answer(check) => check.kind(),
            Self::Choice(_) => "choice",
            Self::TierAtLeast(_) => "tier_at_least",
        }
    }
}

impl Choice {
    /// Whether the answers' probabilities, in their order, meet the check. None are given for an abstention.
    pub fn passes(&self, probabilities: &[f64]) -> bool {
        probabilities.len() == self.answers.len()
            && probabilities.get(self.right).is_some_and(|right| {
                *right >= self.at_least && probabilities.iter().all(|probability| probability <= right)
            })
    }

    /// The right answer.
    pub fn right_answer(&self) -> &str {
        &self.answers[self.right]
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(check) => check.fmt(f),
            Self::Choice(choice) => write!(
                f,
                "chooses {:?} of {:?} with a probability of at least {}",
                choice.right_answer(),
                choice.answers,
                choice.at_least
            ),
            Self::TierAtLeast(tier) => write!(f, "gets at least the tier `{tier}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_met_by_the_right_answer_being_the_most_probable_and_probable_enough() {
        let choice = Choice { question: None, answers: vec!["ship".into(), "stop".into()], right: 1, at_least: 0.6 };
        let rows: [(&[f64], bool); 7] = [
            (&[0.3, 0.7], true),
            (&[0.4, 0.6], true),
            (&[0.45, 0.55], false),
            (&[0.7, 0.65], false),
            (&[0.3, f64::NAN], false),
            (&[0.7], false),
            (&[], false),
        ];
        for (probabilities, expected) in rows {
            assert_eq!(choice.passes(probabilities), expected, "{probabilities:?}");
        }
    }
}
