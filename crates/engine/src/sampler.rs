//! Draws tokens from logits, in the order that [`baton_contract::Sampling`] fixes.
//!
//! 0. tokens that the request's constraint does not allow are excluded
//! 1. logit bias is added; tokens that may not end the sequence yet are masked
//! 2. repetition penalty (input and output), then frequency and presence penalty (output)
//! 3. at temperature 0 the largest logit wins, the lower id on a tie; otherwise logits are divided by it
//! 4. top-k, then top-p over what top-k left, then min-p; on a tie the lower id counts as more probable
//! 5. the inverse of the cumulative distribution over the tokens that are left, in order of id, at a uniform number
//!    that is a function of seed and output position alone
//!
//! A token that the request forces is drawn without any of this; its log-probability is reported like any other's.
//!
//! A row costs time in proportion to the vocabulary; the vocabulary is never sorted as a whole unless top-p asks for
//! nearly all of it.

mod device;
mod nucleus;
mod philox;

use baton_contract::{Sampling, TokenId, TokenLogprobs, TokenSet};

use crate::{Draw, ExecutorError, Sample};
use nucleus::{id, index, more_probable};

pub use device::DeviceDraws;

/// Draws tokens; holds scratch memory only, so that a draw depends on nothing but its arguments.
#[derive(Debug, Default)]
pub struct Sampler {
    /// Logits after bias, mask and penalties. [vocabulary]
    logits: Vec<f32>,
    /// Probabilities relative to the most probable token. [vocabulary]
    weights: Vec<f32>,
    /// Token ids, partly sorted by falling probability. [vocabulary]
    order: Vec<TokenId>,
    /// Occurrences in the output by token, plus whether it was seen at all; all zero between draws. [vocabulary]
    counts: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at_all: bool,
    in_output: u16,
}

impl Sampler {
    /// A sampler without scratch memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws one token from `row`, the model's own logits. [vocabulary]
    ///
    /// # Errors
    /// `NotANumber` if the row holds one that is not, or positive infinity; `NothingLeft` if every token is excluded.
    pub fn draw(&mut self, row: &[f32], draw: &Draw<'_>) -> Result<Sample, ExecutorError> {
        if row.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(ExecutorError::NotANumber);
        }
        let sampling = &draw.request.sampling;
        if let Some(token) = draw.forced() {
            let logprobs = sampling.top_logprobs.map(|count| self.logprobs(row, token, usize::from(count)));
            return Ok(Sample { token, logprobs });
        }
        self.adjust(row, draw)?;
        let best = self.best().ok_or(ExecutorError::NothingLeft)?;
        let token = if sampling.temperature == 0.0 { best } else { self.random(best, draw.position(), sampling) };
        let logprobs = sampling.top_logprobs.map(|count| self.logprobs(row, token, usize::from(count)));
        Ok(Sample { token, logprobs })
    }

    /// Sets `logits` from the row: constraint, bias, mask, penalties.
    fn adjust(&mut self, row: &[f32], draw: &Draw<'_>) -> Result<(), ExecutorError> {
        self.logits.clear();
        self.logits.extend_from_slice(row);
        if let Some(allowed) = draw.allowed {
            self.keep(allowed.tokens()?);
        }
        for (token, bias) in &draw.request.sampling.logit_bias {
            if let Some(logit) = self.logits.get_mut(index(*token)) {
                *logit += bias;
            }
        }
        self.penalise(draw);
        for token in draw.masked() {
            if let Some(logit) = self.logits.get_mut(index(token)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Excludes all tokens but these. What follows leaves an infinite logit as it is.
    fn keep(&mut self, tokens: &TokenSet) {
        let words = tokens.words().iter().copied().chain(std::iter::repeat(0));
        for (logits, word) in self.logits.chunks_mut(32).zip(words) {
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
    }

    fn penalise(&mut self, draw: &Draw<'_>) {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, .. } = draw.request.sampling;
        #[expect(clippy::float_cmp, reason = "1 is off, and exactly 1")]
        let unrepeated = repetition_penalty == 1.0;
        if unrepeated && presence_penalty == 0.0 && frequency_penalty == 0.0 {
            return;
        }
        self.counts.resize(self.logits.len(), Seen::default());
        for token in draw.output {
            if let Some(seen) = self.counts.get_mut(index(*token)) {
                seen.in_output = seen.in_output.saturating_add(1);
            }
        }
        for token in draw.input().chain(draw.output.iter().copied()) {
            let (Some(seen), Some(logit)) = (self.counts.get_mut(index(token)), self.logits.get_mut(index(token)))
            else {
                continue;
            };
            if std::mem::replace(&mut seen.at_all, true) {
                continue;
            }
            *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
            if seen.in_output > 0 {
                *logit -= frequency_penalty * f32::from(seen.in_output) + presence_penalty;
            }
        }
        for token in draw.input().chain(draw.output.iter().copied()) {
            if let Some(seen) = self.counts.get_mut(index(token)) {
                *seen = Seen::default();
            }
        }
    }

    /// The largest logit, the lower id on a tie; `None` if all are masked.
    fn best(&self) -> Option<TokenId> {
        let largest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if largest == f32::NEG_INFINITY {
            return None;
        }
        self.logits.iter().position(|logit| *logit >= largest).map(id)
    }

    fn random(&mut self, best: TokenId, position: usize, sampling: &Sampling) -> TokenId {
        let largest = self.logits[index(best)];
        let scale = sampling.temperature;
        self.weights.clear();
        self.weights.extend(self.logits.iter().map(|logit| ((logit - largest) / scale).exp()));
        let u = philox::uniform(sampling.seed, position as u64);
        let vocabulary = self.weights.len();
        let top_k = if sampling.top_k == 0 { vocabulary } else { index(sampling.top_k).min(vocabulary) };
        if top_k == vocabulary && sampling.top_p >= 1.0 {
            let kept = |weight: f32| weight >= sampling.min_p;
            let tokens = || self.weights.iter().enumerate().filter(|(_, w)| kept(**w)).map(|(i, w)| (id(i), *w));
            return pick(tokens, u).unwrap_or(best);
        }
        let kept = nucleus::select(&self.logits, &self.weights, &mut self.order, top_k, sampling);
        self.order[..kept].sort_unstable();
        let tokens = || self.order[..kept].iter().map(|token| (*token, self.weights[index(*token)]));
        pick(tokens, u).unwrap_or(best)
    }

    /// From the model's own distribution: before bias, mask, penalties and temperature.
    fn logprobs(&mut self, row: &[f32], token: TokenId, count: usize) -> TokenLogprobs {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|logit| f64::from(logit - largest).exp()).sum();
        #[expect(clippy::cast_possible_truncation, reason = "computed wide, reported as f32")]
        let logprob = |token: TokenId| (f64::from(row[index(token)] - largest) - sum.ln()) as f32;
        nucleus::all_ids(&mut self.order, row.len());
        let count = count.min(row.len());
        if count > 0 && count < row.len() {
            self.order.select_nth_unstable_by(count - 1, more_probable(row));
        }
        self.order[..count].sort_unstable_by(more_probable(row));
        TokenLogprobs {
            logprob: logprob(token),
            top: self.order[..count].iter().map(|token| (*token, logprob(*token))).collect(),
        }
    }
}

/// The first token at which the running sum of weights passes the share `u` of the whole.
fn pick<I: Iterator<Item = (TokenId, f32)>>(tokens: impl Fn() -> I, u: f64) -> Option<TokenId> {
    let target = u * tokens().map(|(_, weight)| f64::from(weight)).sum::<f64>();
    let mut sum = 0.0;
    // The sum runs in the same order as above, so it ends at exactly the whole, and the whole is above its share `u`
    // because `u` is below 1.
    tokens()
        .find(|(_, weight)| {
            sum += f64::from(*weight);
            sum > target
        })
        .map(|(token, _)| token)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
