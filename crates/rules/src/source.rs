//! Texts that a rule set is loaded from, and moves of the line between its two kinds.

use crate::{Layer, RuleId};

/// One file of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where its rules belong.
    pub layer: Layer,
    /// The file's name, for messages.
    pub name: String,
    /// Cedar policies.
    pub text: String,
}

/// A change that an architect has accepted: the line between core and shell moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// A default stands no more.
    Retire(RuleId),
    /// An invariant becomes a default of the same effect: the core shrinks.
    Soften(RuleId),
}

/// The files that every installation starts from.
pub fn shipped() -> Vec<Source> {
    let source = |layer, name: &str, text: &str| Source { layer, name: name.to_owned(), text: text.to_owned() };
    vec![
        source(Layer::Core, "core.cedar", include_str!("core.cedar")),
        source(Layer::Defaults, "defaults.cedar", include_str!("defaults.cedar")),
    ]
}

impl Source {
    /// A file of the installation's own rules.
    pub fn house(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { layer: Layer::House, name: name.into(), text: text.into() }
    }

    /// A file of a pack's rules.
    pub fn pack(twin: baton_contract::TwinId, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { layer: Layer::Pack(twin), name: name.into(), text: text.into() }
    }
}

impl Move {
    /// The rule that it is about.
    pub fn rule(&self) -> &RuleId {
        match self {
            Self::Retire(rule) | Self::Soften(rule) => rule,
        }
    }
}
