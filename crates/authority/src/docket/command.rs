//! Commands: each checks, changes nothing, and gives the event to record.

use std::collections::BTreeSet;

use baton_contract::{ConductorId, Digest, TwinId};
use jiff::Timestamp;

use super::{Answered, Approval, Bound, Course, Decision, DecisionId, Docket, Event, Opened, Opening, Override};
use super::{Rejected, Standing, Words, WordsError};

/// Somebody who answers for twins: approves what is held, and checks what was assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expert {
    /// Who it is, however many keys they have.
    pub id: ConductorId,
    /// The twins that they answer for.
    pub twins: BTreeSet<TwinId>,
}

/// The wish to approve a held decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approve<'a> {
    /// Which decision.
    pub id: &'a DecisionId,
    /// Who approves.
    pub expert: &'a Expert,
    /// The digest of the answer that they looked at.
    pub seen: Digest,
    /// The digests as they are now: of the request and the answer as the ledger has them, of what is loaded.
    pub current: &'a Bound,
    /// When the approval counts no more.
    pub expires: Timestamp,
}

/// What an expert found in a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Ok,
    /// It is wrong; the words are the fix.
    Wrong(Words),
}

type Checked = Result<Event, Rejected>;

impl Expert {
    /// Whether they may answer for `decision`: its twin is theirs, and they did not ask.
    ///
    /// # Errors
    /// Says which of the two is against it.
    pub fn may_answer(&self, decision: &Decision) -> Result<(), Rejected> {
        decision.is_not_of(&self.id)?;
        let twin = &decision.opening().twin;
        if self.twins.contains(twin) { Ok(()) } else { Err(Rejected::NotYourTwin(twin.clone())) }
    }
}

impl Docket {
    /// Puts a default aside for one request: before its decision is opened, or while that default holds or denies it.
    ///
    /// Whether a rule that has not fired yet may be overridden at all is for the evaluation to say; an invariant that
    /// was, keeps the decision from being opened.
    ///
    /// # Errors
    /// The request is somebody else's, the rule is an invariant or did not fire, it was overridden before, no override
    /// would leave less against the decision, no reason is given, or it is too late.
    pub fn override_default(&self, wish: Override) -> Checked {
        said(&wish.reason)?;
        self.checked(Event::Overridden(Box::new(wish)))
    }

    /// Lets a decision take the course that its tier asks for.
    ///
    /// # Errors
    /// The id was used before, a time limit is not in the future, a rule that fired asks for a stricter course, or an
    /// override that was announced for it is somebody else's, for another request, or of an invariant.
    pub fn open_decision(&self, opening: Opening, course: Course, at: Timestamp) -> Checked {
        if let Course::Assume { assumption, .. } = &course {
            said(assumption)?;
        }
        self.checked(Event::Opened(Box::new(Opened { opening, course, at })))
    }

    /// Lets a held or denied decision take the course that is left after its overrides. If a digest has changed, what was
    /// held is voided, and what was denied stays so.
    ///
    /// # Errors
    /// It is neither, nothing was overridden since, a rule is against the new course, or it is too late.
    pub fn lower(&self, id: &DecisionId, course: Course, current: &Bound, at: Timestamp) -> Checked {
        let decision = self.get(id)?;
        let bound = &decision.opening().bound;
        let lowered = Event::Lowered { id: id.clone(), course: Box::new(course), answer: bound.answer, at };
        let lowered = self.checked(lowered)?;
        match bound.changed(current) {
            changed if changed.is_empty() => Ok(lowered),
            changed if decision.standing() == Standing::Denied => Err(Rejected::Changed(changed)),
            changed => self.checked(Event::Voided { id: id.clone(), changed, at }),
        }
    }

    /// Notes that somebody who may approve a held decision was shown it; nothing if they were before.
    ///
    /// # Errors
    /// They may not approve it, or it does not wait for that.
    pub fn show(&self, id: &DecisionId, expert: &Expert, at: Timestamp) -> Result<Option<Event>, Rejected> {
        expert.may_answer(self.get(id)?)?;
        match self.checked(Event::Shown { id: id.clone(), to: expert.id.clone(), at }) {
            Err(Rejected::Shown) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Approves what is held, once. A changed digest voids it instead.
    ///
    /// # Errors
    /// The expert may not, looked at another answer, or it does not wait for an approval any more.
    pub fn approve(&self, wish: &Approve<'_>, at: Timestamp) -> Checked {
        let decision = self.get(wish.id)?;
        wish.expert.may_answer(decision)?;
        let bound = decision.opening().bound.clone();
        let (id, by) = (wish.id.clone(), wish.expert.id.clone());
        let other_answer = bound.answer != wish.seen;
        let approval = Approval { id, by, bound, expires: wish.expires, at };
        let approved = self.checked(Event::Approved(Box::new(approval)))?;
        if let Some(voided) = self.voided(wish.id, wish.current, at)? {
            return Ok(voided);
        }
        if other_answer { Err(Rejected::SawAnother) } else { Ok(approved) }
    }

    /// Releases what was held and approved, once. A changed digest voids it instead.
    ///
    /// `current.answer` is the digest of the very text that is about to be given out.
    ///
    /// # Errors
    /// It is not approved, or the approval has expired.
    pub fn release(&self, id: &DecisionId, current: &Bound, at: Timestamp) -> Checked {
        let answer = self.get(id)?.opening().bound.answer;
        let released = self.checked(Event::Released { id: id.clone(), answer, at })?;
        Ok(self.voided(id, current, at)?.unwrap_or(released))
    }

    /// Voids a decision that waits if a digest has changed, for example after a pack went live; else nothing.
    ///
    /// # Errors
    /// It does not wait to be approved or released.
    pub fn recheck(&self, id: &DecisionId, current: &Bound, at: Timestamp) -> Result<Option<Event>, Rejected> {
        let decision = self.get(id)?;
        if !decision.standing().is_waiting() {
            return Err(Rejected::Stands(decision.standing()));
        }
        self.voided(id, current, at)
    }

    /// Refuses what is held, with a reason.
    ///
    /// # Errors
    /// The expert may not, no reason is given, or it does not wait for an approval any more.
    pub fn refuse(&self, id: &DecisionId, expert: &Expert, reason: Words, at: Timestamp) -> Checked {
        expert.may_answer(self.get(id)?)?;
        said(&reason)?;
        self.checked(Event::Refused(Answered { id: id.clone(), by: expert.id.clone(), words: reason, at }))
    }

    /// Withdraws what is not released yet.
    ///
    /// # Errors
    /// Somebody else asked for it, or it does not wait any more.
    pub fn withdraw(&self, id: &DecisionId, by: &ConductorId, at: Timestamp) -> Checked {
        self.checked(Event::Withdrawn { id: id.clone(), by: by.clone(), at })
    }

    /// Ends the review of what was released on an assumption.
    ///
    /// # Errors
    /// The expert may not, no fix is given for a wrong one, or it is not in review any more.
    pub fn review(&self, id: &DecisionId, expert: &Expert, verdict: Verdict, at: Timestamp) -> Checked {
        expert.may_answer(self.get(id)?)?;
        let (id, by) = (id.clone(), expert.id.clone());
        self.checked(match verdict {
            Verdict::Ok => Event::CheckedOk { id, by, at },
            Verdict::Wrong(fix) => {
                said(&fix)?;
                Event::CheckedWrong(Answered { id, by, words: fix, at })
            }
        })
    }

    /// Notes that a released decision was wrong, outside its review; it stays released.
    ///
    /// # Errors
    /// The expert may not, no fix is given, it was never released, it is in review, or it was found wrong before.
    pub fn correct(&self, id: &DecisionId, expert: &Expert, fix: Words, at: Timestamp) -> Checked {
        expert.may_answer(self.get(id)?)?;
        said(&fix)?;
        self.checked(Event::Corrected(Answered { id: id.clone(), by: expert.id.clone(), words: fix, at }))
    }

    fn checked(&self, event: Event) -> Checked {
        self.fits(&event).map(|()| event)
    }

    fn voided(&self, id: &DecisionId, current: &Bound, at: Timestamp) -> Result<Option<Event>, Rejected> {
        let changed = self.get(id)?.opening().bound.changed(current);
        let event = Event::Voided { id: id.clone(), changed, at };
        match self.checked(event) {
            Err(Rejected::Unchanged) => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Only a record read back may lack a text.
fn said(words: &Words) -> Result<(), WordsError> {
    words.text().map(drop).ok_or(WordsError::Blank)
}
