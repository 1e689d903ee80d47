//! A decision with all that has happened to it.

use std::fmt;

use baton_contract::{ConductorId, Tier};
use jiff::{SignedDuration, Timestamp};

use super::{Answered, Approval, Course, DecisionId, Opened, Opening, Override, Part, RuleId, RuleKind};

/// Where a decision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It was released, and nothing more is expected.
    Released,
    /// It was released on its assumption and waits for an expert's check.
    InReview,
    /// An expert found it right.
    CheckedOk,
    /// An expert found it wrong.
    CheckedWrong,
    /// Nobody checked it in time.
    ExpiredUnchecked,
    /// It waits for an approval.
    Held,
    /// It is approved and about to be released.
    Approved,
    /// It was refused.
    Refused,
    /// Who asked has withdrawn it.
    Withdrawn,
    /// A digest changed before it was released.
    Voided,
    /// Its time was over before it was released.
    Expired,
    /// A rule denies it.
    Denied,
}

/// A decision with all that has happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    opened: Opened,
    pub(super) course: Course,
    pub(super) standing: Standing,
    pub(super) since: Timestamp,
    pub(super) held: Option<Timestamp>,
    pub(super) released: Option<Timestamp>,
    pub(super) overrides: Vec<Override>,
    /// How many of them were made since it took its course.
    pub(super) overridden_since: usize,
    pub(super) shown: Vec<(ConductorId, Timestamp)>,
    pub(super) approval: Option<Approval>,
    pub(super) checked_by: Option<ConductorId>,
    pub(super) answered: Option<Answered>,
    pub(super) changed: Vec<Part>,
    pub(super) correction: Option<Answered>,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Released,
        Self::InReview,
        Self::CheckedOk,
        Self::CheckedWrong,
        Self::ExpiredUnchecked,
        Self::Held,
        Self::Approved,
        Self::Refused,
        Self::Withdrawn,
        Self::Voided,
        Self::Expired,
        Self::Denied,
    ];

    /// The word that a client sees.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::InReview => "in-review",
            Self::CheckedOk => "checked-ok",
            Self::CheckedWrong => "checked-wrong",
            Self::ExpiredUnchecked => "expired-unchecked",
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Denied => "denied",
        }
    }

    /// The standing of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }

    /// Whether something has to happen yet.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::InReview | Self::Held | Self::Approved)
    }

    /// Whether who asked is kept waiting.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Held | Self::Approved)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Decision {
    pub(super) fn new(opened: Opened, overrides: Vec<Override>) -> Self {
        let mut decision = Self {
            course: opened.course.clone(),
            standing: Standing::Held,
            since: opened.at,
            held: None,
            released: None,
            overrides,
            overridden_since: 0,
            shown: Vec::new(),
            approval: None,
            checked_by: None,
            answered: None,
            changed: Vec::new(),
            correction: None,
            opened,
        };
        decision.take_course(decision.course.clone(), decision.since);
        decision
    }

    /// Follows `course` from `at` on.
    pub(super) fn take_course(&mut self, course: Course, at: Timestamp) {
        (self.standing, self.released, self.held) = match course {
            Course::Release => (Standing::Released, Some(at), self.held),
            Course::Assume { .. } => (Standing::InReview, Some(at), self.held),
            Course::Hold { .. } => (Standing::Held, None, Some(at)),
            Course::Deny => (Standing::Denied, None, None),
        };
        (self.course, self.since, self.overridden_since) = (course, at, 0);
    }

    /// Its name.
    pub fn id(&self) -> &DecisionId {
        &self.opened.opening.id
    }

    /// What was known when its tier was known.
    pub fn opening(&self) -> &Opening {
        &self.opened.opening
    }

    /// When its tier was known.
    pub fn opened_at(&self) -> Timestamp {
        self.opened.at
    }

    /// What is done with it, after any override.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// Its tier, after any override.
    pub fn tier(&self) -> Tier {
        self.course.tier()
    }

    /// Whether it was ever held.
    pub fn was_held(&self) -> bool {
        self.held.is_some()
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Since when it stands there.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// When it was released, if it was.
    pub fn released(&self) -> Option<Timestamp> {
        self.released
    }

    /// When it expires where it stands, if it does.
    pub fn due(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Held | Standing::InReview => self.course.due(),
            Standing::Approved => self.approval.as_ref().map(|approval| approval.expires),
            _ => None,
        }
    }

    /// The defaults that were overridden for it.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// Whether `rule` was overridden for it.
    pub fn overrode(&self, rule: &RuleId) -> bool {
        self.overrides.iter().any(|one| one.rule == *rule)
    }

    /// Whether `rule` fired as a rule of this kind.
    pub fn fired(&self, rule: &RuleId, kind: RuleKind) -> bool {
        self.opening().fired.iter().any(|fired| fired.rule == *rule && fired.kind == kind)
    }

    /// To whom it was shown while it was held, and when first.
    pub fn shown(&self) -> &[(ConductorId, Timestamp)] {
        &self.shown
    }

    /// Its approval, also if that was not used.
    pub fn approval(&self) -> Option<&Approval> {
        self.approval.as_ref()
    }

    /// How long the approver had it before approving it: since it was shown to them, or else since it was held.
    pub fn looked_at(&self) -> Option<SignedDuration> {
        let approval = self.approval.as_ref()?;
        let shown = self.shown.iter().find(|(to, _)| *to == approval.by).map(|(_, at)| *at);
        Some(approval.at.duration_since(shown.or(self.held)?).max(SignedDuration::ZERO))
    }

    /// Who checked it in its review, if somebody did.
    pub fn checked_by(&self) -> Option<&ConductorId> {
        self.checked_by.as_ref()
    }

    /// The refusal with its reason.
    pub fn refusal(&self) -> Option<&Answered> {
        self.answered.as_ref().filter(|_| self.standing == Standing::Refused)
    }

    /// What was found wrong after it was released, with the fix: in its review, or outside it.
    pub fn found_wrong(&self) -> Option<&Answered> {
        self.answered.as_ref().filter(|_| self.standing == Standing::CheckedWrong).or(self.correction.as_ref())
    }

    /// What had changed when it was voided; otherwise empty.
    pub fn changed(&self) -> &[Part] {
        &self.changed
    }

    /// How long who asked was kept waiting for people until `now`; nothing where it was never held.
    pub fn waited(&self, now: Timestamp) -> Option<SignedDuration> {
        let until = self.released.unwrap_or(if self.standing.is_waiting() { now } else { self.since });
        // A wall clock can be set back; nobody waits for less than no time.
        self.held.map(|held| until.duration_since(held).max(SignedDuration::ZERO))
    }
}
