//! Turns texts into vectors whose nearness is that of their meanings.
//!
//! [`Words`] cuts a text into tokens, [`Model`] runs a batch of them through a BERT encoder, and [`EncoderHandle`] takes the
//! texts of many callers from any thread, in turns, to the one thread that computes. [`Encode`] is the seam to whatever
//! computes there.
//!
//! What always holds:
//! * A text has the same vector, bit for bit, whoever else is in its batch and however many threads compute.
//! * No text can produce a token with a role: `[SEP]` in a text is a bracket, a word and a bracket.
//! * A text is read whole or refused; nothing is cut off unless [`Words::beginning`] is asked for.
//!
//! This crate knows neither HTTP nor what the texts are for, and reads no clock and no environment.

mod architecture;
mod error;
mod files;
mod model;
mod service;
mod words;

pub use architecture::{Architecture, Pooling};
pub use error::{EmbedError, Error};
pub use model::Model;
pub use service::{Encode, EncoderCard, EncoderHandle};
pub use words::{TooLong, Words};

/// Changes with the bits of vectors, for whoever keeps them longer than the process that computed them.
pub use baton_kernels::REVISION;

/// How near two vectors of one model are: the cosine of the angle between them, for unit vectors of one length. 0 where
/// their lengths differ.
pub fn nearness(a: &[f32], b: &[f32]) -> f32 {
    if a.len() == b.len() { a.iter().zip(b).map(|(a, b)| a * b).sum() } else { 0.0 }
}
