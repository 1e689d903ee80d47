//! Tokenizers in `SentencePiece`'s manner: blanks are letters of their own, and what the vocabulary cannot spell is
//! spelled in bytes.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{ModelWrapper, NormalizerWrapper, Tokenizer as Engine};

use crate::{Error, TokenizerSpec};

/// The letter that stands for a blank.
pub(crate) const BLANK: char = '\u{2581}';

/// How text is cut where each blank begins a word; no word is cut otherwise.
pub(crate) const WORDS: &str = "metaspace";

/// Tokens whose spelling is longer are not built from merges; the longest of real vocabularies have a few hundred bytes, and
/// the pairs of a spelling are as many as its letters.
const LONGEST: usize = 512;

/// The engine of a spec whose model is `llama`, and of one whose model is `unigram`. Control tokens are those that
/// `is_word` leaves out.
pub(crate) fn engine(spec: &TokenizerSpec, is_word: impl Fn(usize) -> bool) -> Result<Engine, Error> {
    let bad = |error: tokenizers::Error| Error::BadTokenizer(error.to_string());
    let unknown = spec.special.unknown.and_then(|id| usize::try_from(id).ok());
    let mut engine = if spec.model == "unigram" {
        if spec.scores.len() != spec.tokens.len() {
            let (scores, tokens) = (spec.scores.len(), spec.tokens.len());
            return Err(Error::BadTokenizer(format!("{tokens} tokens, but {scores} scores")));
        }
        // A score below all others keeps control tokens out of every best path.
        let worst = spec.scores.iter().copied().fold(0.0, f32::min) * 2.0 - 1e4;
        let score = |index: usize| f64::from(if is_word(index) { spec.scores[index] } else { worst });
        let words = spec.tokens.iter().enumerate().map(|(index, text)| {
            // No text has this spelling, so a control token is found in none.
            let spelling = if is_word(index) { text.clone() } else { format!("\u{FDD0}{index}\u{FDD1}") };
            (spelling, score(index))
        });
        let bytes = spec.tokens.iter().any(|text| byte(text).is_some());
        Engine::new(ModelWrapper::from(Unigram::from(words.collect(), unknown, bytes).map_err(bad)?))
    } else {
        let words = spec.tokens.iter().enumerate().filter(|(index, _)| is_word(*index) || Some(*index) == unknown);
        let words: Vocab = words.filter_map(|(index, text)| Some((text.clone(), u32::try_from(index).ok()?))).collect();
        let merges =
            if spec.merges.is_empty() { merges(spec, &words)? } else { crate::tokenizer::pairs(&spec.merges)? };
        let mut builder = BPE::builder().vocab_and_merges(words, merges).byte_fallback(true).fuse_unk(true);
        if let Some(text) = unknown.and_then(|id| spec.tokens.get(id)) {
            builder = builder.unk_token(text.clone());
        }
        Engine::new(ModelWrapper::from(builder.build().map_err(bad)?))
    };
    if spec.pre.as_deref() == Some(WORDS) {
        engine.with_pre_tokenizer(Some(Metaspace::new(BLANK, PrependScheme::Never, true)));
    }
    let blanks = NormalizerWrapper::from(Replace::new(" ", BLANK.to_string()).map_err(bad)?);
    engine.with_normalizer(Some(blanks)).map_err(bad)?;
    Ok(engine)
}

/// The merges that a vocabulary with scores stands for: two neighbours that together are a token, those whose token has the
/// highest score first. Source: `SentencePiece`'s BPE, which merges the neighbours with the best score again and again.
fn merges(spec: &TokenizerSpec, words: &Vocab) -> Result<Vec<(String, String)>, Error> {
    if spec.scores.len() != spec.tokens.len() {
        let (scores, tokens) = (spec.scores.len(), spec.tokens.len());
        return Err(Error::BadTokenizer(format!("{tokens} tokens, but {scores} scores")));
    }
    let mut order: Vec<usize> = (0..spec.tokens.len()).filter(|id| words.contains_key(&spec.tokens[*id])).collect();
    order.sort_by(|a, b| spec.scores[*b].total_cmp(&spec.scores[*a]).then(a.cmp(b)));
    let known: HashSet<&str> = words.keys().map(String::as_str).collect();
    let mut merges = Vec::new();
    for id in order {
        let text = spec.tokens[id].as_str();
        if text.len() > LONGEST || byte(text).is_some() {
            continue;
        }
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if known.contains(left) && known.contains(right) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    Ok(merges)
}

/// The byte that a token such as `<0x0A>` stands for.
pub(crate) fn byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The bytes that a token stands for.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    byte(text).map_or_else(|| text.replace(BLANK, " ").into_bytes(), |byte| vec![byte])
}
