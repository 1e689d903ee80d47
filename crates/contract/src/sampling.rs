//! How the next token is drawn.

use crate::TokenId;

/// How one sequence's tokens are drawn from the model's distribution.
///
/// The order is fixed: what the request's constraint forbids, logit bias, penalties, temperature, top-k, top-p, min-p,
/// draw. At temperature 0 the most probable token is taken, the lower id on a tie.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; at most 2.
    pub temperature: f32,
    /// Smallest set of tokens whose probabilities reach this sum, in (0, 1].
    pub top_p: f32,
    /// Only the `k` most probable tokens; 0 means all.
    pub top_k: u32,
    /// Only tokens at least this share as probable as the most probable one, in [0, 1].
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or output; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once from logits of tokens that are in the output, in [-2, 2].
    pub presence_penalty: f32,
    /// Subtracted per occurrence from logits of tokens that are in the output, in [-2, 2].
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens, each in [-100, 100]; sorted by token, no token twice.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// The draw for output position `i` depends on `(seed, i)` alone, never on neighbours.
    pub seed: u64,
    /// How many alternatives to report beside the drawn token's own log-probability; `None` reports nothing.
    pub top_logprobs: Option<u8>,
}

/// A sampling value outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{field}` must be {range}, not {value}")]
pub struct SamplingError {
    /// The field's name, as in OpenAI's API.
    pub field: &'static str,
    /// The range, for a person.
    pub range: &'static str,
    /// What was given.
    pub value: f32,
}

/// Most alternatives that can be asked for, as in OpenAI's API.
pub(crate) const MAX_TOP_LOGPROBS: u8 = 20;

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
            top_logprobs: None,
        }
    }
}

impl Sampling {
    /// Greedy decoding, nothing else changed.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks every range; not a number is outside each of them.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let within = |field, value: f32, low: f32, high: f32, range| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(SamplingError { field, range, value }) }
        };
        within("temperature", self.temperature, 0.0, 2.0, "between 0 and 2")?;
        within("top_p", self.top_p, f32::MIN_POSITIVE, 1.0, "above 0 and at most 1")?;
        within("min_p", self.min_p, 0.0, 1.0, "between 0 and 1")?;
        within("repetition_penalty", self.repetition_penalty, f32::MIN_POSITIVE, 10.0, "above 0 and at most 10")?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0, "between -2 and 2")?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0, "between -2 and 2")?;
        for (_, bias) in &self.logit_bias {
            within("logit_bias", *bias, -100.0, 100.0, "between -100 and 100")?;
        }
        let alternatives = f32::from(self.top_logprobs.unwrap_or(0));
        within("top_logprobs", alternatives, 0.0, f32::from(MAX_TOP_LOGPROBS), "between 0 and 20")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_closed_and_nan_is_outside() {
        assert_eq!(Sampling::default().check(), Ok(()));
        assert_eq!(Sampling::greedy().check(), Ok(()));
        let bad = [
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { temperature: 2.1, ..Sampling::default() },
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { min_p: -0.1, ..Sampling::default() },
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
            Sampling { presence_penalty: 2.5, ..Sampling::default() },
            Sampling { frequency_penalty: f32::INFINITY, ..Sampling::default() },
            Sampling { logit_bias: vec![(1, 101.0)], ..Sampling::default() },
            Sampling { top_logprobs: Some(21), ..Sampling::default() },
        ];
        for sampling in bad {
            assert!(sampling.check().is_err(), "{sampling:?}");
        }
    }
}
