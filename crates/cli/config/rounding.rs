//! What weights are rounded to while they are loaded.

use std::fmt;
use std::str::FromStr;

use baton_decoder::Recipe;
use serde::Deserialize;

/// A recipe by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Rounding(pub(crate) Recipe);

impl FromStr for Rounding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        name.parse().map(Self)
    }
}

impl TryFrom<String> for Rounding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
