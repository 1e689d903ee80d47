//! Finding special tokens in text by their spelling.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use baton_contract::TokenId;

use crate::Error;
use crate::shield::Shield;

/// A part of a text: a token that was found by its spelling, or text for BPE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'t> {
    Token(TokenId),
    Text(Cow<'t, str>),
}

/// One token that is found by its spelling.
pub(crate) struct Special {
    pub(crate) token: TokenId,
    pub(crate) text: String,
    pub(crate) control: bool,
}

/// Finds special tokens, the leftmost first and the longest of those, as Hugging Face's `tokenizers` do.
pub(crate) struct Specials {
    everywhere: Finder,
    scaffold: Finder,
    shield: Shield,
}

struct Finder {
    automaton: AhoCorasick,
    tokens: Vec<TokenId>,
}

impl Finder {
    fn new<'s>(specials: impl Iterator<Item = &'s Special> + Clone) -> Result<Self, Error> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(specials.clone().map(|special| &special.text))
            .map_err(|error| Error::BadTokenizer(format!("its special tokens cannot be searched for: {error}")))?;
        Ok(Self { automaton, tokens: specials.map(|special| special.token).collect() })
    }

    fn cut<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        let mut segments = Vec::new();
        let mut done = 0;
        for found in self.automaton.find_iter(text) {
            if done < found.start() {
                segments.push(Segment::Text(Cow::Borrowed(&text[done..found.start()])));
            }
            segments.push(Segment::Token(self.tokens[found.pattern().as_usize()]));
            done = found.end();
        }
        if done < text.len() {
            segments.push(Segment::Text(Cow::Borrowed(&text[done..])));
        }
        segments
    }
}

impl Specials {
    /// Prepares the search; no text may be empty.
    pub(crate) fn new(specials: &[Special]) -> Result<Self, Error> {
        Ok(Self {
            everywhere: Finder::new(specials.iter().filter(|special| !special.control))?,
            scaffold: Finder::new(specials.iter())?,
            shield: Shield::new(specials.iter().filter(|special| special.control).map(|s| s.text.as_str()))?,
        })
    }

    /// What marks content.
    pub(crate) fn shield(&self) -> &Shield {
        &self.shield
    }

    /// Cuts content: control tokens are not found in it.
    pub(crate) fn cut_content<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        self.everywhere.cut(text)
    }

    /// Cuts rendered text, and takes the marks out of what lies between the special tokens.
    pub(crate) fn cut_rendered<'t>(&self, text: &'t str) -> Vec<Segment<'t>> {
        let mut segments = Vec::new();
        for segment in self.scaffold.cut(text) {
            let Segment::Text(Cow::Borrowed(marked)) = segment else {
                segments.push(segment);
                continue;
            };
            match Shield::remove(marked) {
                Cow::Borrowed(plain) => segments.push(Segment::Text(Cow::Borrowed(plain))),
                // A mark may have hidden a user-defined token.
                Cow::Owned(plain) => {
                    segments.extend(self.cut_content(&plain).into_iter().map(|segment| match segment {
                        Segment::Token(token) => Segment::Token(token),
                        Segment::Text(text) => Segment::Text(Cow::Owned(text.into_owned())),
                    }));
                }
            }
        }
        segments
    }
}
