//! The bound on requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Permits for requests in flight.
#[derive(Debug)]
pub(crate) struct Permits {
    taken: AtomicUsize,
    capacity: usize,
}

/// The right to be in flight, given back by drop.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Permits>);

impl Permits {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), capacity })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Takes `count` permits, or none and says how many are missing.
    pub(crate) fn take(self: &Arc<Self>, count: usize) -> Result<Vec<Permit>, usize> {
        let fits = |taken: usize| Some(taken + count).filter(|sum| *sum <= self.capacity);
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok((0..count).map(|_| Permit(Arc::clone(self))).collect()),
            Err(taken) => Err(taken + count - self.capacity),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing_and_back_by_drop() {
        let permits = Permits::new(3);
        let two = permits.take(2).unwrap();
        assert_eq!(permits.take(3).unwrap_err(), 2);
        assert_eq!(permits.taken(), 2);
        let one = permits.take(1).unwrap();
        assert_eq!(permits.take(1).unwrap_err(), 1);
        drop((two, one));
        assert_eq!(permits.taken(), 0);
    }
}
