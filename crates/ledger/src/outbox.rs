//! Entries that nobody waits for: they are taken at once and written soon, and none is lost while the process lives.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{Error, Ledger, NewEntry};

/// The most entries that are handed to the ledger at once.
const MOST_A_GROUP: usize = 64;
/// How soon a write that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long others get who keep the ledger busy.
const MOMENT: Duration = Duration::from_millis(10);

/// Writes entries from a thread of its own, in the order in which they were put in.
///
/// What waits is bounded: an entry is put into [`Room`] that was taken before, so whoever has room can put. While the
/// ledger cannot be written, entries wait and are tried again. If the process is killed, those that wait are gone;
/// [`Outbox::close`] writes them first.
pub struct Outbox {
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// Room for one entry. It is given back once the entry is durable, or by dropping it.
pub struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

/// What an outbox has to tell the process that it serves.
#[derive(Clone, Debug)]
pub enum Told {
    /// The ledger cannot be written; entries wait.
    Stuck(Error),
    /// What waited has been written.
    Going,
    /// So many entries will never be written.
    Lost(usize, Error),
}

struct Shared {
    state: Mutex<State>,
    /// Something was put in, or the outbox is closing.
    changed: Condvar,
    /// Something was written, or nothing will be any more.
    written: Condvar,
    /// Bytes of all room that is taken.
    taken: AtomicUsize,
    most: usize,
    stuck: AtomicBool,
    ledger: Ledger,
    tell: Box<dyn Fn(Told) + Send + Sync>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// How many entries were put in.
    put: u64,
    /// How many of them were written.
    written: u64,
    closing: bool,
    /// The thread has ended; what is put in now is lost.
    over: bool,
}

struct Waiting {
    entry: NewEntry,
    /// Given back when the entry is written, or lost.
    _room: Room,
}

impl Outbox {
    /// An outbox in front of `ledger`, with room for `most` bytes. `tell` must not wait.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn open(ledger: Ledger, most: usize, tell: impl Fn(Told) + Send + Sync + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            written: Condvar::new(),
            taken: AtomicUsize::new(0),
            most,
            stuck: AtomicBool::new(false),
            ledger,
            tell: Box::new(tell),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("outbox".to_owned()).spawn(move || of_thread.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes room for an entry of about so many bytes; `None` if too much waits already.
    pub fn room(&self, bytes: usize) -> Option<Room> {
        let take = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.shared.most);
        let taken = self.shared.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.ok().map(|_| Room { shared: Arc::clone(&self.shared), bytes })
    }

    /// Whether what is put in is written soon: the last write worked, by this outbox or by others.
    pub fn is_going(&self) -> bool {
        let is_open = |state: &State| !state.closing && !state.over;
        let shared = &self.shared;
        !shared.stuck.load(Ordering::Acquire) && shared.ledger.is_available() && is_open(&shared.state())
    }

    /// Waits until everything is written that has been put in, for so long at most; false if it is not.
    pub fn settle(&self, most: Duration) -> bool {
        let state = self.shared.state();
        let goal = state.put;
        let open = |state: &mut State| state.written < goal && !state.over;
        let waited = self.shared.written.wait_timeout_while(state, most, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.written >= goal
    }

    /// Writes what waits, tries once if the ledger cannot be written, and ends. Blocks on the disk.
    pub fn close(&self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // If it panicked, the panic was reported, and what waited is lost.
            drop(thread.join());
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl Room {
    /// Has the entry written. Never waits.
    pub fn put(self, entry: NewEntry) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        if state.over {
            drop(state);
            (shared.tell)(Told::Lost(1, Error::Closed));
            return;
        }
        state.put += 1;
        state.waiting.push_back(Waiting { entry, _room: self });
        drop(state);
        shared.changed.notify_all();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could stop halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(group) = self.group() {
            if let Err(error) = self.write(&group) {
                let mut state = self.state();
                state.over = true;
                let rest = std::mem::take(&mut state.waiting);
                drop(state);
                self.written.notify_all();
                (self.tell)(Told::Lost(group.len() + rest.len(), error));
                return;
            }
            self.state().written += group.len() as u64;
            self.written.notify_all();
        }
        self.written.notify_all();
    }

    /// Waits for entries and takes some; `None` once there are none left and no more are wanted.
    fn group(&self) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        loop {
            if !state.waiting.is_empty() {
                let count = state.waiting.len().min(MOST_A_GROUP);
                return Some(state.waiting.drain(..count).collect());
            }
            if state.closing {
                state.over = true;
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes a group, however long that takes, unless the outbox is closing.
    fn write(&self, group: &[Waiting]) -> Result<(), Error> {
        loop {
            let entries = group.iter().map(|one| one.entry.clone()).collect();
            match self.ledger.append_all(entries).wait() {
                Ok(_) => {
                    if self.stuck.swap(false, Ordering::AcqRel) {
                        (self.tell)(Told::Going);
                    }
                    return Ok(());
                }
                // The ledger works, but others keep it busy.
                Err(Error::Busy) => {
                    thread::sleep(MOMENT);
                    continue;
                }
                Err(error) if self.state().closing || matches!(error, Error::Closed) => return Err(error),
                Err(error) => {
                    if !self.stuck.swap(true, Ordering::AcqRel) {
                        (self.tell)(Told::Stuck(error));
                    }
                }
            }
            let open = |state: &mut State| !state.closing;
            drop(self.changed.wait_timeout_while(self.state(), TRY_AGAIN, open));
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbox({:?}, ..)", self.shared.ledger)
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Room({} bytes)", self.bytes)
    }
}
