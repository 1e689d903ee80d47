//! What can go wrong with text.

/// Why a tokenizer or a template cannot be used, or does not take these messages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tokenizer's model is of a kind that this crate does not run.
    #[error(
        "tokenizer model `{0}` is not supported: known are `gpt2` (byte-level BPE), `llama` (SentencePiece's BPE) and Unigram"
    )]
    UnknownModel(String),
    /// How text is cut before BPE is unknown, so the tokens would be wrong.
    #[error("pre-tokenizer `{0}` is not known; known are: {known}", known = crate::pretokenizer::known())]
    UnknownPreTokenizer(String),
    /// The tokenizer's data contradict each other.
    #[error("the tokenizer is damaged: {0}")]
    BadTokenizer(String),
    /// The template does not compile, or fails on the simplest chat.
    #[error("the chat template cannot be used: {0}")]
    BadTemplate(String),
    /// The template itself refused the messages.
    #[error("the model's chat template does not take these messages: {0}")]
    Refused(String),
    /// The template failed on these messages.
    #[error("the chat template failed: {0}")]
    Render(String),
}

impl Error {
    /// Whether the caller can mend it by changing the messages.
    pub fn is_request_fault(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}
