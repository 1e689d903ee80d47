//! Names and texts that come with decisions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a name or a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A name is empty, too long, or has characters that do not belong into one line.
    #[error("a {what} has 1 to {most} characters in one line, without white space at its ends")]
    Name {
        /// What is named.
        what: &'static str,
        /// Most characters.
        most: usize,
    },
    /// A text says nothing.
    #[error("it must say something")]
    Blank,
    /// A text is too long.
    #[error("it has {0} characters; {most} are the most", most = Words::MOST_CHARS)]
    Long(usize),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordsError;

            fn from_str(text: &str) -> Result<Self, WordsError> {
                let fits = !text.is_empty()
                    && text.chars().count() <= $most
                    && text.trim() == text
                    && !text.chars().any(char::is_control);
                if fits { Ok(Self(text.into())) } else { Err(WordsError::Name { what: $what, most: $most }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name!(
    /// Names one decision; the caller makes it, unique for ever, when the request comes in.
    DecisionId,
    "decision id",
    64
);
name!(
    /// Names a rule: an invariant or a default.
    RuleId,
    "rule id",
    120
);
name!(
    /// What was decided, in the terms of the twin's questions: the same key is the same question.
    TypedKey,
    "typed key",
    200
);

/// What a person or a twin wrote: a reason, a fix, an assumption. It may have been erased from the record since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Option<Arc<str>>);

impl Words {
    /// Most characters of one text.
    pub const MOST_CHARS: usize = 4_000;

    /// Takes a text, without white space at its ends.
    ///
    /// # Errors
    /// It is blank or too long.
    pub fn new(text: &str) -> Result<Self, WordsError> {
        let text = text.trim();
        match text.chars().count() {
            0 => Err(WordsError::Blank),
            chars if chars > Self::MOST_CHARS => Err(WordsError::Long(chars)),
            _ => Ok(Self(Some(text.into()))),
        }
    }

    /// Stands for a text whose key was erased; only a record read back holds it.
    pub const fn erased() -> Self {
        Self(None)
    }

    /// The text, unless it was erased.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_checked() {
        for good in ["d1", "core/secrets", "é b", &"a".repeat(64)] {
            assert_eq!(good.parse::<DecisionId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", " a", "a ", "a\nb", "a\u{7}", &"a".repeat(65)] {
            let error = WordsError::Name { what: "decision id", most: 64 };
            assert_eq!(bad.parse::<DecisionId>(), Err(error), "{bad:?}");
        }
        assert_eq!(Words::new(" \n\t"), Err(WordsError::Blank));
        assert_eq!(Words::new(" to\nship ").unwrap().text(), Some("to\nship"));
        assert_eq!(Words::new(&"é".repeat(4_001)), Err(WordsError::Long(4_001)));
        assert!(Words::new(&"é".repeat(4_000)).is_ok());
        assert_eq!(Words::erased().text(), None);
    }
}
