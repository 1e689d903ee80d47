//! The docket's state, and how an event changes it.

use std::collections::{BTreeMap, BTreeSet};

use baton_contract::ConductorId;
use jiff::Timestamp;

use super::{Decision, DecisionId, Event, Misfit, Override, Standing};

/// Every decision whose tier is known, with all that has happened to it. See the [module](super) for its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Docket {
    decisions: BTreeMap<DecisionId, Decision>,
    /// Those to which something has to happen yet; so that nothing walks over all of them often.
    open: BTreeSet<DecisionId>,
    by_conductor: BTreeMap<ConductorId, BTreeSet<DecisionId>>,
    /// Overrides whose decision is not opened yet.
    announced: BTreeMap<DecisionId, Vec<Override>>,
}

impl Docket {
    /// The state after `events`, in the order in which they were recorded.
    ///
    /// # Errors
    /// Names the first event that does not fit those before it.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Misfit> {
        let mut docket = Self::default();
        events.into_iter().try_for_each(|event| docket.apply(event))?;
        Ok(docket)
    }

    /// Lets a recorded event count. One that was checked against this same state always fits.
    ///
    /// # Errors
    /// The event does not fit, and nothing changes: the ledger is damaged, a newer build wrote it, or the lock was not
    /// held from check to apply.
    pub fn apply(&mut self, event: &Event) -> Result<(), Misfit> {
        let id = event.id();
        let misfit = |cause| Misfit { id: id.clone(), event: event.word(), at: event.at(), cause };
        self.fits(event).map_err(misfit)?;
        match event {
            Event::Overridden(one) if !self.decisions.contains_key(id) => {
                self.announced.entry(id.clone()).or_default().push((**one).clone());
            }
            Event::Opened(opened) => {
                let overrides = self.announced.remove(id).unwrap_or_default();
                self.by_conductor.entry(opened.opening.conductor.clone()).or_default().insert(id.clone());
                self.decisions.insert(id.clone(), Decision::new((**opened).clone(), overrides));
            }
            other => {
                if let Some(decision) = self.decisions.get_mut(id) {
                    decision.take(other);
                }
            }
        }
        let open = self.decisions.get(id).is_some_and(|decision| decision.standing.is_open());
        if open {
            self.open.insert(id.clone())
        } else {
            self.open.remove(id)
        };
        Ok(())
    }

    /// The decision with all that has happened to it, if there is one.
    pub fn status(&self, id: &DecisionId) -> Option<&Decision> {
        self.decisions.get(id)
    }

    /// All decisions, by id.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.values()
    }

    /// Lets go of what ended before `before`, and of overrides whose decision never came; the ledger keeps them. The
    /// caller never uses their ids again. Gives how many decisions those were.
    pub fn forget(&mut self, before: Timestamp) -> usize {
        let all = self.decisions.len();
        self.decisions.retain(|_, decision| decision.standing.is_open() || decision.since >= before);
        self.by_conductor.retain(|_, ids| {
            ids.retain(|id| self.decisions.contains_key(id));
            !ids.is_empty()
        });
        self.announced.retain(|_, overrides| overrides.iter().any(|one| one.at >= before));
        all - self.decisions.len()
    }

    pub(super) fn announced(&self, id: &DecisionId) -> &[Override] {
        self.announced.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Decision> {
        self.open.iter().filter_map(|id| self.decisions.get(id))
    }

    pub(super) fn ids_of(&self, conductor: &ConductorId) -> impl Iterator<Item = &DecisionId> {
        self.by_conductor.get(conductor).into_iter().flatten()
    }
}

impl Decision {
    /// Takes an event that fits.
    fn take(&mut self, event: &Event) {
        let standing = match event {
            Event::Lowered { course, at, .. } => return self.take_course((**course).clone(), *at),
            Event::Overridden(one) => {
                self.overridden_since += 1;
                return self.overrides.push((**one).clone());
            }
            Event::Shown { to, at, .. } => return self.shown.push((to.clone(), *at)),
            Event::Corrected(answered) => return self.correction = Some(answered.clone()),
            // The state makes those.
            Event::Opened(_) => return,
            Event::Approved(approval) => {
                self.approval = Some((**approval).clone());
                Standing::Approved
            }
            Event::Refused(answered) => {
                self.answered = Some(answered.clone());
                Standing::Refused
            }
            Event::CheckedWrong(answered) => {
                self.checked_by = Some(answered.by.clone());
                self.answered = Some(answered.clone());
                Standing::CheckedWrong
            }
            Event::CheckedOk { by, .. } => {
                self.checked_by = Some(by.clone());
                Standing::CheckedOk
            }
            Event::Voided { changed, .. } => {
                self.changed.clone_from(changed);
                Standing::Voided
            }
            Event::Released { at, .. } => {
                self.released = Some(*at);
                Standing::Released
            }
            Event::Withdrawn { .. } => Standing::Withdrawn,
            Event::Expired { .. } if self.standing == Standing::InReview => Standing::ExpiredUnchecked,
            Event::Expired { .. } => Standing::Expired,
        };
        (self.standing, self.since) = (standing, event.at());
    }
}
