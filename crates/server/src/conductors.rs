//! How many answers each conductor has in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_contract::ConductorId;

/// Counts answers in progress; conductors without any take no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conductors(Arc<Mutex<HashMap<ConductorId, u32>>>);

/// Places among a conductor's answers in progress, given back by drop.
#[derive(Debug)]
pub(crate) struct Slot {
    conductors: Conductors,
    conductor: ConductorId,
    places: u32,
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
        let decided = decide(counts.get(conductor).copied().unwrap_or(0))?;
        *counts.entry(conductor.clone()).or_default() += places;
        Ok((decided, Slot { conductors: self.clone(), conductor: conductor.clone(), places }))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ConductorId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.conductors.counts();
        if let Some(count) = counts.get_mut(&self.conductor) {
            *count = count.saturating_sub(self.places);
            if *count == 0 {
                counts.remove(&self.conductor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
