//! Turns messages into token ids and token ids into text, one token at a time.
//!
//! * [`Tokenizer`]: text to ids and back; from a GGUF file's metadata or a `tokenizer.json`.
//! * [`ChatTemplate`]: messages to the text that a model was trained on, in which no content can pass for scaffold.
//! * [`pack_prefix`]: the tokens that every cue of a twin begins with, and [`pack_prefix_with_tools`].
//! * [`AnswerFrame`]: the tokens of an answer that is given, as the model would write it.
//! * [`CallForm`] and [`CallReader`]: how a model writes calls of tools, and what it calls, read as it comes.
//! * [`Detokenizer`] and [`StopMatcher`]: a stream of tokens to text that is final, up to a stop string.
//!
//! What it must not know: HTTP, the engine, model files (their metadata arrives as plain values), files and the clock.
//!
//! # Scaffold and content
//! The reference tokenizers find special tokens such as `<|im_end|>` in the rendered chat by their text, wherever it
//! comes from. Here only what the template itself writes may become one. The content is still tokenised together with
//! the template's text around it, because a model was trained on tokens that join the two; so content that looks like a
//! special token is marked before the template sees it and the marks are taken out after the special tokens are found
//! (see `shield.rs`). For content without look-alikes the result is exactly the reference's.

mod answer;
mod bytes;
mod detokenizer;
mod error;
mod folder;
mod message;
mod prefix;
mod pretokenizer;
mod sentencepiece;
mod shield;
mod special;
mod stop;
mod template;
mod tokenizer;
mod tools;
mod vocabulary;

pub use answer::AnswerFrame;
pub use detokenizer::Detokenizer;
pub use error::Error;
pub use message::{ChatMessage, Role};
pub use prefix::{pack_prefix, pack_prefix_with_tools};
pub use stop::{StopMatcher, Stopping};
pub use template::{ChatTemplate, Rendered};
pub use tokenizer::{LeadingBlank, SpecialTokens, Tokenizer, TokenizerSpec};
pub use tools::{Answered, CallForm, CallPart, CallReader, Mark, Named, Tool, ToolCall};

#[cfg(test)]
mod tests;
