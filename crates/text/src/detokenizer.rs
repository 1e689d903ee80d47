//! Token by token to text.

use baton_contract::TokenId;

use crate::Tokenizer;

/// Turns a stream of tokens into text that is final: a character is given out when its last byte has come.
///
/// What all calls give out, one after the other, is what [`Tokenizer::decode`] gives for all tokens.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    /// An incomplete character, at most three bytes.
    open: Vec<u8>,
}

impl Detokenizer {
    /// A stream of its own.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self { tokenizer: tokenizer.clone(), open: Vec::new() }
    }

    /// Takes the next token; gives the text that has become final by it, possibly none.
    pub fn push(&mut self, token: TokenId) -> String {
        let mut bytes = std::mem::take(&mut self.open);
        bytes.extend_from_slice(self.tokenizer.visible(token));
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(wrong) = error.error_len() else {
                        self.open = after.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[wrong..];
                }
            }
        }
    }

    /// Ends the stream; gives U+FFFD if a character was left incomplete.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.open)).into_owned()
    }
}
