//! The tax: what is left of the cost of waiting for people, measured.

mod measure;
mod plot;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use baton_contract::TwinId;
use jiff::{SignedDuration, Timestamp};

use super::{RuleId, RuleKind};

/// How the tax is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxSettings {
    /// Decisions opened before this are left out, except from the queues as they are now.
    pub since: Timestamp,
    /// An approval that took less time than this is a rubber stamp; 5 seconds by default.
    pub rubber_stamp: SignedDuration,
}

/// The tax over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// From when on decisions are counted.
    pub since: Timestamp,
    /// When it was measured.
    pub now: Timestamp,
    /// Decisions that nobody waited for, of all.
    pub without_wait: Share,
    /// Decisions asked for without a why, of all.
    pub missing_whys: Share,
    /// Approvals that took less time than looking takes, of all approvals.
    pub rubber_stamps: Share,
    /// Released decisions that were found wrong, of all released.
    pub reversals: Share,
    /// Decisions found wrong in their review, of those that a person reviewed.
    pub wrong_in_review: Share,
    /// Decisions that were corrected, of those released after an approval.
    pub wrong_after_approval: Share,
    /// Reviews that nobody did in time, of those that are over.
    pub unchecked: Share,
    /// Time waited for people: over all, then by tier, conductor, process and twin, the longest sum first.
    pub waits: Vec<Wait>,
    /// How often each rule fired and was overridden, the most often overridden share first.
    pub rules: Vec<RuleUse>,
    /// What waits for people now.
    pub queues: Vec<Queue>,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// So many.
    pub part: usize,
    /// Of so many.
    pub of: usize,
}

/// What waits are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// All decisions.
    All,
    /// The strictest course that a decision took: `tier 1` to `tier 3`, or `denied`.
    Tier,
    /// Who asked.
    Conductor,
    /// The process that it was asked for, `none given` without one.
    Process,
    /// The twin.
    Twin,
}

/// Time that conductors waited for people. It counts from the holding to the release or to the end without one, or to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What it is added up by.
    pub by: By,
    /// Whose it is; `all` for all.
    pub name: String,
    /// Decisions.
    pub decisions: usize,
    /// How many of them were held for a person.
    pub held: usize,
    /// How many of those wait yet.
    pub waiting: usize,
    /// The time within which half of the held ones came to an end. Percentiles are of nearest rank.
    pub p50: SignedDuration,
    /// The time within which 95 % of the held ones came to an end.
    pub p95: SignedDuration,
    /// All their time.
    pub sum: SignedDuration,
}

/// How often a rule fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUse {
    /// The rule.
    pub rule: RuleId,
    /// Its kind.
    pub kind: RuleKind,
    /// Overrides, of all firings.
    pub overridden: Share,
}

/// What waits for people now, for one twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// The twin.
    pub twin: TwinId,
    /// How many decisions.
    pub length: usize,
    /// The time that half of them have waited at most.
    pub p50: SignedDuration,
    /// The time that the first has waited.
    pub oldest: SignedDuration,
}

/// What a decision waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// An approval; who asked waits too.
    Approval,
    /// A review; nobody waits for it.
    Review,
}

impl TaxSettings {
    /// With 5 seconds for a rubber stamp.
    pub const fn since(since: Timestamp) -> Self {
        Self { since, rubber_stamp: SignedDuration::from_secs(5) }
    }
}

impl Share {
    /// Between 0 and 1; nothing of nothing.
    pub fn rate(self) -> Option<f64> {
        let float = super::line::float;
        (self.of > 0).then(|| float(self.part) / float(self.of))
    }

    fn add(&mut self, counts: bool) {
        self.of += 1;
        self.part += usize::from(counts);
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate() {
            Some(rate) => write!(f, "{} of {}, {:.1} %", self.part, self.of, rate * 100.0),
            None => f.write_str("–"),
        }
    }
}

impl By {
    /// The word for it, as a label of a metric has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tier => "tier",
            Self::Conductor => "conductor",
            Self::Process => "process",
            Self::Twin => "twin",
        }
    }
}

impl WaitsFor {
    /// The word for it, as a label of a metric has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Review => "review",
        }
    }
}

impl Tax {
    /// Its shares, each with what it is: `/metrics` and the table go through them.
    pub const fn shares(&self) -> [(&'static str, Share); 7] {
        [
            ("nobody waited", self.without_wait),
            ("asked without a why", self.missing_whys),
            ("approved by rubber stamp", self.rubber_stamps),
            ("found wrong after release", self.reversals),
            ("found wrong in review", self.wrong_in_review),
            ("found wrong after approval", self.wrong_after_approval),
            ("reviews that nobody did", self.unchecked),
        ]
    }

    /// The waits that are added up by `by`.
    pub fn waits_by(&self, by: By) -> impl Iterator<Item = &Wait> {
        self.waits.iter().filter(move |wait| wait.by == by)
    }
}

/// A duration for a person: three digits at most, in the largest unit of which there is one.
fn in_words(time: SignedDuration) -> String {
    let seconds = time.as_secs_f64();
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1.0, "s"));
    let value = seconds / unit;
    if value < 9.95 && value > 0.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
}
