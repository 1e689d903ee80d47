//! From scores to probabilities.

use crate::{Error, Temperature};

/// How probable each allowed answer is.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// In the order of the answers; each in [0, 1], together 1.
    probabilities: Vec<f64>,
    best: usize,
}

impl Judgment {
    /// The softmax of the scores, each divided by the temperature. A score is the natural logarithm of a probability;
    /// an answer that is impossible has the score of negative infinity.
    ///
    /// # Errors
    /// A score is not a number, or there is no answer that is possible.
    pub fn new(scores: &[f64], temperature: Temperature) -> Result<Self, Error> {
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !largest.is_finite() || scores.iter().any(|score| score.is_nan()) {
            return Err(Error::NoProbability);
        }
        let weights: Vec<f64> = scores.iter().map(|score| ((score - largest) / temperature.value()).exp()).collect();
        let sum: f64 = weights.iter().sum();
        // The first of those that are equal.
        let best = scores.iter().position(|score| *score >= largest).unwrap_or_default();
        Ok(Self { probabilities: weights.into_iter().map(|weight| weight / sum).collect(), best })
    }

    /// In the order of the answers.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// The most probable answer; of those that are equal, the first.
    pub fn best(&self) -> usize {
        self.best
    }

    /// How probable the most probable answer is.
    pub fn confidence(&self) -> f64 {
        self.probabilities[self.best]
    }

    /// On a scale whose lowest level is 0 and whose steps are 1: where the answer lies on average.
    pub fn expectation(&self) -> f64 {
        (0_u32..).zip(&self.probabilities).map(|(level, probability)| f64::from(level) * probability).sum()
    }

    /// Whether even the most probable answer is less probable than `threshold`: then the twin should not answer.
    pub fn abstains(&self, threshold: f64) -> bool {
        self.confidence() < threshold
    }
}
