//! Docket and ledger together.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_authority::docket::line::{Ruling, Rulings};
use baton_authority::docket::{DecisionId, Docket, Event, Rejected};
use baton_ledger::{Erased, Erasure, Ledger, NewEntry, Reader, Receipt, Retention};
use jiff::Timestamp;

use crate::kinds::OF_DOCKET;
use crate::rulings::entry_of_ruling;
use crate::{Error, entry_of, event_of, rulings_of};

/// The docket, kept in the ledger. Calls block on the disk; events become durable one by one.
pub struct Register {
    ledger: Ledger,
    /// Locked from an event's check to its application, around the append.
    docket: Mutex<Docket>,
    /// Locked from a ruling's check to its application; before the docket where both are.
    rulings: Mutex<Rulings>,
    /// Told of each decision to which something has happened.
    told: Box<dyn Fn(&DecisionId) + Send + Sync>,
}

/// The docket as a ledger has it, for reports beside a running server. Blocks on the disk.
///
/// # Errors
/// The ledger cannot be read, has a row that is not one of this version, or its events do not fit together.
pub fn docket_of(reader: &Reader) -> Result<Docket, Error> {
    let mut docket = Docket::default();
    let broken = reader.scan(0, true, |record| {
        if !OF_DOCKET.contains(&record.kind.as_str()) {
            return ControlFlow::Continue(());
        }
        let applied = event_of(&record).and_then(|event| Ok(docket.apply(&event)?));
        applied.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    })?;
    broken.map_or(Ok(docket), Err)
}

impl Register {
    /// Rebuilds the docket from the ledger. `told` hears of every decision that something happens to from now on; it
    /// must not wait.
    ///
    /// # Errors
    /// The ledger cannot be read, has a row that is not one of this version, or its events do not fit together.
    pub fn open(ledger: Ledger, told: impl Fn(&DecisionId) + Send + Sync + 'static) -> Result<Self, Error> {
        let reader = ledger.reader()?;
        let (docket, rulings) = (docket_of(&reader)?, rulings_of(&reader)?);
        drop(reader);
        Ok(Self { ledger, docket: Mutex::new(docket), rulings: Mutex::new(rulings), told: Box::new(told) })
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Looks at the docket.
    pub fn look<T>(&self, look: impl FnOnce(&Docket) -> T) -> T {
        look(&self.docket())
    }

    /// Appends a row that is no event.
    ///
    /// # Errors
    /// The ledger cannot be written; the row does not count.
    pub fn append(&self, entry: NewEntry) -> Result<Receipt, Error> {
        Ok(self.ledger.append(entry).wait()?)
    }

    /// Lets something happen to a decision: `command` checks it against the docket, it is written, and then it counts.
    ///
    /// # Errors
    /// The docket rejects it, or the ledger cannot be written; nothing has changed then.
    pub fn act(&self, command: impl FnOnce(&Docket) -> Result<Event, Rejected>) -> Result<Event, Error> {
        let mut docket = self.docket();
        let event = command(&docket)?;
        self.commit(&mut docket, &event)?;
        drop(docket);
        (self.told)(event.id());
        Ok(event)
    }

    /// As [`Register::act`], where there may be nothing to do.
    ///
    /// # Errors
    /// As [`Register::act`].
    pub fn act_if(
        &self,
        command: impl FnOnce(&Docket) -> Result<Option<Event>, Rejected>,
    ) -> Result<Option<Event>, Error> {
        let mut docket = self.docket();
        let Some(event) = command(&docket)? else { return Ok(None) };
        self.commit(&mut docket, &event)?;
        drop(docket);
        (self.told)(event.id());
        Ok(Some(event))
    }

    /// Lets one thing happen after the other, and nothing between them: what `first` gives, then what `then` gives with
    /// that applied. `told` hears of the decision once.
    ///
    /// # Errors
    /// As [`Register::act`]. What was written before the error counts.
    pub fn act_in_turn(
        &self,
        first: impl FnOnce(&Docket) -> Result<Option<Event>, Rejected>,
        then: impl FnOnce(&Docket) -> Result<Option<Event>, Rejected>,
    ) -> Result<(), Error> {
        let mut docket = self.docket();
        let mut last = first(&docket)?;
        if let Some(event) = &last {
            self.commit(&mut docket, event)?;
        }
        if let Some(event) = then(&docket)? {
            self.commit(&mut docket, &event)?;
            last = Some(event);
        }
        drop(docket);
        if let Some(event) = last {
            (self.told)(event.id());
        }
        Ok(())
    }

    /// Looks at what architects said to proposals.
    pub fn rulings<T>(&self, look: impl FnOnce(&Rulings) -> T) -> T {
        look(&self.rulings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets an architect's answer to a proposal count: `command` checks it, it is written, and then it counts.
    ///
    /// # Errors
    /// What `command` says, or that the ledger cannot be written; nothing has changed then.
    pub fn rule<E: From<Error>>(
        &self,
        command: impl FnOnce(&Docket, &Rulings) -> Result<Ruling, E>,
    ) -> Result<Ruling, E> {
        let mut rulings = self.rulings.lock().unwrap_or_else(PoisonError::into_inner);
        let ruling = command(&self.docket(), &rulings)?;
        let entry = entry_of_ruling(&ruling).map_err(Error::from)?;
        self.append(entry)?;
        rulings.apply(&ruling);
        Ok(ruling)
    }

    /// Ends whatever time limit is over at `now`, and says how many those were.
    ///
    /// # Errors
    /// The ledger cannot be written; those that were not ended are found again by the next call.
    pub fn expire(&self, now: Timestamp) -> Result<usize, Error> {
        let mut docket = self.docket();
        let events = docket.expire(now);
        for event in &events {
            self.commit(&mut docket, event)?;
            (self.told)(event.id());
        }
        Ok(events.len())
    }

    /// Erases texts for a reason; what the docket remembers of them is forgotten.
    ///
    /// # Errors
    /// There is nothing to erase, or the ledger cannot be written. If the docket could not be rebuilt it stays as it was,
    /// and the next start rebuilds it.
    pub fn erase(&self, erasure: Erasure) -> Result<Erased, Error> {
        // Nothing happens to a decision between the erasure and what is rebuilt.
        let mut docket = self.docket();
        let erased = self.ledger.erase(erasure).wait()?;
        *docket = docket_of(&self.ledger.reader()?)?;
        Ok(erased)
    }

    /// Erases all texts that are older than the retention keeps them, in the name of `actor`, and says how many.
    ///
    /// # Errors
    /// As [`Register::erase`]; what was erased before stays so.
    pub fn sweep(&self, now: Timestamp, retention: Retention, actor: &str) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            // Some thousands at a time, so that others can write in between.
            let texts = self.ledger.sweep(now, retention, actor).wait()?.texts;
            all += texts;
            if texts == 0 {
                break;
            }
        }
        if all > 0 {
            let mut docket = self.docket();
            *docket = docket_of(&self.ledger.reader()?)?;
        }
        Ok(all)
    }

    fn commit(&self, docket: &mut Docket, event: &Event) -> Result<(), Error> {
        let entry = entry_of(event, docket.status(event.id()))?;
        self.ledger.append(entry).wait()?;
        Ok(docket.apply(event)?)
    }

    fn docket(&self) -> MutexGuard<'_, Docket> {
        // Events are applied whole or not at all, so a panic leaves the docket as it was.
        self.docket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Register {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Register({:?}, ..)", self.ledger)
    }
}
