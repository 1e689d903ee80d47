//! Known-good cases: questions with checks on the answer.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::limits::{PATTERN_BYTES, PATTERN_NESTING};

/// A question whose answer is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Unique in the pack.
    pub name: String,
    /// The file it stands in, relative to the pack.
    pub file: String,
    /// The line it starts at, counted from 1.
    pub line: usize,
    /// What is wanted.
    pub what: String,
    /// Why it is wanted.
    pub why: Option<String>,
    /// All must hold; never empty.
    pub checks: Vec<Check>,
}

/// What must hold for an answer.
///
/// Texts are compared folded: letter case, runs of white space, typographic quotes and dashes, and the marks
/// `*` and `` ` `` make no difference. A pattern sees the answer as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The text occurs.
    Contains(String),
    /// At least one of the texts occurs; never empty.
    ContainsAny(Vec<String>),
    /// The text does not occur.
    NotContains(String),
    /// The pattern matches somewhere.
    Regex(Pattern),
    /// At most this many words, separated by white space.
    MaxWords(usize),
}

/// A regular expression of bounded size, matched in time linear in the answer.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Case {
    /// The checks that `answer` does not meet.
    pub fn failures<'a>(&'a self, answer: &str) -> Vec<&'a Check> {
        self.checks.iter().filter(|check| !check.passes(answer)).collect()
    }
}

impl Check {
    /// Whether `answer` meets the check.
    pub fn passes(&self, answer: &str) -> bool {
        match self {
            Self::Contains(text) => fold(answer).contains(&fold(text)),
            Self::ContainsAny(texts) => {
                let answer = fold(answer);
                texts.iter().any(|text| answer.contains(&fold(text)))
            }
            Self::NotContains(text) => !fold(answer).contains(&fold(text)),
            Self::Regex(pattern) => pattern.0.is_match(answer),
            Self::MaxWords(most) => answer.split_whitespace().count() <= *most,
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Says in one line why it was refused: not a regular expression, or too large.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .nest_limit(PATTERN_NESTING)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "it is too large once compiled".to_owned(),
                // The last line of regex's drawing of the error is the sentence.
                other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "contains {text:?}"),
            Self::ContainsAny(texts) => write!(f, "contains any of {texts:?}"),
            Self::NotContains(text) => write!(f, "does not contain {text:?}"),
            Self::Regex(pattern) => write!(f, "matches /{}/", pattern.as_str()),
            Self::MaxWords(most) => write!(f, "has at most {most} words"),
        }
    }
}

/// Removes the differences that do not change what an answer says.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for c in word.chars() {
            match c {
                '*' | '`' => {}
                '‘' | '’' => folded.push('\''),
                '“' | '”' => folded.push('"'),
                '‐' | '‑' | '‒' | '–' | '—' => folded.push('-'),
                other => folded.extend(other.to_lowercase()),
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_hold_or_not() {
        let text = |text: &str| text.to_owned();
        let pattern = |pattern| Check::Regex(Pattern::compile(pattern).unwrap());
        let rows = [
            (Check::Contains(text("Idempotency key")), "send an **idempotency\n  key**", true),
            (Check::Contains(text("4.5:1")), "at least `4.5:1`", true),
            (Check::Contains(text("don't")), "Don’t", true),
            (Check::Contains(text("four-eyes")), "Four‑eyes", true),
            (Check::Contains(text("x")), "", false),
            (Check::ContainsAny(vec![text("no"), text("yes")]), "Yes.", true),
            (Check::ContainsAny(vec![text("no"), text("yes")]), "maybe", false),
            (Check::NotContains(text("float")), "use integers", true),
            (Check::NotContains(text("float")), "a FLOAT", false),
            (pattern(r"\b13 months\b"), "within 13 months", true),
            (pattern(r"\b13 months\b"), "within 113 months", false),
            (Check::MaxWords(2), " one  two ", true),
            (Check::MaxWords(2), "one two three", false),
        ];
        for (check, answer, expected) in rows {
            assert_eq!(check.passes(answer), expected, "{check}: {answer:?}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(Pattern::compile("(").unwrap_err().contains("unclosed group"));
        assert_eq!(Pattern::compile(r"\w{1000}{1000}").unwrap_err(), "it is too large once compiled");
        assert!(Pattern::compile(&"(".repeat(200)).is_err());
        // Exponential for a backtracking engine.
        assert!(!Pattern::compile("(a|a)*$b").unwrap().0.is_match(&"a".repeat(10_000)));
    }
}
