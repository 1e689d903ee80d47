//! Which token a scripted executor draws.

use std::fmt;
use std::sync::Arc;

use baton_contract::{Generate, TokenId};

/// A deterministic rule for the next token, in place of a model.
#[derive(Clone)]
pub struct Script {
    vocabulary: usize,
    next: Arc<dyn Fn(&Turn<'_>) -> TokenId + Send + Sync>,
    logprob: Option<Arc<Logprob>>,
}

type Logprob = dyn Fn(&Turn<'_>, TokenId) -> f32 + Send + Sync;

/// What a script decides on.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The request.
    pub request: &'a Generate,
    /// All tokens before the one to draw, as they stand in the cache's blocks.
    pub history: &'a [TokenId],
    /// Which output token is drawn, from 0.
    pub position: usize,
}

impl Script {
    /// Draws what `next` says. Tokens are below `vocabulary`.
    pub fn new(vocabulary: usize, next: impl Fn(&Turn<'_>) -> TokenId + Send + Sync + 'static) -> Self {
        Self { vocabulary, next: Arc::new(next), logprob: None }
    }

    /// The same, with these log-probabilities in place of -0.5 for the token that the script draws, and -3 for others.
    #[must_use]
    pub fn scored(self, logprob: impl Fn(&Turn<'_>, TokenId) -> f32 + Send + Sync + 'static) -> Self {
        Self { logprob: Some(Arc::new(logprob)), ..self }
    }

    /// Every token follows from all tokens before it, as in a real model, but by a hash. Ends no sequence by chance if
    /// end and stop tokens lie outside the vocabulary.
    pub fn hashed(vocabulary: usize) -> Self {
        Self::new(vocabulary, move |turn| {
            // FNV-1a.
            let hash = turn.history.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, token| {
                (hash ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3)
            });
            TokenId::try_from((hash >> 20) % vocabulary as u64).unwrap_or_default()
        })
    }

    /// Answers an input, prefix and prompt, with the tokens that `reply` says for it, then with the request's first end
    /// token, else its first stop token, else token 0.
    pub fn replies(vocabulary: usize, reply: impl Fn(&[TokenId]) -> Vec<TokenId> + Send + Sync + 'static) -> Self {
        Self::new(vocabulary, move |turn| {
            let input = &turn.history[..turn.history.len() - turn.position];
            let stop = &turn.request.stop;
            let end = || stop.end_tokens.iter().chain(&stop.stop_tokens).copied().next().unwrap_or(0);
            reply(input).get(turn.position).copied().unwrap_or_else(end)
        })
    }

    /// Tokens that exist; ids are below it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The next token.
    pub fn next(&self, turn: &Turn<'_>) -> TokenId {
        (self.next)(turn)
    }

    /// What it says of a token in the place of the next one.
    pub fn logprob(&self, turn: &Turn<'_>, token: TokenId) -> f32 {
        match &self.logprob {
            Some(logprob) => logprob(turn, token),
            None if token == self.next(turn) => -0.5,
            None => -3.0,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}
