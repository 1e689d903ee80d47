//! What a twin's decisions are about, and the ground that its expert has handed over.

use std::collections::{BTreeMap, BTreeSet};

use baton_contract::{BlastRadius, ConductorId, Touch};
use jiff::civil::Date;

/// What a twin's decisions are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// The least that any decision of the twin is taken for, if the pack says so.
    pub least: Option<BlastRadius>,
    /// What its decisions may touch. One that touches anything else is outside what the pack declares.
    pub touches: BTreeSet<Touch>,
    /// Subjects with more to say about them, by their key. A decision is on a topic because the key is stated, never
    /// because a model thinks so.
    pub topics: BTreeMap<String, Topic>,
    /// The twin abstains if its most probable answer is less probable, in [0, 1].
    pub abstain_below: f64,
    /// How probable the twin has to find it that a mistake reaches so far, or is so hard to undo, for its own reading to
    /// count, in (0, 1]; `None` if it is not asked. Its reading only ever raises what others say.
    pub own_reading: Option<f64>,
    /// Within how many days an expert reviews what went ahead on an assumption.
    pub review_days: u32,
    /// For how many hours an approval is good.
    pub approval_hours: u32,
}

/// What is known about every decision on one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The least that such a decision is taken for, where it is more than the pack's own.
    pub least: Option<BlastRadius>,
    /// What such a decision touches, whatever anybody states.
    pub touches: BTreeSet<Touch>,
}

/// Ground that the expert has handed over in advance: inside it the conductor decides freely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Unique in the pack; names it in reports and in the ledger.
    pub key: String,
    /// To whom; `None` is everybody who may cue the twin.
    pub conductors: Option<BTreeSet<ConductorId>>,
    /// In which processes; `None` is all.
    pub processes: Option<BTreeSet<String>>,
    /// For which products; `None` is all.
    pub products: Option<BTreeSet<String>>,
    /// All that a decision inside it may touch.
    pub touches: BTreeSet<Touch>,
    /// The largest radius inside it, fact by fact.
    pub largest: BlastRadius,
    /// The last day on which it holds.
    pub until: Date,
    /// Why it was handed over, or what to bear in mind.
    pub note: String,
}

/// The probability below which a twin abstains unless its pack says otherwise.
pub(crate) const ABSTAIN_BELOW: f64 = 0.6;
/// Days for a review unless the pack says otherwise.
pub(crate) const REVIEW_DAYS: u32 = 14;
/// Hours that an approval is good for unless the pack says otherwise.
pub(crate) const APPROVAL_HOURS: u32 = 72;

impl Decisions {
    /// The least radius of a decision on this topic: the pack's own, or more; `None` where neither is said. A topic
    /// that the pack does not know is none.
    pub fn least(&self, topic: Option<&str>) -> Option<BlastRadius> {
        let known = [self.least, self.topic(topic).and_then(|topic| topic.least)];
        known.into_iter().flatten().reduce(BlastRadius::join)
    }

    /// What every decision on this topic touches.
    pub fn touched(&self, topic: Option<&str>) -> BTreeSet<Touch> {
        self.topic(topic).map(|topic| topic.touches.clone()).unwrap_or_default()
    }

    fn topic(&self, key: Option<&str>) -> Option<&Topic> {
        self.topics.get(key?)
    }
}

/// What a pack that says nothing about its decisions declares: no radius, and that they touch nothing.
impl Default for Decisions {
    fn default() -> Self {
        Self {
            least: None,
            touches: BTreeSet::new(),
            topics: BTreeMap::new(),
            abstain_below: ABSTAIN_BELOW,
            own_reading: None,
            review_days: REVIEW_DAYS,
            approval_hours: APPROVAL_HOURS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_contract::{Reach, Reversibility};

    #[test]
    fn a_topic_adds_and_never_takes_away() {
        let radius = |reach, reversibility| BlastRadius { reach, reversibility };
        let refund = Topic {
            least: Some(radius(Reach::Outside, Reversibility::Minutes)),
            touches: BTreeSet::from([Touch::Money]),
        };
        let tax = Topic { least: None, touches: BTreeSet::from([Touch::Money]) };
        let silent = Decisions {
            topics: BTreeMap::from([("refund".to_owned(), refund), ("tax".to_owned(), tax)]),
            ..Decisions::default()
        };
        let product = radius(Reach::Product, Reversibility::Costly);
        let decisions = Decisions { least: Some(product), ..silent.clone() };
        let rows = [
            (&decisions, None, Some(product), 0),
            (&decisions, Some("unknown"), Some(product), 0),
            (&decisions, Some("refund"), Some(radius(Reach::Outside, Reversibility::Costly)), 1),
            (&decisions, Some("tax"), Some(product), 1),
            (&silent, None, None, 0),
            (&silent, Some("tax"), None, 1),
            (&silent, Some("refund"), Some(radius(Reach::Outside, Reversibility::Minutes)), 1),
        ];
        for (decisions, topic, least, touches) in rows {
            assert_eq!((decisions.least(topic), decisions.touched(topic).len()), (least, touches), "{topic:?}");
        }
    }
}
