//! What is known about a decision when its tier is known.

use baton_contract::{ConductorId, Tier, TwinId};
use jiff::Timestamp;

use super::{Bound, DecisionId, RuleId, TypedKey, Words};

/// A decision whose tier is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its name.
    pub id: DecisionId,
    /// Who asked.
    pub conductor: ConductorId,
    /// Who was asked.
    pub twin: TwinId,
    /// Whether it was said why.
    pub why: bool,
    /// The product it is asked for, if that was said.
    pub product: Option<String>,
    /// The process it is a part of, if that was said.
    pub process: Option<String>,
    /// What was decided and how, if the question was a typed one.
    pub subject: Option<Subject>,
    /// Every rule whose condition held, also where an override took its effect away; without those that a decision space
    /// answers.
    pub fired: Vec<Fired>,
    /// The tier that is asked for without any rule: by blast radius, caller, twin and pack. No override leaves less.
    /// `None` in records of builds that did not keep it; then no override counts once the decision is opened.
    pub least: Option<Tier>,
    /// The digests that the answer comes with.
    pub bound: Bound,
    /// Where the answer's text is kept.
    pub text: TextRow,
}

/// A typed question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What was decided.
    pub key: TypedKey,
    /// The answer, for example the name of the choice.
    pub answer: String,
}

/// A rule that had something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Which.
    pub rule: RuleId,
    /// Whether it can be overridden.
    pub kind: RuleKind,
    /// Whether it denies the decision, rather than ask for checking.
    pub denies: bool,
    /// The tier that it asked for, if it asked for one.
    pub asks: Option<Tier>,
}

/// Whether a rule can be overridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKind {
    /// Nobody can.
    Invariant,
    /// Who asked can, with a reason.
    Default,
}

/// The ledger's row that has a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextRow(pub u64);

/// What is done with a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// Tier 1: it is released.
    Release,
    /// Tier 2: it is released, and an expert has until `review_by` to check it.
    Assume {
        /// What was assumed.
        assumption: Words,
        /// When the chance to check it is over.
        review_by: Timestamp,
    },
    /// Tier 3: it is held until `expires`, unless somebody approves or refuses it.
    Hold {
        /// When it is too late for an approval.
        expires: Timestamp,
    },
    /// It is not released: a rule denies it. Nobody can approve it; a default that denies it can be overridden.
    Deny,
}

impl RuleKind {
    /// The word as the ledger has it.
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
}

impl Course {
    /// The tier whose course this is; what is denied counts as the strictest.
    pub const fn tier(&self) -> Tier {
        match self {
            Self::Release => Tier::Decide,
            Self::Assume { .. } => Tier::Assume,
            Self::Hold { .. } | Self::Deny => Tier::CheckFirst,
        }
    }

    /// When the review or the holding is over, if it ever is.
    pub const fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Release | Self::Deny => None,
            Self::Assume { review_by, .. } => Some(*review_by),
            Self::Hold { expires } => Some(*expires),
        }
    }

    /// How strict it is: 1 to 3 as the tiers, 4 for a denial.
    pub(super) fn strictness(&self) -> u8 {
        if matches!(self, Self::Deny) { 4 } else { self.tier().number() }
    }
}
