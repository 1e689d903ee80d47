//! Names of twins, conductors and sequences.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A token of the loaded model's vocabulary.
pub type TokenId = u32;

/// One sequence inside the engine; unique for the life of the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SequenceId(pub u64);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid {what}: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`, \
     starting with a letter or digit"
)]
pub struct IdError {
    what: &'static str,
    text: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
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
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_name(text) {
                    Ok(Self(text.into()))
                } else {
                    // What came from outside is shown, but never at length.
                    Err(IdError { what: $what, text: text.chars().take(80).collect() })
                }
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
    /// Names a twin; it is what a conductor writes as `model`.
    TwinId,
    "twin id"
);
name!(
    /// Names a conductor, the authenticated principal that a cue belongs to.
    ConductorId,
    "conductor id"
);

fn is_name(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=64).contains(&text.len())
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().all(|c| alphanumeric(c) || b"-_.".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "ux", "data-modelling", "v1.2_x", &"a".repeat(64)] {
            assert!(good.parse::<TwinId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "UX", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<TwinId>().is_err(), "{bad}");
        }
    }
}
