//! Texts as tokens: BERT's normalisation, words, and pieces of words.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use baton_contract::TokenId;
use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use crate::Error;
use crate::files::{needed, object, optional};

const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";
const CONFIG: &str = "tokenizer_config.json";
/// Tokens that a vocabulary may have.
const MOST_TOKENS: u64 = 1 << 24;
/// Characters of one word beyond which it is unknown, unless the file says otherwise.
const WORD_CHARACTERS: u64 = 100;

/// Cuts texts into tokens. Cheap to clone.
#[derive(Clone)]
pub struct Words(Arc<Inner>);

struct Inner {
    engine: Tokenizer,
    first: TokenId,
    last: TokenId,
    max_tokens: usize,
}

/// A text is longer than the model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has {tokens} tokens, and the embedding model reads {limit} at most; split it")]
pub struct TooLong {
    /// Its tokens.
    pub tokens: usize,
    /// Tokens that a text may have.
    pub limit: usize,
}

/// What is done to a text before it is cut.
struct Steps {
    clean: bool,
    chinese: bool,
    accents: Option<bool>,
    lowercase: bool,
}

impl Words {
    /// Reads `tokenizer.json` of a folder or, where there is none, `vocab.txt`; `max_tokens` are those that a text may have.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or the tokens are not those of `WordPiece`.
    pub fn read(folder: &Path, max_tokens: usize) -> Result<Self, Error> {
        let config = optional(folder, CONFIG)?.map(|bytes| object(CONFIG, &bytes)).transpose()?.unwrap_or_default();
        let spelled = |name: &str, usual: &str| {
            let value = config.get(name);
            let text = value.and_then(|value| value.as_str().or_else(|| value["content"].as_str()));
            text.unwrap_or(usual).to_owned()
        };
        let names = [spelled("cls_token", "[CLS]"), spelled("sep_token", "[SEP]"), spelled("unk_token", "[UNK]")];
        if let Some(bytes) = optional(folder, TOKENIZER)? {
            return Self::of_json(&bytes, &names, max_tokens);
        }
        let bytes = needed(folder, VOCABULARY)?;
        let text = str::from_utf8(&bytes).map_err(|error| Error::file(VOCABULARY, error.to_string()))?;
        let words = (0..).zip(text.lines()).map(|(id, word)| (word.trim_end().to_owned(), id)).collect();
        let flag = |name: &str| config.get(name).and_then(Value::as_bool);
        let steps = Steps {
            clean: true,
            chinese: flag("tokenize_chinese_chars").unwrap_or(true),
            accents: flag("strip_accents"),
            lowercase: flag("do_lower_case").unwrap_or(true),
        };
        Self::new(VOCABULARY, words, &steps, &names, (WORD_CHARACTERS, max_tokens))
    }

    /// A tokenizer of plain words, by number, after the four tokens with a role; lower case.
    ///
    /// # Errors
    /// A word is there twice.
    pub fn of(words: &[&str], max_tokens: usize) -> Result<Self, Error> {
        let names = ["[CLS]", "[SEP]", "[UNK]"].map(str::to_owned);
        let all = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().chain(words.iter().copied());
        let words = (0..).zip(all).map(|(id, word)| (word.to_owned(), id)).collect();
        let steps = Steps { clean: true, chinese: true, accents: None, lowercase: true };
        Self::new("the list of words", words, &steps, &names, (WORD_CHARACTERS, max_tokens))
    }

    fn of_json(bytes: &[u8], names: &[String; 3], max_tokens: usize) -> Result<Self, Error> {
        let json = Value::Object(object(TOKENIZER, bytes)?);
        let kind = |part: &str| json[part]["type"].as_str().unwrap_or("none").chars().take(80).collect::<String>();
        for (part, known) in
            [("model", "WordPiece"), ("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")]
        {
            if kind(part) != known {
                return Err(Error::Unsupported(format!("a tokenizer with `{part}` of `{}`", kind(part))));
            }
        }
        let model = &json["model"];
        if model["continuing_subword_prefix"].as_str().is_some_and(|prefix| prefix != "##") {
            return Err(Error::Unsupported("a tokenizer whose pieces do not begin with `##`".to_owned()));
        }
        let words = model["vocab"].as_object().ok_or_else(|| Error::file(TOKENIZER, "it has no vocabulary"))?;
        let id = |id: &Value| id.as_u64().filter(|id| *id < MOST_TOKENS).and_then(|id| TokenId::try_from(id).ok());
        let word = |(word, value): (&String, &Value)| id(value).map(|id| (word.clone(), id));
        let words: Option<Vec<_>> = words.iter().map(word).collect();
        let words = words.ok_or_else(|| Error::file(TOKENIZER, "a token's number is none"))?;
        let normalizer = &json["normalizer"];
        let flag = |name: &str| normalizer[name].as_bool();
        let steps = Steps {
            clean: flag("clean_text").unwrap_or(true),
            chinese: flag("handle_chinese_chars").unwrap_or(true),
            accents: flag("strip_accents"),
            lowercase: flag("lowercase").unwrap_or(true),
        };
        let characters = model["max_input_chars_per_word"].as_u64().unwrap_or(WORD_CHARACTERS);
        Self::new(TOKENIZER, words, &steps, names, (characters, max_tokens))
    }

    fn new(
        file: &str,
        words: Vec<(String, TokenId)>,
        steps: &Steps,
        [first, last, unknown]: &[String; 3],
        (characters, max_tokens): (u64, usize),
    ) -> Result<Self, Error> {
        let id = |name: &str| {
            let found = words.iter().find(|(word, _)| word == name).map(|(_, id)| *id);
            found.ok_or_else(|| Error::file(file, format!("its vocabulary has no `{name}`")))
        };
        let mut seen = HashSet::new();
        if let Some((word, _)) = words.iter().find(|(word, _)| !seen.insert(word)) {
            return Err(Error::file(
                file,
                format!("its vocabulary has `{}` twice", word.chars().take(80).collect::<String>()),
            ));
        }
        let (first, last) = (id(first)?, id(last)?);
        id(unknown)?;
        let model = WordPiece::builder()
            .vocab(words.into_iter().collect::<Vocab>())
            .unk_token(unknown.clone())
            .max_input_chars_per_word(usize::try_from(characters).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| Error::file(file, error.to_string()))?;
        let mut engine = Tokenizer::new(model);
        let Steps { clean, chinese, accents, lowercase } = *steps;
        engine
            .with_normalizer(Some(BertNormalizer::new(clean, chinese, accents, lowercase)))
            .map_err(|error| Error::file(file, error.to_string()))?;
        engine.with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(Self(Arc::new(Inner { engine, first, last, max_tokens })))
    }

    /// Tokens that a text may have, with the one that begins and the one that ends it.
    pub fn max_tokens(&self) -> usize {
        self.0.max_tokens
    }

    /// The tokens of a text, with the one that begins and the one that ends it.
    ///
    /// # Errors
    /// There are more than the model reads.
    pub fn tokens(&self, text: &str) -> Result<Vec<TokenId>, TooLong> {
        let tokens = self.all(text);
        let (count, limit) = (tokens.len(), self.0.max_tokens);
        if count > limit { Err(TooLong { tokens: count, limit }) } else { Ok(tokens) }
    }

    /// The same; of a text that is too long, its beginning.
    pub fn beginning(&self, text: &str) -> Vec<TokenId> {
        let mut tokens = self.all(text);
        if tokens.len() > self.0.max_tokens {
            tokens.truncate(self.0.max_tokens - 1);
            tokens.push(self.0.last);
        }
        tokens
    }

    fn all(&self, text: &str) -> Vec<TokenId> {
        let mut tokens = vec![self.0.first];
        // WordPiece refuses no text: what it does not know is the unknown token.
        if let Ok(encoding) = self.0.engine.encode_fast(text, false) {
            tokens.extend_from_slice(encoding.get_ids());
        }
        tokens.push(self.0.last);
        tokens
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").field("max_tokens", &self.0.max_tokens).finish_non_exhaustive()
    }
}
