//! Everything that can happen to a decision.

use baton_contract::{ConductorId, Digest};
use jiff::Timestamp;

use super::{Bound, Course, DecisionId, Opening, Part, RuleId, Words};

/// Something that happened to a decision. It is recorded before it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A default was overridden, for one request.
    Overridden(Box<Override>),
    /// The tier is known, and the decision takes its course.
    Opened(Box<Opened>),
    /// An override while it was held or denied has left less against it.
    Lowered {
        /// Which decision.
        id: DecisionId,
        /// What is done with it instead; less strict than before.
        course: Box<Course>,
        /// The digest of the answer, which is released thereby unless it is held now.
        answer: Digest,
        /// When.
        at: Timestamp,
    },
    /// A held decision was shown to somebody who may approve it, for the first time.
    Shown {
        /// Which decision.
        id: DecisionId,
        /// To whom.
        to: ConductorId,
        /// When.
        at: Timestamp,
    },
    /// It may be released.
    Approved(Box<Approval>),
    /// It may not be released.
    Refused(Answered),
    /// Who asked does not want it any more.
    Withdrawn {
        /// Which decision.
        id: DecisionId,
        /// Who asked.
        by: ConductorId,
        /// When.
        at: Timestamp,
    },
    /// A digest is not what it was when the decision was held.
    Voided {
        /// Which decision.
        id: DecisionId,
        /// What has changed; never empty.
        changed: Vec<Part>,
        /// When that was found.
        at: Timestamp,
    },
    /// What was held and approved was given out.
    Released {
        /// Which decision.
        id: DecisionId,
        /// The digest of what was given out.
        answer: Digest,
        /// When.
        at: Timestamp,
    },
    /// The time for its review, its holding or its approval is over.
    Expired {
        /// Which decision.
        id: DecisionId,
        /// When that was found; not before the time was over.
        at: Timestamp,
    },
    /// An expert found it right.
    CheckedOk {
        /// Which decision.
        id: DecisionId,
        /// The expert.
        by: ConductorId,
        /// When.
        at: Timestamp,
    },
    /// An expert found it wrong; the words are the fix.
    CheckedWrong(Answered),
    /// Outside any review, an expert found wrong what had been released; the words are the fix.
    Corrected(Answered),
}

/// A decision that takes its course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The decision.
    pub opening: Opening,
    /// What its tier does with it.
    pub course: Course,
    /// When.
    pub at: Timestamp,
}

/// One default put aside, for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The decision that the request asks for; it need not be known yet.
    pub id: DecisionId,
    /// The request.
    pub request: Digest,
    /// The default.
    pub rule: RuleId,
    /// Who overrides it: who asks.
    pub by: ConductorId,
    /// Why.
    pub reason: Words,
    /// When.
    pub at: Timestamp,
}

/// An approval, valid once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The decision.
    pub id: DecisionId,
    /// Who approved it: not who asked.
    pub by: ConductorId,
    /// What it counts for.
    pub bound: Bound,
    /// When it counts no more.
    pub expires: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// What somebody said about a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The decision.
    pub id: DecisionId,
    /// Who: not who asked.
    pub by: ConductorId,
    /// The reason of a refusal, or the fix of a wrong answer.
    pub words: Words,
    /// When.
    pub at: Timestamp,
}

impl Event {
    /// The decision it happened to.
    pub fn id(&self) -> &DecisionId {
        match self {
            Self::Overridden(one) => &one.id,
            Self::Opened(one) => &one.opening.id,
            Self::Approved(one) => &one.id,
            Self::Refused(one) | Self::CheckedWrong(one) | Self::Corrected(one) => &one.id,
            Self::Lowered { id, .. }
            | Self::Shown { id, .. }
            | Self::Withdrawn { id, .. }
            | Self::Voided { id, .. }
            | Self::Released { id, .. }
            | Self::Expired { id, .. }
            | Self::CheckedOk { id, .. } => id,
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Overridden(one) => one.at,
            Self::Opened(one) => one.at,
            Self::Approved(one) => one.at,
            Self::Refused(one) | Self::CheckedWrong(one) | Self::Corrected(one) => one.at,
            Self::Lowered { at, .. }
            | Self::Shown { at, .. }
            | Self::Withdrawn { at, .. }
            | Self::Voided { at, .. }
            | Self::Released { at, .. }
            | Self::Expired { at, .. }
            | Self::CheckedOk { at, .. } => *at,
        }
    }

    /// What happened, in one word as the ledger has it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Overridden(_) => "overridden",
            Self::Opened(_) => "opened",
            Self::Lowered { .. } => "lowered",
            Self::Shown { .. } => "shown",
            Self::Approved(_) => "approved",
            Self::Refused(_) => "refused",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Voided { .. } => "voided",
            Self::Released { .. } => "released",
            Self::Expired { .. } => "expired",
            Self::CheckedOk { .. } => "checked-ok",
            Self::CheckedWrong(_) => "checked-wrong",
            Self::Corrected(_) => "corrected",
        }
    }
}
