//! Text to token ids and back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use baton_contract::TokenId;
use tokenizers::Tokenizer as Engine;
use tokenizers::models::bpe::{BPE, Vocab};

use crate::bytes::Alphabet;
use crate::shield::has_marks;
use crate::special::{Segment, Special, Specials};
use crate::vocabulary::{Kind, Vocabulary};
use crate::{Error, Rendered, pretokenizer, sentencepiece};

/// What a GGUF file says about its tokenizer, as plain values. Keys are those under `tokenizer.ggml.`.
#[derive(Clone, Debug, Default)]
pub struct TokenizerSpec {
    /// `model`: `gpt2` is byte-level BPE, `llama` is BPE in `SentencePiece`'s manner, and `unigram`, which GGUF calls
    /// otherwise, looks for the likeliest pieces.
    pub model: String,
    /// `pre`: how text is cut before BPE; GPT-2's way if the file does not say.
    pub pre: Option<String>,
    /// `tokens`: the spelling of every token, by id.
    pub tokens: Vec<String>,
    /// `token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; all are normal if empty.
    pub token_types: Vec<i32>,
    /// `merges`: two spellings with a space between, best first. A `llama` without any has scores.
    pub merges: Vec<String>,
    /// `scores`: one for each token of a `llama` without merges, or of a `unigram`.
    pub scores: Vec<f32>,
    /// `add_space_prefix`: where a blank is put before a text. None for `gpt2`.
    pub leading_blank: LeadingBlank,
    /// The tokens with a role.
    pub special: SpecialTokens,
}

/// Tokens with a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `bos_token_id`: begins a text.
    pub bos: Option<TokenId>,
    /// `eos_token_id`: ends a text.
    pub eos: Option<TokenId>,
    /// `eot_token_id`: ends a turn, where that is another token.
    pub eot: Option<TokenId>,
    /// `unknown_token_id`: stands for what the vocabulary cannot spell.
    pub unknown: Option<TokenId>,
    /// `add_bos_token`: whether a text that no template rendered begins with `bos`.
    pub add_bos: bool,
}

/// Where a tokenizer puts a blank before a text, so that a first word looks like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeadingBlank {
    /// Nowhere.
    #[default]
    Never,
    /// At the beginning of a prompt.
    First,
    /// There, and after each token that is found by its spelling.
    Each,
}

/// Turns text into token ids and back. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    vocabulary: Vocabulary,
    specials: Specials,
    roles: SpecialTokens,
    end_tokens: Vec<TokenId>,
    leading_blank: LeadingBlank,
}

/// Spellings that end a turn or a text wherever they are control tokens; source: llama.cpp's list of end tokens.
const ENDS: [&str; 10] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "</s>",
];

impl Tokenizer {
    /// A tokenizer from a GGUF file's metadata.
    ///
    /// # Errors
    /// If model or pre-tokenizer are not known, or the data contradict each other.
    pub fn from_gguf(spec: TokenizerSpec) -> Result<Self, Error> {
        if !spec.token_types.is_empty() && spec.token_types.len() != spec.tokens.len() {
            let (types, tokens) = (spec.token_types.len(), spec.tokens.len());
            return Err(Error::BadTokenizer(format!("{tokens} tokens, but {types} token types")));
        }
        let kinds: Vec<Kind> = (spec.tokens.iter().enumerate())
            .map(|(index, text)| kind(text, spec.token_types.get(index).copied().unwrap_or(NORMAL)))
            .collect();
        // Control tokens are left out, so none is built from text.
        let is_word = |index: usize| matches!(kinds[index], Kind::Normal | Kind::UserDefined);
        let engine = match spec.model.as_str() {
            "gpt2" => byte_level(&spec, is_word)?,
            "llama" | "unigram" => sentencepiece::engine(&spec, is_word)?,
            other => return Err(Error::UnknownModel(other.chars().take(80).collect())),
        };
        Self::assemble(engine, spec, &kinds)
    }

    fn assemble(engine: Engine, spec: TokenizerSpec, kinds: &[Kind]) -> Result<Self, Error> {
        let TokenizerSpec { model, tokens, special: roles, leading_blank, .. } = spec;
        let alphabet = Alphabet::new();
        let in_bytes = model == "gpt2";
        let spelled = |text: &str| if in_bytes { alphabet.decode(text) } else { sentencepiece::decode(text) };
        let mut vocabulary = Vocabulary::default();
        let mut found = Vec::new();
        for (token, (text, &kind)) in (0..).zip(tokens.into_iter().zip(kinds)) {
            match kind {
                Kind::Normal | Kind::Unused => vocabulary.push(&spelled(&text), kind),
                Kind::Control | Kind::UserDefined => {
                    vocabulary.push(text.as_bytes(), kind);
                    if !text.is_empty() && !has_marks(&text) {
                        found.push(Special { token, text, control: kind == Kind::Control });
                    }
                }
            }
        }
        for token in [roles.bos, roles.eos, roles.eot, roles.unknown].into_iter().flatten() {
            if token as usize >= vocabulary.len() {
                let size = vocabulary.len();
                return Err(Error::BadTokenizer(format!("token {token} has a role, but there are only {size} tokens")));
            }
        }
        let ends = found.iter().filter(|special| special.control && ENDS.contains(&special.text.as_str()));
        let mut end_tokens: Vec<TokenId> =
            [roles.eos, roles.eot].into_iter().flatten().chain(ends.map(|special| special.token)).collect();
        end_tokens.sort_unstable();
        end_tokens.dedup();
        let specials = Specials::new(&found)?;
        Ok(Self { inner: Arc::new(Inner { engine, vocabulary, specials, roles, end_tokens, leading_blank }) })
    }

    /// The tokens of content that stands behind something; none of them is a control token.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        self.encode_segments(self.inner.specials.cut_content(text))
    }

    /// The tokens of a text that no template rendered: the beginning token if the model wants one, then the content.
    pub fn encode_prompt(&self, text: &str) -> Vec<TokenId> {
        let begin = self.inner.roles.bos.filter(|_| self.inner.roles.add_bos);
        begin.into_iter().chain(self.encode_segments(self.led(self.inner.specials.cut_content(text)))).collect()
    }

    /// The tokens of a rendered chat: scaffold may be a control token, content never is.
    pub fn encode_rendered(&self, rendered: &Rendered) -> Vec<TokenId> {
        self.encode_segments(self.led(self.segments(rendered)))
    }

    /// The same for several chats; what they have in common, between two control tokens, is encoded once.
    pub fn encode_chats(&self, chats: &[Rendered]) -> Vec<Vec<TokenId>> {
        let mut known: HashMap<Cow<'_, str>, Vec<TokenId>> = HashMap::new();
        let mut encode = |chat| {
            let mut tokens = Vec::new();
            for segment in self.led(self.segments(chat)) {
                match segment {
                    Segment::Token(token) => tokens.push(token),
                    Segment::Text(text) => {
                        let of_text = known.entry(text).or_insert_with_key(|text| {
                            let mut tokens = Vec::new();
                            self.encode_words(text, &mut tokens);
                            tokens
                        });
                        tokens.extend_from_slice(of_text);
                    }
                }
            }
            tokens
        };
        chats.iter().map(&mut encode).collect()
    }

    /// A rendered chat in parts that are tokenised independently.
    pub(crate) fn segments<'t>(&self, rendered: &'t Rendered) -> Vec<Segment<'t>> {
        self.inner.specials.cut_rendered(rendered.marked())
    }

    /// The segments of a whole prompt with the blanks that the tokenizer puts before them.
    fn led<'t>(&self, mut segments: Vec<Segment<'t>>) -> Vec<Segment<'t>> {
        let mut wanted = self.inner.leading_blank != LeadingBlank::Never;
        for segment in &mut segments {
            match segment {
                Segment::Text(text) if wanted => *text = Cow::Owned(format!(" {text}")),
                _ => {}
            }
            wanted = self.inner.leading_blank == LeadingBlank::Each && matches!(segment, Segment::Token(_));
        }
        segments
    }

    pub(crate) fn encode_segments(&self, segments: Vec<Segment<'_>>) -> Vec<TokenId> {
        let mut tokens = Vec::new();
        for segment in segments {
            match segment {
                Segment::Token(token) => tokens.push(token),
                Segment::Text(text) => self.encode_words(&text, &mut tokens),
            }
        }
        tokens
    }

    /// The cost grows with the length of the text and little more, whatever the text. In a run of more than a million
    /// blanks the engine's pattern gives up and takes the rest as one word, where the reference may cut it otherwise.
    /// Should it refuse a text altogether, its halves are encoded apart.
    fn encode_words(&self, text: &str, tokens: &mut Vec<TokenId>) {
        if let Ok(encoding) = self.inner.engine.encode_fast(text, false) {
            tokens.extend_from_slice(encoding.get_ids());
        } else if let Some((middle, _)) = text.char_indices().nth(text.chars().count() / 2).filter(|(at, _)| *at > 0) {
            self.encode_words(&text[..middle], tokens);
            self.encode_words(&text[middle..], tokens);
        }
    }

    /// The text of tokens, without control tokens; what is not UTF-8 becomes U+FFFD.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.visible(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token adds to an answer: none for a control token.
    pub(crate) fn visible(&self, token: TokenId) -> &[u8] {
        if self.inner.vocabulary.is_control(token) { &[] } else { self.piece(token) }
    }

    /// The token's bytes, a control token's spelling among them; none if there is no such token.
    pub fn piece(&self, token: TokenId) -> &[u8] {
        self.inner.vocabulary.piece(token)
    }

    /// Whether the token belongs to the scaffold.
    pub fn is_control(&self, token: TokenId) -> bool {
        self.inner.vocabulary.is_control(token)
    }

    /// The control token of this spelling.
    pub fn control_token(&self, spelling: &str) -> Option<TokenId> {
        match self.inner.specials.cut_rendered(spelling)[..] {
            [Segment::Token(token)] if self.is_control(token) => Some(token),
            _ => None,
        }
    }

    /// The tokens that end an answer, in order.
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.inner.end_tokens
    }

    /// The tokens with a role.
    pub fn special_tokens(&self) -> SpecialTokens {
        self.inner.roles
    }

    /// Number of tokens; ids are below it.
    pub fn vocabulary(&self) -> usize {
        self.inner.vocabulary.len()
    }

    pub(crate) fn specials(&self) -> &Specials {
        &self.inner.specials
    }

    /// The spelling of a token with a role, as templates want it; empty if there is none.
    pub(crate) fn spelling(&self, token: Option<TokenId>) -> String {
        token.map_or_else(String::new, |token| String::from_utf8_lossy(self.piece(token)).into_owned())
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocabulary", &self.vocabulary()).finish_non_exhaustive()
    }
}

const NORMAL: i32 = 1;

/// The engine of byte-level BPE.
fn byte_level(spec: &TokenizerSpec, is_word: impl Fn(usize) -> bool) -> Result<Engine, Error> {
    let cut = pretokenizer::named(spec.pre.as_deref().unwrap_or("gpt-2"))?;
    let words = (0..).zip(&spec.tokens).enumerate().filter(|(index, _)| is_word(*index));
    let words: Vocab = words.map(|(_, (id, text))| (text.clone(), id)).collect();
    let model = BPE::builder()
        .vocab_and_merges(words, pairs(&spec.merges)?)
        .ignore_merges(cut.ignore_merges)
        .build()
        .map_err(|error| Error::BadTokenizer(error.to_string()))?;
    let mut engine = Engine::new(model);
    engine.with_pre_tokenizer(Some(cut.steps));
    engine.with_normalizer(cut.normalizer).map_err(|error| Error::BadTokenizer(error.to_string()))?;
    Ok(engine)
}

/// Merges as two spellings each.
pub(crate) fn pairs(merges: &[String]) -> Result<Vec<(String, String)>, Error> {
    let pair = |merge: &String| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
    let bad = || Error::BadTokenizer("a merge is not two spellings with a space between".to_owned());
    merges.iter().map(pair).collect::<Option<Vec<_>>>().ok_or_else(bad)
}

/// Scaffold that is written otherwise than `<|name|>`, and that some files call normal text.
const SCAFFOLD: [&str; 4] = ["<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"];

/// What a token is by its GGUF type. `<|name|>` is a control token whatever the file says: some files have it wrong.
fn kind(text: &str, token_type: i32) -> Kind {
    let name = text.strip_prefix("<|").and_then(|text| text.strip_suffix("|>"));
    let is_markup = name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        || SCAFFOLD.contains(&text);
    match token_type {
        2 | 3 => Kind::Control,
        1 | 4 if is_markup => Kind::Control,
        4 => Kind::UserDefined,
        5 => Kind::Unused,
        _ => Kind::Normal,
    }
}
