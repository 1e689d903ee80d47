//! What each token stands for.

use baton_contract::TokenId;

/// What a token is, as far as text is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Comes from text by BPE.
    Normal,
    /// Belongs to the scaffold: only the template writes it, and it is not part of any answer's text.
    Control,
    /// Found in text by its spelling before BPE, wherever it stands, as the reference does; part of the text.
    UserDefined,
    /// Never comes from text.
    Unused,
}

/// Bytes and kind of every token.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    kinds: Vec<Kind>,
}

impl Vocabulary {
    /// Adds the next token.
    pub(crate) fn push(&mut self, piece: &[u8], kind: Kind) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
        self.kinds.push(kind);
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The token's bytes; none if there is no such token.
    pub(crate) fn piece(&self, token: TokenId) -> &[u8] {
        let index = token as usize;
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..end]
    }

    /// Whether the token belongs to the scaffold.
    pub(crate) fn is_control(&self, token: TokenId) -> bool {
        self.kinds.get(token as usize) == Some(&Kind::Control)
    }
}
