//! One rule, as its annotations state it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use baton_contract::TwinId;

use crate::Error;

/// Names a rule: `no-why`, or `ux/long-texts` for a rule of the pack `ux`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(Arc<str>);

/// Whether a rule has an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Hard core: nobody overrides it.
    Invariant,
    /// Soft shell: a conductor overrides it with one logged reason.
    Default,
}

/// What a rule asks for where it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// One tier above what the blast radius asks for. Defaults only.
    Raise,
    /// Tier 2 at least. Defaults only.
    Assume,
    /// Tier 3: held until a person approves.
    Hold,
    /// Never released. Of a default: not released until it is overridden.
    Deny,
}

/// Where a rule comes from, in the order in which rules are listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// The hard core that is shipped.
    Core,
    /// The defaults that are shipped.
    Defaults,
    /// The installation's own rules.
    House,
    /// The rules of a twin's pack; they stand on decisions of that twin only.
    Pack(TwinId),
}

/// One rule.
///
/// | annotation | what it says |
/// | --- | --- |
/// | `@id` | its name; rules of a pack get the twin's id and `/` in front |
/// | `@kind` | `invariant` or `default` |
/// | `@effect` | of an invariant `deny` or `hold`; of a default `raise`, `assume`, `hold` or `deny` |
/// | `@reason` | one sentence for the conductor, 400 characters at most |
/// | `@ask` | who can help, 200 characters at most |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in a rule set.
    pub id: RuleId,
    /// Where it comes from.
    pub layer: Layer,
    /// Whether it has an appeal.
    pub kind: Kind,
    /// What it asks for.
    pub effect: Effect,
    /// Why it stands, for the conductor.
    pub reason: String,
    /// Who can help.
    pub ask: String,
    /// The policy as it was written.
    pub text: String,
}

impl Kind {
    /// The word in the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invariant => "invariant",
            Self::Default => "default",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Invariant, Self::Default].into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a rule of this kind can have that effect.
    pub const fn allows(self, effect: Effect) -> bool {
        matches!((self, effect), (Self::Default, _) | (Self::Invariant, Effect::Deny | Effect::Hold))
    }
}

impl Effect {
    /// The word in the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Assume => "assume",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }

    /// The effect of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Raise, Self::Assume, Self::Hold, Self::Deny].into_iter().find(|effect| effect.as_str() == word)
    }
}

impl Layer {
    /// The twin whose pack it is, if it is one's.
    pub fn twin(&self) -> Option<&TwinId> {
        match self {
            Self::Pack(twin) => Some(twin),
            Self::Core | Self::Defaults | Self::House => None,
        }
    }
}

impl Rule {
    /// Whether nobody can release what it stands on, not even by overriding it.
    pub fn is_hard_deny(&self) -> bool {
        (self.kind, self.effect) == (Kind::Invariant, Effect::Deny)
    }

    /// The rule that fires where evaluation fails, whatever it was about.
    pub(crate) fn of_error(problem: &str) -> Self {
        Self {
            id: RuleId(RuleId::ERROR.into()),
            layer: Layer::Core,
            kind: Kind::Invariant,
            effect: Effect::Deny,
            reason: format!("A rule could not be evaluated, so nothing is released: {problem}"),
            ask: "the architect, who keeps the rules".to_owned(),
            text: String::new(),
        }
    }
}

impl RuleId {
    /// The id of the rule that stands where evaluation fails; no policy can have it.
    pub const ERROR: &str = "rule-error";

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the rule `name` in `layer`.
    pub(crate) fn in_layer(layer: &Layer, name: &str) -> Option<Self> {
        if !is_name(name) || name == Self::ERROR {
            return None;
        }
        Some(Self(match layer.twin() {
            Some(twin) => format!("{twin}/{name}").into(),
            None => name.into(),
        }))
    }
}

impl FromStr for RuleId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let good = match text.split_once('/') {
            Some((twin, name)) => twin.parse::<TwinId>().is_ok() && is_name(name),
            None => is_name(text),
        };
        // What came from outside is shown, but never at length.
        if good { Ok(Self(text.into())) } else { Err(Error::Name(text.chars().take(80).collect())) }
    }
}

/// 1 to 64 lowercase letters, digits and `-`, starting with a letter.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleId({})", self.0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core => f.write_str("core"),
            Self::Defaults => f.write_str("defaults"),
            Self::House => f.write_str("house"),
            Self::Pack(twin) => write!(f, "pack {twin}"),
        }
    }
}
