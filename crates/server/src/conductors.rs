//! How many answers each conductor has in progress, and how many tokens they may come to; by the same way, how many decisions
//! each waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_contract::ConductorId;

/// Counts answers in progress; conductors without any take no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conductors(Arc<Mutex<HashMap<ConductorId, InProgress>>>);

#[derive(Clone, Copy, Debug, Default)]
struct InProgress {
    answers: u32,
    tokens: u64,
}

/// Places among a conductor's answers in progress, given back by drop.
#[derive(Debug)]
pub(crate) struct Slot {
    conductors: Conductors,
    conductor: ConductorId,
    taken: InProgress,
}

impl Conductors {
    /// Takes `places` if `decide` agrees, given how many the conductor has; nobody gets between the two.
    ///
    /// # Errors
    /// Whatever `decide` says.
    pub(crate) fn take<T, E>(
        &self,
        conductor: &ConductorId,
        places: u32,
        decide: impl FnOnce(u32) -> Result<T, E>,
    ) -> Result<(T, Slot), E> {
        let mut counts = self.counts();
        let decided = decide(counts.get(conductor).map_or(0, |count| count.answers))?;
        counts.entry(conductor.clone()).or_default().answers += places;
        let taken = InProgress { answers: places, tokens: 0 };
        Ok((decided, Slot { conductors: self.clone(), conductor: conductor.clone(), taken }))
    }

    /// How many answers a conductor has in progress.
    pub(crate) fn in_progress(&self, conductor: &ConductorId) -> u32 {
        self.counts().get(conductor).map_or(0, |count| count.answers)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ConductorId, InProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Takes `tokens` too, if `decide` agrees, given how many the conductor has; nobody gets between the two.
    ///
    /// # Errors
    /// Whatever `decide` says.
    pub(crate) fn take_tokens<E>(&mut self, tokens: u64, decide: impl FnOnce(u64) -> Result<(), E>) -> Result<(), E> {
        let mut counts = self.conductors.counts();
        let count = counts.entry(self.conductor.clone()).or_default();
        decide(count.tokens)?;
        count.tokens += tokens;
        self.taken.tokens += tokens;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.conductors.counts();
        if let Some(count) = counts.get_mut(&self.conductor) {
            count.answers = count.answers.saturating_sub(self.taken.answers);
            count.tokens = count.tokens.saturating_sub(self.taken.tokens);
            if count.answers == 0 {
                counts.remove(&self.conductor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_their_places() {
        let conductors = Conductors::default();
        let ada = "ada".parse().unwrap();
        let seen = |slot: &mut Slot, tokens| {
            let mut before = None;
            let taken = slot.take_tokens(tokens, |in_flight| {
                before = Some(in_flight);
                if tokens > 9 { Err(()) } else { Ok(()) }
            });
            (taken, before)
        };
        let take = || conductors.take(&ada, 1, |_| Ok::<_, ()>(())).unwrap().1;
        let (mut first, mut second) = (take(), take());
        assert_eq!(seen(&mut first, 5), (Ok(()), Some(0)));
        assert_eq!(seen(&mut second, 10), (Err(()), Some(5)));
        assert_eq!(seen(&mut second, 3), (Ok(()), Some(5)));
        drop(first);
        assert_eq!(seen(&mut second, 1), (Ok(()), Some(3)));
        drop(second);
        assert!(conductors.counts().is_empty());
    }

    #[test]
    fn places_come_back_by_drop() {
        let conductors = Conductors::default();
        let (ada, bob) = ("ada".parse().unwrap(), "bob".parse().unwrap());
        let take = |who, places| conductors.take(who, places, Ok::<u32, ()>).unwrap();
        let first = take(&ada, 2);
        let second = take(&ada, 3);
        assert_eq!((first.0, second.0, take(&ada, 1).0, take(&bob, 1).0), (0, 2, 5, 0));
        assert_eq!(conductors.take(&ada, 9, |_| Err::<(), _>("no")).unwrap_err(), "no");
        drop(first);
        assert_eq!(take(&ada, 1).0, 3);
        drop(second);
        assert!(conductors.counts().is_empty());
    }
}
