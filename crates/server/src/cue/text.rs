//! One answer as text: tokens in, final text out, up to a stop string.

use std::collections::VecDeque;

use baton_contract::{TokenId, TokenLogprobs};
use baton_text::{Detokenizer, StopMatcher, Stopping, Tokenizer};

/// Turns the tokens of one answer into text that will not change any more.
#[derive(Debug)]
pub(crate) struct ChoiceText {
    detokenizer: Detokenizer,
    stops: StopMatcher,
    /// Reports of tokens whose text has not been given out.
    held: VecDeque<TokenReport>,
    /// Bytes that came out of the tokenizer.
    produced: usize,
    /// Bytes that were given out.
    released: usize,
}

/// A token's log-probabilities and the place of its text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenReport {
    pub(crate) token: TokenId,
    pub(crate) logprobs: TokenLogprobs,
    /// Where its text begins in the answer, in bytes.
    pub(crate) start: usize,
}

/// Text that is final, and the tokens whose text begins in it or before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenReport>,
}

impl ChoiceText {
    pub(crate) fn new(tokenizer: &Tokenizer, stops: &[String]) -> Self {
        Self {
            detokenizer: Detokenizer::new(tokenizer),
            stops: StopMatcher::new(stops),
            held: VecDeque::new(),
            produced: 0,
            released: 0,
        }
    }

    /// Takes a token; the flag says that a stop string was completed and this is the last piece.
    pub(crate) fn push(&mut self, token: TokenId, logprobs: Option<TokenLogprobs>) -> (Piece, bool) {
        if let Some(logprobs) = logprobs {
            self.held.push_back(TokenReport { token, logprobs, start: self.produced });
        }
        let text = self.detokenizer.push(token);
        self.produced += text.len();
        match self.stops.push(&text) {
            Stopping::Released(text) => (self.release(text), false),
            Stopping::Stopped { text } => (self.release(text), true),
        }
    }

    /// Ends the answer without a stop string.
    pub(crate) fn finish(&mut self) -> Piece {
        let rest = self.detokenizer.finish();
        let text = match self.stops.push(&rest) {
            Stopping::Released(text) => text + &self.stops.finish(),
            Stopping::Stopped { text } => text,
        };
        Piece { text, tokens: self.held.drain(..).collect() }
    }

    /// A token goes out with the first of its text; one without text goes out with the text after it.
    fn release(&mut self, text: String) -> Piece {
        self.released += text.len();
        let shown = self.held.iter().take_while(|report| report.start < self.released).count();
        Piece { text, tokens: self.held.drain(..shown).collect() }
    }
}
