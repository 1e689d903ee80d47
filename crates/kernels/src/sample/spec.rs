//! One row's draw, as words that host and device lay out alike.

/// The word that stands for "none".
pub(super) const NONE: u32 = u32::MAX;

/// How one row's token is drawn.
///
/// The last four words say where the row's edits and mask lie; [`Draws::push`](super::Draws::push) fills them in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawSpec {
    /// 0 takes the largest logit, the lower id on a tie.
    pub temperature: f32,
    /// Smallest set of tokens whose probabilities reach this sum, in (0, 1]; 1 is off.
    pub top_p: f32,
    /// Only tokens at least this share as probable as the most probable one, in [0, 1].
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that were seen; above 0, 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted per occurrence in the output.
    pub frequency_penalty: f32,
    /// Subtracted once from what occurs in the output.
    pub presence_penalty: f32,
    /// Only the `k` most probable tokens; 0 means all.
    pub top_k: u32,
    /// The token to draw whatever the logits are.
    pub forced: Option<u32>,
    /// The draw at `position` depends on both alone.
    pub seed: u64,
    /// Which output token is drawn, from 0.
    pub position: u64,
    /// Whether the token's log-probability under the model's own distribution is wanted.
    pub logprob: bool,
    /// Whether the row is left as it is, because its token is drawn elsewhere.
    pub elsewhere: bool,
}

impl Default for DrawSpec {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            top_k: 0,
            forced: None,
            seed: 0,
            position: 0,
            logprob: false,
            elsewhere: false,
        }
    }
}

/// What is changed about one token's logit before a draw. Bias is added first, then come the penalties, then the mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edit {
    /// The token.
    pub token: u32,
    /// Added to its logit.
    pub bias: f32,
    /// Occurrences in the output, at most 65,535, for frequency and presence penalty.
    pub occurrences: u16,
    /// Whether the repetition penalty concerns it.
    pub seen: bool,
    /// Whether it may not be drawn.
    pub masked: bool,
}

impl Edit {
    /// An edit that changes nothing yet.
    pub fn of(token: u32) -> Self {
        Self { token, bias: 0.0, occurrences: 0, seen: false, masked: false }
    }

    /// Takes what another edit of the same token asks for as well.
    pub fn join(&mut self, other: &Self) {
        self.bias += other.bias;
        self.occurrences = self.occurrences.saturating_add(other.occurrences);
        self.seen |= other.seen;
        self.masked |= other.masked;
    }

    /// The logit that it leaves of `logit`.
    pub(super) fn apply(&self, logit: f32, spec: &DrawSpec) -> f32 {
        if self.masked {
            return f32::NEG_INFINITY;
        }
        let mut logit = logit + self.bias;
        if self.seen {
            let penalty = spec.repetition_penalty;
            logit = if logit > 0.0 { logit / penalty } else { logit * penalty };
        }
        if self.occurrences > 0 {
            logit -= spec.frequency_penalty * f32::from(self.occurrences) + spec.presence_penalty;
        }
        logit
    }
}

/// A drawn token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: u32,
    /// Its log-probability under the model's own distribution; present where it was asked for.
    pub logprob: Option<f32>,
}

/// Why a row gave no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrawFault {
    /// The row holds a value that is not a number, or positive infinity.
    #[error("the model's output is not a number")]
    NotANumber,
    /// Every token is excluded.
    #[error("no token is left to draw")]
    NothingLeft,
    /// The row was left to be drawn elsewhere.
    #[error("the row's token is drawn elsewhere")]
    Elsewhere,
    /// The device left a word that means nothing: the row was never drawn.
    #[error("the device did not draw the row")]
    Missing,
}
