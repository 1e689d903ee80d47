//! Regular expressions of bounded size.

use regex::{Regex, RegexBuilder};

use crate::limits::{PATTERN_BYTES, PATTERN_NESTING};

/// A regular expression of bounded size, matched in time linear in the text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

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

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded() {
        assert!(Pattern::compile("(").unwrap_err().contains("unclosed group"));
        assert_eq!(Pattern::compile(r"\w{1000}{1000}").unwrap_err(), "it is too large once compiled");
        assert!(Pattern::compile(&"(".repeat(200)).is_err());
        // Exponential for a backtracking engine.
        assert!(!Pattern::compile("(a|a)*$b").unwrap().is_match(&"a".repeat(10_000)));
    }
}
