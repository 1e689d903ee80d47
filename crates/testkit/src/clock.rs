//! Time that only moves when told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use baton_engine::Clock;

/// A clock that stands still until it is advanced. Clones show the same time.
#[derive(Clone, Debug)]
pub struct SimulatedClock(Arc<Mutex<Instant>>);

impl Default for SimulatedClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl SimulatedClock {
    /// Moves the time on.
    ///
    /// # Panics
    /// If another thread panicked while it held the clock.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().expect("the clock's lock") += by;
    }

    /// This clock, as the engine wants it.
    ///
    /// # Panics
    /// The clock does, as [`Self::advance`].
    pub fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Clock::from_fn(move || *now.lock().expect("the clock's lock"))
    }
}
