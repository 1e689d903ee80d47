//! An encoder without a model.

use baton_contract::{Digest, TokenId};
use baton_encoder::{Encode, EncoderCard, EncoderHandle, Words};

/// Letters, and letters that go on with a word.
const LETTERS: usize = 26;
/// The tokens with a role come before them.
const ROLES: usize = 4;

/// Counts letters: texts of the same letters are near, whatever their order; `q` is a fault.
#[derive(Debug, Default)]
pub struct BagOfLetters;

impl Encode for BagOfLetters {
    fn encode(&mut self, texts: &[&[TokenId]]) -> Result<Vec<Vec<f32>>, String> {
        texts.iter().map(|text| vector(text)).collect()
    }
}

fn vector(text: &[TokenId]) -> Result<Vec<f32>, String> {
    let mut counts = vec![0.0f32; LETTERS];
    for token in text.iter().map(|token| *token as usize).filter(|token| (ROLES..ROLES + 2 * LETTERS).contains(token)) {
        counts[(token - ROLES) % LETTERS] += 1.0;
    }
    if counts[usize::from(b'q' - b'a')] > 0.0 {
        return Err("an unlucky letter".to_owned());
    }
    let length = counts.iter().map(|count| count * count).sum::<f32>().sqrt().max(1.0);
    Ok(counts.into_iter().map(|count| count / length).collect())
}

/// An encoder of 26 dimensions whose tokens are letters, for texts of at most 64 of them. Its id is `letters`.
///
/// # Panics
/// If its thread cannot be started.
pub fn bag_of_letters() -> EncoderHandle {
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let words: Vec<String> =
        letters.iter().cloned().chain(letters.iter().map(|letter| format!("##{letter}"))).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = Words::of(&words, 66).expect("the letters are different");
    let card = EncoderCard { id: "letters".to_owned(), digest: Digest::of(b"letters"), dimensions: LETTERS, words };
    EncoderHandle::start(card, Box::new(BagOfLetters)).expect("a thread is to be had")
}
