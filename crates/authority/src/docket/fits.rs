//! Whether an event fits the state: the one definition of what may follow what.

use baton_contract::{ConductorId, Digest, Tier};
use jiff::Timestamp;

use super::{Answered, Approval, Course, Decision, DecisionId, Docket, Event, Fired, Opened, Opening, Override, Part};
use super::{Rejected, RuleId, RuleKind, Standing};

type Fits = Result<(), Rejected>;

impl Docket {
    /// Says whether `event` may happen now. Commands ask before it is recorded, [`Docket::apply`] asks again.
    pub(super) fn fits(&self, event: &Event) -> Fits {
        match event {
            Event::Overridden(one) => self.override_fits(one),
            Event::Opened(opened) => self.opening_fits(opened),
            Event::Lowered { id, course, answer, at } => {
                let decision = self.overridable(id, *at)?;
                decision.is_held_answer(answer)?;
                decision.lowering_fits(course, *at)
            }
            Event::Shown { id, to, at } => {
                let decision = self.waiting(id, Standing::Held, *at)?;
                decision.is_not_of(to)?;
                not(decision.shown.iter().any(|(one, _)| one == to), Rejected::Shown)
            }
            Event::Approved(approval) => self.approval_fits(approval),
            Event::Refused(refused) => {
                self.get(&refused.id)?.is_not_of(&refused.by)?;
                self.waiting(&refused.id, Standing::Held, refused.at).map(drop)
            }
            Event::Withdrawn { id, by, .. } => {
                let decision = self.get(id)?;
                not(decision.opening().conductor != *by, Rejected::NotYours)?;
                decision.is_waiting()
            }
            Event::Voided { id, changed, .. } => {
                self.get(id)?.is_waiting()?;
                not(changed.is_empty(), Rejected::Unchanged)
            }
            Event::Released { id, answer, at } => self.waiting(id, Standing::Approved, *at)?.is_held_answer(answer),
            Event::Expired { id, at } => {
                let decision = self.get(id)?;
                let due = decision.due().ok_or(Rejected::Stands(decision.standing))?;
                not(*at < due, Rejected::TooEarly(due))
            }
            Event::CheckedOk { id, by, at } => self.check_fits(id, by, *at),
            Event::CheckedWrong(answered) => self.check_fits(&answered.id, &answered.by, answered.at),
            Event::Corrected(answered) => self.correction_fits(answered),
        }
    }

    /// The decision, if there is one.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, id: &DecisionId) -> Result<&Decision, Rejected> {
        self.status(id).ok_or_else(|| Rejected::Unknown(id.clone()))
    }

    /// The decision, if it stands as `standing` and its time is not over.
    fn waiting(&self, id: &DecisionId, standing: Standing, at: Timestamp) -> Result<&Decision, Rejected> {
        let decision = self.get(id)?;
        not(decision.standing != standing, Rejected::Stands(decision.standing))?;
        match decision.due() {
            Some(due) if at >= due => Err(Rejected::TooLate(due)),
            _ => Ok(decision),
        }
    }

    /// The decision, if an override can make a difference to it yet.
    fn overridable(&self, id: &DecisionId, at: Timestamp) -> Result<&Decision, Rejected> {
        let denied = self.get(id)?.standing == Standing::Denied;
        self.waiting(id, if denied { Standing::Denied } else { Standing::Held }, at)
    }

    fn opening_fits(&self, Opened { opening, course, at }: &Opened) -> Fits {
        not(self.status(&opening.id).is_some(), Rejected::Known(opening.id.clone()))?;
        is_ahead(course, *at)?;
        let overrides = self.announced(&opening.id);
        for one in overrides {
            not(one.by != opening.conductor, Rejected::NotYours)?;
            not(one.request != opening.bound.request, Rejected::OtherRequest)?;
            let invariant = opening.fired.iter().any(|f| f.rule == one.rule && f.kind == RuleKind::Invariant);
            not(invariant, Rejected::Invariant(one.rule.clone()))?;
        }
        is_strict_enough(course, opening, overrides)
    }

    fn override_fits(&self, one: &Override) -> Fits {
        let Some(decision) = self.status(&one.id) else {
            let before = self.announced(&one.id);
            not(before.iter().any(|other| other.by != one.by), Rejected::NotYours)?;
            not(before.iter().any(|other| other.request != one.request), Rejected::OtherRequest)?;
            return not(before.iter().any(|other| other.rule == one.rule), Rejected::Overridden(one.rule.clone()));
        };
        not(decision.opening().conductor != one.by, Rejected::NotYours)?;
        not(decision.opening().bound.request != one.request, Rejected::OtherRequest)?;
        self.overridable(&one.id, one.at)?;
        not(decision.fired(&one.rule, RuleKind::Invariant), Rejected::Invariant(one.rule.clone()))?;
        not(!decision.fired(&one.rule, RuleKind::Default), Rejected::NotFired(one.rule.clone()))?;
        not(decision.overrode(&one.rule), Rejected::Overridden(one.rule.clone()))?;
        not(!decision.can_be_less(), Rejected::NotByDefaults)
    }

    fn approval_fits(&self, approval: &Approval) -> Fits {
        self.get(&approval.id)?.is_not_of(&approval.by)?;
        let decision = self.waiting(&approval.id, Standing::Held, approval.at)?;
        let changed = decision.opening().bound.changed(&approval.bound);
        not(!changed.is_empty(), Rejected::Changed(changed))?;
        not(approval.expires <= approval.at, Rejected::Limit(approval.expires))
    }

    fn check_fits(&self, id: &DecisionId, by: &ConductorId, at: Timestamp) -> Fits {
        self.get(id)?.is_not_of(by)?;
        self.waiting(id, Standing::InReview, at).map(drop)
    }

    fn correction_fits(&self, answered: &Answered) -> Fits {
        let decision = self.get(&answered.id)?;
        decision.is_not_of(&answered.by)?;
        let nothing = decision.released.is_none() || decision.standing == Standing::InReview;
        not(nothing, Rejected::NothingToCorrect(decision.standing))?;
        not(decision.found_wrong().is_some(), Rejected::FoundWrong)
    }
}

impl Decision {
    /// The tier that is asked for once its overrides count; `None` while a rule denies it.
    pub fn left(&self) -> Option<Tier> {
        left(self.opening(), |rule| self.overrode(rule))
    }

    /// Whether what it waits for would end, or be less, if every default were overridden.
    pub fn can_be_less(&self) -> bool {
        let can_wait = matches!(self.standing, Standing::Held | Standing::Denied);
        can_wait && left(self.opening(), |_| true).is_some_and(|tier| tier.number() < self.course.strictness())
    }

    /// The defaults that stand against it and can be overridden yet; none where that would leave no less.
    pub fn overridable(&self) -> impl Iterator<Item = &RuleId> {
        let stands = |fired: &&Fired| {
            fired.kind == RuleKind::Default && (fired.denies || fired.asks.is_some()) && !self.overrode(&fired.rule)
        };
        let fired = self.opening().fired.iter().filter(stands).map(|fired| &fired.rule);
        fired.take(if self.can_be_less() { usize::MAX } else { 0 })
    }

    pub(super) fn is_not_of(&self, person: &ConductorId) -> Fits {
        not(self.opening().conductor == *person, Rejected::OwnRequest)
    }

    fn is_waiting(&self) -> Fits {
        not(!self.standing.is_waiting(), Rejected::Stands(self.standing))
    }

    fn is_held_answer(&self, answer: &Digest) -> Fits {
        not(self.opening().bound.answer != *answer, Rejected::Changed(vec![Part::Answer]))
    }

    fn lowering_fits(&self, course: &Course, at: Timestamp) -> Fits {
        not(course.strictness() >= self.course.strictness(), Rejected::NotLess)?;
        is_ahead(course, at)?;
        is_strict_enough(course, self.opening(), &self.overrides)?;
        not(self.overridden_since == 0, Rejected::NotOverridden)
    }
}

fn is_ahead(course: &Course, at: Timestamp) -> Fits {
    course.due().filter(|due| *due <= at).map_or(Ok(()), |due| Err(Rejected::Limit(due)))
}

/// Whether the rules that fired leave this course open, and what is asked for without them. An invariant that denies
/// leaves denial only, any other asks for a person at least; what a default asks for stands until it is overridden.
fn is_strict_enough(course: &Course, opening: &Opening, overrides: &[Override]) -> Fits {
    let (denied, tier) = (matches!(course, Course::Deny), course.tier());
    for Fired { rule, kind, denies, asks } in &opening.fired {
        match kind {
            RuleKind::Invariant if *denies => not(!denied, Rejected::Invariant(rule.clone()))?,
            RuleKind::Invariant => not(tier != Tier::CheckFirst, Rejected::Invariant(rule.clone()))?,
            RuleKind::Default if overrides.iter().any(|one| one.rule == *rule) => {}
            RuleKind::Default => {
                not(*denies && !denied, Rejected::Denies(rule.clone()))?;
                not(asks.is_some_and(|asked| tier < asked), Rejected::Asks(rule.clone()))?;
            }
        }
    }
    opening.least.filter(|least| tier < *least).map_or(Ok(()), |least| Err(Rejected::Least(least)))
}

/// The tier that is asked for, without the defaults that are put aside; `None` while a rule denies.
fn left(opening: &Opening, is_aside: impl Fn(&RuleId) -> bool) -> Option<Tier> {
    let stands = |fired: &&Fired| fired.kind == RuleKind::Invariant || !is_aside(&fired.rule);
    let mut tier = opening.least.unwrap_or(Tier::CheckFirst);
    for fired in opening.fired.iter().filter(stands) {
        if fired.denies {
            return None;
        }
        let asks = if fired.kind == RuleKind::Invariant { Some(Tier::CheckFirst) } else { fired.asks };
        tier = tier.max(asks.unwrap_or(Tier::Decide));
    }
    Some(tier)
}

fn not(problem: bool, rejected: Rejected) -> Fits {
    if problem { Err(rejected) } else { Ok(()) }
}
