//! Marks that keep content from passing for scaffold.
//!
//! Before the template sees a message's content, [`Shield::mark`]
//! 1. writes an escape for the two noncharacters that are used here, should the content hold them;
//! 2. puts a break after the first character of everything that spells a control token, in any case of its ASCII
//!    letters because templates may change that;
//! 3. puts a break at the inner side of leading and trailing white space where the content's edge could become a part
//!    of a control token together with what the template writes beside it. Trimming leaves these breaks in place.
//!
//! A control token's spelling holds no break, so none is found across one; [`Shield::remove`] then restores the content.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use aho_corasick::AhoCorasick;

use crate::Error;

/// Cuts a look-alike in two; means nothing by itself.
const BREAK: char = '\u{FDD0}';
/// Begins and ends an escaped character: its code point in hexadecimal stands between.
const ESCAPE: char = '\u{FDD1}';

/// Marks content.
pub(crate) struct Shield {
    spellings: Vec<String>,
    automaton: AhoCorasick,
    /// Characters that are a control token alone: nothing can be broken, so they are escaped.
    single: HashSet<char>,
    beginnings: HashSet<String>,
    endings: HashSet<String>,
    longest: usize,
}

/// Whether `text` holds one of the characters that are used as marks.
pub(crate) fn has_marks(text: &str) -> bool {
    text.contains([BREAK, ESCAPE])
}

impl Shield {
    /// A shield against these control tokens.
    pub(crate) fn new<'s>(control: impl Iterator<Item = &'s str>) -> Result<Self, Error> {
        let (single, long): (Vec<&str>, Vec<&str>) = control.partition(|text| text.chars().count() == 1);
        let spellings: Vec<String> = long.iter().map(|text| text.to_ascii_lowercase()).collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&spellings)
            .map_err(|error| Error::BadTokenizer(format!("its control tokens cannot be searched for: {error}")))?;
        let mut shield = Self {
            automaton,
            single: single.into_iter().flat_map(str::chars).flat_map(either_case).collect(),
            beginnings: HashSet::new(),
            endings: HashSet::new(),
            longest: spellings.iter().map(String::len).max().unwrap_or(0),
            spellings: Vec::new(),
        };
        for text in &spellings {
            for (at, _) in text.char_indices().skip(1) {
                shield.beginnings.insert(text[..at].to_owned());
                shield.endings.insert(text[at..].to_owned());
            }
        }
        shield.spellings = spellings;
        Ok(shield)
    }

    /// The content with its marks.
    pub(crate) fn mark<'t>(&self, content: &'t str) -> Cow<'t, str> {
        let breaks = self.breaks(content);
        let escaped = |c: char| c == BREAK || c == ESCAPE || self.single.contains(&c);
        if breaks.is_empty() && !content.contains(escaped) {
            return Cow::Borrowed(content);
        }
        let mut marked = String::with_capacity(content.len() + 64);
        let mut breaks = breaks.into_iter().peekable();
        for (at, character) in content.char_indices() {
            if breaks.next_if_eq(&at).is_some() {
                marked.push(BREAK);
            }
            if escaped(character) {
                // Writing to a String cannot fail.
                let _ = write!(marked, "{ESCAPE}{:X}{ESCAPE}", u32::from(character));
            } else {
                marked.push(character);
            }
        }
        if breaks.next().is_some() {
            marked.push(BREAK);
        }
        Cow::Owned(marked)
    }

    /// Byte positions that need a break, in order, none twice.
    fn breaks(&self, content: &str) -> Vec<usize> {
        let after_first = |start: usize| start + content[start..].chars().next().map_or(0, char::len_utf8);
        let mut breaks: Vec<usize> =
            self.automaton.find_overlapping_iter(content).map(|found| after_first(found.start())).collect();
        let inner = content.trim();
        if !inner.is_empty() {
            let start = content.len() - content.trim_start().len();
            let (first, last) = self.edges(inner);
            breaks.extend(first.then_some(start));
            breaks.extend(last.then_some(start + inner.len()));
        }
        breaks.sort_unstable();
        breaks.dedup();
        breaks
    }

    /// Whether the beginning and the end of `inner` could be a part of a control token.
    fn edges(&self, inner: &str) -> (bool, bool) {
        let mut head = inner.len().min(self.longest);
        while !inner.is_char_boundary(head) {
            head -= 1;
        }
        let mut tail = inner.len() - inner.len().min(self.longest);
        while !inner.is_char_boundary(tail) {
            tail += 1;
        }
        let (head, tail) = (inner[..head].to_ascii_lowercase(), inner[tail..].to_ascii_lowercase());
        let inside = head.len() == inner.len() && self.spellings.iter().any(|text| text.contains(&head));
        let first = (1..=head.len()).any(|end| head.get(..end).is_some_and(|part| self.endings.contains(part)));
        let last = (0..tail.len()).any(|start| tail.get(start..).is_some_and(|part| self.beginnings.contains(part)));
        (first || inside, last || inside)
    }

    /// The text without marks.
    pub(crate) fn remove(text: &str) -> Cow<'_, str> {
        if !has_marks(text) {
            return Cow::Borrowed(text);
        }
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find([BREAK, ESCAPE]) {
            plain.push_str(&rest[..at]);
            let is_break = rest[at..].starts_with(BREAK);
            rest = &rest[at + BREAK.len_utf8()..];
            if is_break {
                continue;
            }
            // A template may have cut an escape in two; what is left of it is dropped.
            let Some((code, after)) = rest.split_once(ESCAPE) else { continue };
            plain.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
            rest = after;
        }
        plain.push_str(rest);
        Cow::Owned(plain)
    }
}

fn either_case(character: char) -> [char; 2] {
    [character.to_ascii_lowercase(), character.to_ascii_uppercase()]
}
