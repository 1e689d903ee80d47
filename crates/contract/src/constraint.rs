//! What the tokens of an answer must keep to, told one token at a time.

use std::fmt;

use crate::TokenId;

/// A form that answers are held to while they are drawn, for example a JSON Schema compiled for one vocabulary.
///
/// It never changes; each answer takes a [`Walk`] of its own through it.
pub trait Constraint: fmt::Debug + Send + Sync {
    /// A walk that stands before the first token.
    fn begin(&self) -> Box<dyn Walk>;
}

/// One answer's way through a [`Constraint`]. What it says depends on the constraint and the tokens taken, on nothing
/// else.
pub trait Walk: Send {
    /// What may come next. Asked at most once between two tokens.
    ///
    /// # Errors
    /// It cannot be worked out, or not within the constraint's bounds; the walk is over.
    fn next(&mut self) -> Result<Next, ConstraintError>;

    /// Takes the token that was drawn. Tokens that end an answer are not taken.
    ///
    /// # Errors
    /// The token may not come here, or the walk was over; it is over now.
    fn advance(&mut self, token: TokenId) -> Result<(), ConstraintError>;
}

/// What may come next in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The tokens that may be drawn; those that end an answer are none of the constraint's business.
    pub tokens: TokenSet,
    /// Whether the answer is complete as it stands.
    pub may_end: bool,
}

/// A set of tokens, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    /// Token `t` is bit `t % 32` of word `t / 32`; what lies beyond is not in the set.
    words: Vec<u32>,
}

/// Why a walk cannot go on: a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConstraintError(pub String);

impl TokenSet {
    /// From words of 32 tokens each, the lowest bit first.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// Adds a token.
    pub fn insert(&mut self, token: TokenId) {
        let (word, bit) = place(token);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Takes a token out.
    pub fn remove(&mut self, token: TokenId) {
        let (word, bit) = place(token);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether the token is in the set.
    pub fn contains(&self, token: TokenId) -> bool {
        let (word, bit) = place(token);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The words of 32 tokens each, the lowest bit first; what lies beyond is not in the set.
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}

impl FromIterator<TokenId> for TokenSet {
    fn from_iter<I: IntoIterator<Item = TokenId>>(tokens: I) -> Self {
        let mut set = Self::default();
        tokens.into_iter().for_each(|token| set.insert(token));
        set
    }
}

fn place(token: TokenId) -> (usize, u32) {
    (token as usize / 32, 1 << (token % 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let mut set: TokenSet = [0, 31, 32, 95].into_iter().collect();
        set.remove(31);
        set.remove(1000);
        let held: Vec<TokenId> = (0..200).filter(|token| set.contains(*token)).collect();
        assert_eq!(held, [0, 32, 95]);
        assert_eq!(set.words(), [1, 1, 1 << 31]);
        assert_eq!(TokenSet::from_words(vec![1, 1, 1 << 31]), set);
        assert!(!set.is_empty() && TokenSet::default().is_empty());
    }
}
