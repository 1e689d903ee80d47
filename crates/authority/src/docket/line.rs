//! The moving line between what everybody must do and what anybody may: proposals from what has happened.
//!
//! Reports are pure functions over decisions; they propose and change nothing. An architect accepts or refuses a proposal
//! with a reason, which is a [`Ruling`] to record: from then on an accepted demotion or shrinking is what it says, and an
//! accepted promotion is a draft for the expert to publish ([`space_draft`]). The same proposal is not made again before its
//! evidence has changed enough: see [`Rulings`].

mod demote;
mod draft;
mod promote;
mod ruling;
mod shrink;
#[cfg(test)]
mod tests;
mod wilson;

use std::fmt;

use baton_contract::{Digester, TwinId};
use jiff::{SignedDuration, Timestamp};

pub use demote::demotions;
pub use draft::space_draft;
pub use promote::promotions;
pub use ruling::{NotRuled, Ruling, Rulings};
pub use shrink::shrinkings;
pub(super) use wilson::float;
pub use wilson::wilson_interval;

use super::{Decision, DecisionId, RuleId, TypedKey};

/// What it takes to make a proposal. The defaults are cautious; an installation may set its own.
#[derive(Clone, Debug, PartialEq)]
pub struct LineSettings {
    /// Standard deviations of the Wilson intervals; 1.96 is 95 % on both sides.
    pub z: f64,
    /// For [`demotions`].
    pub demote: DemoteSettings,
    /// For [`promotions`].
    pub promote: PromoteSettings,
    /// For [`shrinkings`].
    pub shrink: ShrinkSettings,
    /// How much of a ruled proposal's evidence must be new before it is made again, as a share of what the ruling saw.
    pub renewed: f64,
}

/// When a default is overridden so often that it should go.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoteSettings {
    /// How far back is looked.
    pub window: SignedDuration,
    /// Least firings.
    pub firings: usize,
    /// Least conductors who overrode it.
    pub conductors: usize,
    /// What the lower bound of the override rate must be above.
    pub above: f64,
}

/// When the same decision was made so often that it should become shared.
#[derive(Clone, Debug, PartialEq)]
pub struct PromoteSettings {
    /// How far back is looked.
    pub window: SignedDuration,
    /// Least conductors who got the answer.
    pub conductors: usize,
    /// Least products for which it was given.
    pub products: usize,
    /// Least share of the decisions that have the same answer.
    pub agreement: f64,
    /// How near two keys are, from 0 to 1, from which on they are the same question; where nothing tells how near keys are,
    /// only equal keys are.
    pub alike: f64,
}

/// When an invariant asks for approvals that are always given.
///
/// A core that shrinks too far does more harm than one that is too large, so much is asked: a year of evidence that spans
/// half of it at least, 100 answered holds, of which at the lower bound more than 95 % were approved by people who took
/// longer than a rubber stamp takes (all of 100 or 149 of 150 will do, 99 of 100 will not), from several conductors and by
/// several approvers; and not one of them found wrong afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct ShrinkSettings {
    /// How far back is looked.
    pub window: SignedDuration,
    /// Least time from the first to the last hold.
    pub span: SignedDuration,
    /// Least holds that a person answered.
    pub answered: usize,
    /// Least conductors who were held.
    pub conductors: usize,
    /// Least people who approved.
    pub approvers: usize,
    /// What the lower bound of the share approved must be above.
    pub above: f64,
    /// An approval that took less time speaks against the proposal, not for it.
    pub rubber_stamp: SignedDuration,
}

/// A change that an architect could make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The default goes: people keep overriding it.
    Demote(RuleId),
    /// The answer becomes a shared rule of the twin: it recurs.
    Promote {
        /// The twin that was asked.
        twin: TwinId,
        /// What was decided; where several keys were found similar, the one that came up first.
        key: TypedKey,
        /// How.
        answer: String,
    },
    /// The invariant becomes a default: what it holds is approved as it is.
    Shrink(RuleId),
}

/// A change with what speaks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The change.
    pub change: Change,
    /// What speaks for it, and how strongly.
    pub evidence: Evidence,
}

/// What a proposal rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// All decisions that were looked at, the oldest first.
    pub decisions: Vec<DecisionId>,
    /// How many of them speak for the change.
    pub supporting: usize,
    /// The lower bound of the share that speaks for it, by Wilson's interval.
    pub lower_bound: f64,
    /// Conductors in those that speak for it.
    pub conductors: usize,
    /// Products in those that speak for it.
    pub products: usize,
    /// The other keys that were found to be the same question, in the order in which they came up.
    pub alike: Vec<TypedKey>,
    /// How many of those that speak for it a person has approved or checked.
    pub seen_by_people: usize,
    /// When the first was opened.
    pub first: Timestamp,
    /// When the last was opened.
    pub last: Timestamp,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Default for LineSettings {
    fn default() -> Self {
        Self {
            z: 1.96,
            demote: DemoteSettings { window: DAY * 90, firings: 20, conductors: 3, above: 0.5 },
            promote: PromoteSettings { window: DAY * 365, conductors: 3, products: 3, agreement: 0.8, alike: 0.8 },
            shrink: ShrinkSettings {
                window: DAY * 365,
                span: DAY * 180,
                answered: 100,
                conductors: 5,
                approvers: 3,
                above: 0.95,
                rubber_stamp: SignedDuration::from_secs(5),
            },
            renewed: 0.5,
        }
    }
}

impl Change {
    /// What sort of change it is, in one word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Demote(_) => "demote",
            Self::Promote { .. } => "promote",
            Self::Shrink(_) => "shrink",
        }
    }

    /// Names the change, the same whenever it is proposed: `prop-` and 16 hex digits.
    pub fn id(&self) -> String {
        let mut digester = Digester::new("baton proposal v1");
        digester.field(self.word().as_bytes());
        match self {
            Self::Demote(rule) | Self::Shrink(rule) => digester.field(rule.as_str().as_bytes()),
            Self::Promote { twin, key, answer } => {
                digester.field(twin.as_str().as_bytes()).field(key.as_str().as_bytes()).field(answer.as_bytes())
            }
        };
        format!("prop-{:.16}", digester.finish().to_hex())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demote(rule) => write!(f, "let go of the default `{rule}`"),
            Self::Promote { twin, key, answer } => {
                write!(f, "make `{answer}` the shared answer of `{twin}` to `{key}`")
            }
            Self::Shrink(rule) => write!(f, "make the invariant `{rule}` a default"),
        }
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { decisions, supporting, lower_bound, conductors, products, .. } = &self.evidence;
        let (reason, products) = match self.change {
            Change::Demote(_) => ("overridden", String::new()),
            Change::Promote { .. } => ("answered so", format!(" for {products} products")),
            Change::Shrink(_) => ("approved as it was", String::new()),
        };
        write!(
            f,
            "{}: {reason} {supporting} of {} times, by {conductors} conductors{products}; the true share is \
             above {:.0} %",
            self.change,
            decisions.len(),
            lower_bound * 100.0
        )
    }
}

impl Evidence {
    /// The share that speaks for the change.
    pub fn share(&self) -> f64 {
        wilson::float(self.supporting) / wilson::float(self.decisions.len().max(1))
    }

    /// Sums up `all`, of which `supporting` speak for the change; nothing of nothing.
    fn of(mut all: Vec<&Decision>, supporting: &[&Decision], z: f64) -> Option<Self> {
        all.sort_by_key(|decision| (decision.opened_at(), decision.id()));
        let seen = |decision: &&&Decision| decision.approval().is_some() || decision.checked_by().is_some();
        Some(Self {
            first: all.first()?.opened_at(),
            last: all.last()?.opened_at(),
            lower_bound: wilson_interval(supporting.len(), all.len(), z).0,
            conductors: distinct(supporting.iter().map(|decision| &decision.opening().conductor)),
            products: distinct(supporting.iter().filter_map(|decision| decision.opening().product.as_ref())),
            seen_by_people: supporting.iter().filter(seen).count(),
            supporting: supporting.len(),
            alike: Vec::new(),
            decisions: all.into_iter().map(|decision| decision.id().clone()).collect(),
        })
    }
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    items.collect::<std::collections::BTreeSet<_>>().len()
}

/// Whether the decision was opened within `window` before `now`.
fn is_within(decision: &Decision, window: SignedDuration, now: Timestamp) -> bool {
    let age = now.duration_since(decision.opened_at());
    !age.is_negative() && age <= window
}
