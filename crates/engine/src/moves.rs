//! Prefixes on their way between the cache, the host's memory and files, while steps are computed.
//!
//! A pack's prefix is in the cache while it is in use, in the host's memory as long as there is room, and in a file always.
//! On its way in, a thread finds memory and reads the file; then its layers are copied, some before each step, which on a
//! device goes on beside the step. On its way out it is the other way round. The engine's thread never waits for either,
//! unless it has nothing else to do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use baton_contract::Digest;
use baton_decoder::{Backend, Error, PagedCache};
use baton_scheduler::KeptPrefix;

use crate::error::chain;
use crate::store::key;
use crate::{Damage, Moved, Payload, PrefixStore};

/// How long the engine waits for a file if it has nothing else to do, before it looks for new requests.
const PATIENCE: Duration = Duration::from_millis(2);

/// All prefixes that are kept anywhere but in the cache, and those that are on their way.
pub(crate) struct Moves<B: Backend> {
    store: PrefixStore,
    memory: Memory<B::Staged>,
    /// Does what takes long, on a thread that is started when it is first needed.
    helper: Option<Sender<Task>>,
    under_way: Vec<Move<B>>,
}

type Task = Box<dyn FnOnce() + Send>;

/// Host memory that was found, and filled if a file was to be read; absent if that has gone meanwhile.
type Found<S> = Result<Option<S>, Damage>;

struct Move<B: Backend> {
    kept: KeptPrefix,
    state: State<B>,
}

enum State<B: Backend> {
    /// A thread reads the file.
    Reading(Receiver<Found<B::Staged>>),
    /// Layers from `next` on are still to be copied in; with the mark, all have been begun.
    In { from: Arc<B::Staged>, next: usize, mark: Option<B::Mark>, from_memory: bool },
    /// A thread finds memory.
    Finding(Receiver<Found<B::Staged>>),
    /// The same for copying out.
    Out { to: B::Staged, next: usize, mark: Option<B::Mark> },
}

/// What a move has come to.
enum Outcome<B: Backend> {
    UnderWay(State<B>),
    Over(Moved),
}

/// The most recently used prefixes, within a number of bytes.
struct Memory<S> {
    limit: usize,
    /// The one used last comes last.
    entries: Vec<(Digest, Arc<S>)>,
}

impl<S: AsRef<[u8]>> Memory<S> {
    fn get(&mut self, key: &Digest) -> Option<Arc<S>> {
        let index = self.entries.iter().position(|(found, _)| found == key)?;
        let entry = self.entries.remove(index);
        let bytes = Arc::clone(&entry.1);
        self.entries.push(entry);
        Some(bytes)
    }

    fn put(&mut self, key: Digest, bytes: &Arc<S>) {
        let size = |bytes: &Arc<S>| (**bytes).as_ref().len();
        if size(bytes) > self.limit {
            return;
        }
        self.entries.retain(|(found, _)| *found != key);
        self.entries.push((key, Arc::clone(bytes)));
        while self.entries.iter().map(|(_, bytes)| size(bytes)).sum::<usize>() > self.limit {
            self.entries.remove(0);
        }
    }
}

impl<B: Backend> Moves<B> {
    pub(crate) fn new(store: PrefixStore) -> Self {
        let memory = Memory { limit: store.memory(), entries: Vec::new() };
        Self { store, memory, helper: None, under_way: Vec::new() }
    }

    /// Begins to bring a prefix back into its blocks; false if it is kept nowhere.
    pub(crate) fn restore(&mut self, kernels: &B, cache: &PagedCache<B>, kept: &KeptPrefix) -> bool {
        let form = cache.form();
        let state = if let Some(from) = self.memory.get(&key(&kept.prefix, &form)) {
            State::In { from, next: 0, mark: None, from_memory: true }
        } else {
            let file = self.store.stored(&kept.prefix, &form);
            if !file.exists() {
                return false;
            }
            let stage = kernels.stager();
            State::Reading(self.ask(move || {
                let mut bytes = stage(file.payload_bytes()).map_err(|error| Damage::Memory(error.into()))?;
                Ok(file.read(bytes.as_mut())?.then_some(bytes))
            }))
        };
        self.under_way.push(Move { kept: kept.clone(), state });
        true
    }

    /// Begins to copy a prefix out of its blocks; false if it is kept nowhere.
    pub(crate) fn store(&mut self, kernels: &B, cache: &PagedCache<B>, kept: &KeptPrefix) -> bool {
        let file = self.store.stored(&kept.prefix, &cache.form());
        let bytes = file.payload_bytes();
        if !self.store.has_room(&kept.prefix, &cache.form()) {
            if self.store.has_files() {
                tracing::warn!(
                    twin = kept.prefix.label,
                    bytes,
                    "the prefix is larger than all that may be kept in files"
                );
            }
            if bytes > self.memory.limit {
                return false;
            }
        }
        let stage = kernels.stager();
        let memory = self.ask(move || stage(bytes).map(Some).map_err(|error| Damage::Memory(error.into())));
        self.under_way.push(Move { kept: kept.clone(), state: State::Finding(memory) });
        true
    }

    /// Goes on with all moves and says which are over. If `wait`, it waits for the first of them if none can go on.
    pub(crate) fn go_on(&mut self, kernels: &B, cache: &PagedCache<B>, wait: bool) -> Vec<Moved> {
        let mut over = Vec::new();
        for Move { kept, state } in std::mem::take(&mut self.under_way) {
            // One wait is enough: it is asked for again.
            let wait = wait && over.is_empty() && self.under_way.is_empty();
            match self.advance(kernels, cache, &kept, state, wait) {
                Outcome::Over(moved) => over.push(moved),
                Outcome::UnderWay(state) => self.under_way.push(Move { kept, state }),
            }
        }
        over
    }

    fn advance(
        &mut self,
        kernels: &B,
        cache: &PagedCache<B>,
        kept: &KeptPrefix,
        state: State<B>,
        wait: bool,
    ) -> Outcome<B> {
        let (prefix, twin) = (kept.prefix.digest, &kept.prefix.label);
        match state {
            State::Reading(found) => match received(&found, wait) {
                None => Outcome::UnderWay(State::Reading(found)),
                Some(Ok(Some(bytes))) => {
                    let from = Arc::new(bytes);
                    self.memory.put(key(&kept.prefix, &cache.form()), &from);
                    Outcome::UnderWay(State::In { from, next: 0, mark: None, from_memory: false })
                }
                // Another process has deleted it.
                Some(Ok(None)) => Outcome::Over(Moved::Damaged(prefix)),
                Some(Err(damage)) => {
                    let file = self.store.stored(&kept.prefix, &cache.form());
                    let reason = chain(&damage);
                    tracing::warn!(twin, file = %file.path().display(), reason, "a stored prefix is computed again");
                    Outcome::Over(Moved::Damaged(prefix))
                }
            },
            State::In { from, next, mark, from_memory } => {
                let copy = |layer| cache.begin_import(kernels, layer, &kept.blocks, &from);
                match copies(kernels, cache, (kept, next, mark), wait, copy) {
                    Ok(Progress::Over) => Outcome::Over(Moved::Restored { prefix, from_memory }),
                    Ok(Progress::At(next, mark)) => Outcome::UnderWay(State::In { from, next, mark, from_memory }),
                    Err(error) => {
                        // What was begun must not write to the blocks once they are computed, or another's.
                        _ = kernels.wait();
                        let error = chain(&error);
                        tracing::error!(twin, error, "a prefix could not be copied into the cache, and is computed");
                        Outcome::Over(Moved::Damaged(prefix))
                    }
                }
            }
            State::Finding(found) => match received(&found, wait) {
                None => Outcome::UnderWay(State::Finding(found)),
                Some(Ok(Some(to))) => Outcome::UnderWay(State::Out { to, next: 0, mark: None }),
                Some(Ok(None)) => Outcome::Over(Moved::Stored(prefix)),
                Some(Err(damage)) => {
                    tracing::warn!(twin, reason = chain(&damage), "a prefix is not kept");
                    Outcome::Over(Moved::Stored(prefix))
                }
            },
            State::Out { mut to, next, mark } => {
                let copy = |layer| cache.begin_export(kernels, layer, &kept.blocks, &mut to);
                match copies(kernels, cache, (kept, next, mark), wait, copy) {
                    Ok(Progress::Over) => {
                        cache.blank(kernels, kept.prefix.tokens.len(), to.as_mut());
                        self.keep(cache, kept, to);
                        Outcome::Over(Moved::Stored(prefix))
                    }
                    Ok(Progress::At(next, mark)) => Outcome::UnderWay(State::Out { to, next, mark }),
                    Err(error) => {
                        // What was begun is over once `to` is dropped.
                        let error = chain(&error);
                        tracing::error!(twin, error, "a prefix could not be copied out of the cache");
                        Outcome::Over(Moved::Stored(prefix))
                    }
                }
            }
        }
    }

    /// Keeps what was copied out, in memory and in a file.
    fn keep(&mut self, cache: &PagedCache<B>, kept: &KeptPrefix, bytes: B::Staged) {
        let (form, bytes) = (cache.form(), Arc::new(bytes));
        self.memory.put(key(&kept.prefix, &form), &bytes);
        if self.store.has_room(&kept.prefix, &form) {
            self.store.write(&kept.prefix, &form, bytes as Payload);
        }
    }

    /// Has something done by the helping thread, or, if there can be none, here.
    fn ask<S: Send + 'static>(&mut self, task: impl FnOnce() -> Found<S> + Send + 'static) -> Receiver<Found<S>> {
        let (answer, found) = channel();
        // Whoever asked may be gone.
        let task: Task = Box::new(move || _ = answer.send(task()));
        if self.helper.is_none() {
            let (sender, tasks) = channel::<Task>();
            let run = move || tasks.into_iter().for_each(|task| task());
            let thread = thread::Builder::new().name("baton-prefix-in".to_owned()).spawn(run);
            self.helper = thread.is_ok().then_some(sender);
        }
        let refused = match &self.helper {
            Some(helper) => helper.send(task).err().map(|refused| refused.0),
            None => Some(task),
        };
        if let Some(task) = refused {
            task();
        }
        found
    }
}

/// What the helping thread has found, if it has; `None` is "not yet".
fn received<S>(found: &Receiver<Found<S>>, wait: bool) -> Option<Found<S>> {
    if wait {
        match found.recv_timeout(PATIENCE) {
            Ok(found) => return Some(found),
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }
    match found.try_recv() {
        Ok(found) => Some(found),
        Err(TryRecvError::Empty) => None,
        // It died of a bug, which it has reported itself.
        Err(TryRecvError::Disconnected) => Some(Ok(None)),
    }
}

/// How far copies have come.
enum Progress<M> {
    Over,
    /// The next layer, and the mark behind the last if it has been begun.
    At(usize, Option<M>),
}

/// Begins some more copies: a slice, or all if there is nothing else to do; then sees whether they are over.
fn copies<B: Backend>(
    kernels: &B,
    cache: &PagedCache<B>,
    (kept, mut next, mark): (&KeptPrefix, usize, Option<B::Mark>),
    wait: bool,
    mut copy: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Progress<B::Mark>, Error> {
    let form = cache.form();
    if next == 0 {
        kernels.follow_steps()?;
    }
    let at_once = if wait { form.layers } else { (B::SLICE / form.layer_bytes(kept.blocks.len()).max(1)).max(1) };
    let end = form.layers.min(next + at_once);
    while next < end {
        copy(next)?;
        next += 1;
    }
    if next < form.layers {
        return Ok(Progress::At(next, None));
    }
    let mark = match mark {
        Some(mark) => mark,
        None => kernels.mark()?,
    };
    Ok(if kernels.is_over(&mark, wait)? { Progress::Over } else { Progress::At(next, Some(mark)) })
}
