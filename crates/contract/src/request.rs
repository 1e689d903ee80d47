//! What is asked of the engine.

use std::sync::Arc;

use crate::{Adapter, ConductorId, Constraint, Digest, Digester, Sampling, TokenId};

/// The tokens that a twin's pack puts before every cue, computed once and shared by all conductors.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// Identifies tokens and everything else the keys and values depend on (model, adapter, pack).
    pub digest: Digest,
    /// What it is for, shown in metrics and logs: the twin's id.
    pub label: String,
    /// Never empty.
    pub tokens: Vec<TokenId>,
    /// What the keys and values are computed with, beside the model.
    pub adapter: Option<Adapter>,
}

/// One sequence to generate. The model sees `prefix.tokens ++ prompt`.
#[derive(Clone, Debug)]
pub struct Generate {
    /// Whose work it is: fairness and reuse are kept per conductor.
    pub conductor: ConductorId,
    /// The conductor's share relative to others; at least 1.
    pub weight: u32,
    /// The pack's tokens, if the cue is for a twin.
    pub prefix: Option<Arc<Prefix>>,
    /// What it is computed with beside the model, if anything; the prefix is of the same.
    pub adapter: Option<Adapter>,
    /// The tokens that follow the prefix. Never empty.
    pub prompt: Vec<TokenId>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// When to stop.
    pub stop: StopRules,
    /// Tokens to draw first, in this order, in place of those that `sampling` would choose and whatever `stop` masks:
    /// how the probability of a given answer is read. Once they are used up, tokens are drawn as usual.
    pub forced: Vec<TokenId>,
    /// What the tokens must keep to. Tokens that end the sequence are then drawn only where the answer is complete.
    pub constraint: Option<Arc<dyn Constraint>>,
}

/// When a sequence ends. Stop strings are matched above the engine, on text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRules {
    /// Most tokens to generate; at least 1.
    pub max_tokens: usize,
    /// End and stop tokens are not drawn before this many tokens have been.
    pub min_tokens: usize,
    /// The model's own end tokens; drawing one ends the sequence.
    pub end_tokens: Vec<TokenId>,
    /// Further tokens that end the sequence, by the caller's wish.
    pub stop_tokens: Vec<TokenId>,
    /// Whether `end_tokens` are ignored; `stop_tokens` are not.
    pub ignore_end: bool,
}

impl Prefix {
    /// What a pack puts before every cue of its twin: `tokens`, read by the model of the digest `model` and the twin's
    /// adapter.
    pub fn of_pack(model: Digest, pack: Digest, label: String, tokens: Vec<TokenId>, adapter: Option<Adapter>) -> Self {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let mut digester = Digester::new("baton prefix v1");
        digester.field(model.as_bytes()).field(pack.as_bytes()).field(&bytes);
        if let Some(adapter) = &adapter {
            digester.field(adapter.digest().as_bytes());
        }
        Self { digest: digester.finish(), label, tokens, adapter }
    }

    /// The same without the weights of its adapter: enough to know it again, not to compute it.
    #[must_use]
    pub fn named(&self) -> Self {
        let adapter = self.adapter.as_ref().map(Adapter::named);
        Self { digest: self.digest, label: self.label.clone(), tokens: self.tokens.clone(), adapter }
    }
}

impl Generate {
    /// A request for the log-probability of each of the tokens `forced`, an answer that continues `prompt`.
    pub fn score(
        (conductor, weight): (ConductorId, u32),
        (prefix, adapter): (Option<Arc<Prefix>>, Option<Adapter>),
        prompt: Vec<TokenId>,
        forced: Vec<TokenId>,
    ) -> Self {
        let sampling = Sampling { top_logprobs: Some(0), ..Sampling::greedy() };
        let stop = StopRules::after(forced.len());
        Self { conductor, weight, prefix, adapter, prompt, sampling, stop, forced, constraint: None }
    }

    /// Tokens the model reads before it writes: prefix and prompt.
    pub fn input_len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len()) + self.prompt.len()
    }
}

impl StopRules {
    /// Ends after exactly `tokens`, whatever they are.
    pub fn after(tokens: usize) -> Self {
        Self { max_tokens: tokens, min_tokens: 0, end_tokens: Vec::new(), stop_tokens: Vec::new(), ignore_end: true }
    }

    /// Whether drawing `token` ends the sequence.
    pub fn ends(&self, token: TokenId) -> bool {
        self.stop_tokens.contains(&token) || (!self.ignore_end && self.end_tokens.contains(&token))
    }
}
