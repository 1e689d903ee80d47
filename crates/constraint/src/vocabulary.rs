//! The loaded vocabulary as the grammars want it.

use std::sync::Arc;

use baton_contract::TokenId;
use baton_text::Tokenizer;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

/// Bytes of the longest token that can be part of a constrained answer.
const LONGEST: usize = 255;

/// Every token that can be part of an answer, by its bytes.
///
/// Tokens of the scaffold are marked, so that no text leads to them; so is what no text can hold.
pub(crate) fn environment(tokenizer: &Tokenizer) -> TokEnv {
    let size = TokenId::try_from(tokenizer.vocabulary()).unwrap_or(TokenId::MAX);
    let words: Vec<Vec<u8>> = (0..size).map(|token| word(tokenizer, token)).collect();
    let end = tokenizer.end_tokens().first().copied().unwrap_or(INVALID_TOKEN);
    let trie = TokTrie::from(&TokRxInfo::new(size, end), &words);
    Arc::new(ApproximateTokEnv::new(trie))
}

fn word(tokenizer: &Tokenizer, token: TokenId) -> Vec<u8> {
    let piece = tokenizer.piece(token);
    if tokenizer.is_control(token) {
        // The mark makes it one byte longer.
        let spelling = &piece[..piece.len().min(LONGEST - 1)];
        return [&[TokTrie::SPECIAL_TOKEN_MARKER][..], spelling].concat();
    }
    if piece.len() > LONGEST || piece.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return Vec::new();
    }
    piece.to_vec()
}
