//! Holds sequences to their constraints, on threads of its own.
//!
//! What may come next follows from the tokens drawn so far and not from the model. So it is worked out while the model
//! runs, each sequence for itself, and the sampler waits for it only where the model was faster.
//!
//! A sequence's walk stays with its job on the engine's thread or is under way here. The scheduler knows nothing of it:
//! a sequence that is preempted keeps its tokens, and with them its walk.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use baton_contract::{Constraint, ConstraintError, Generate, TokenId, TokenSet, Walk};

use crate::{Clock, ExecutorError};

/// Threads that work out what may come next. A set takes some tens of microseconds and a step of the model
/// milliseconds, so two keep ahead of it without taking its cores away.
const THREADS: usize = 2;

/// The threads; they end when this is dropped.
pub(crate) struct Walkers(Sender<Task>);

/// What may come next in one sequence, as soon as it is known.
pub struct Allowed {
    awaited: Receiver<Stand>,
    known: OnceCell<Stand>,
}

/// A walk and what it allows.
struct Stand {
    /// None once the walk is over.
    walk: Option<Box<dyn Walk>>,
    tokens: Result<TokenSet, ConstraintError>,
    took: Duration,
}

struct Task {
    go: Go,
    /// The tokens that would end the sequence.
    ends: Vec<TokenId>,
    answer: Sender<Stand>,
}

enum Go {
    Begin(Arc<dyn Constraint>),
    On(Box<dyn Walk>, TokenId),
}

impl Walkers {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread could not be started.
    pub(crate) fn start(clock: &Clock) -> io::Result<Self> {
        let (sender, tasks) = channel();
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..THREADS {
            let (tasks, clock) = (Arc::clone(&tasks), clock.clone());
            thread::Builder::new().name("baton-walker".to_owned()).spawn(move || run(&tasks, &clock))?;
        }
        Ok(Self(sender))
    }

    /// Begins the walk of a request, if it has a constraint.
    pub(crate) fn begin(&self, request: &Generate) -> Option<Allowed> {
        let constraint = Arc::clone(request.constraint.as_ref()?);
        Some(self.send(Go::Begin(constraint), request))
    }

    /// Goes on from where `token` was drawn; also says how long it had taken to know what was allowed there.
    pub(crate) fn advance(&self, from: Allowed, token: TokenId, request: &Generate) -> (Allowed, Duration) {
        let Stand { walk, tokens, took } = from.arrive();
        let next = match (walk, tokens) {
            (Some(walk), Ok(_)) => self.send(Go::On(walk, token), request),
            (_, tokens) => Allowed::known(tokens.and(Err(over()))),
        };
        (next, took)
    }

    fn send(&self, go: Go, request: &Generate) -> Allowed {
        let (answer, awaited) = channel();
        let stop = &request.stop;
        let ends = stop.end_tokens.iter().chain(&stop.stop_tokens).copied().filter(|token| stop.ends(*token)).collect();
        // If the threads are gone, nothing will arrive, and that is an error there.
        let _ = self.0.send(Task { go, ends, answer });
        Allowed { awaited, known: OnceCell::new() }
    }
}

impl Allowed {
    /// What is known already.
    pub(crate) fn known(tokens: Result<TokenSet, ConstraintError>) -> Self {
        let (_, awaited) = channel();
        Self { awaited, known: OnceCell::from(Stand { walk: None, tokens, took: Duration::ZERO }) }
    }

    /// The tokens that may be drawn; waits until they are known.
    ///
    /// # Errors
    /// They could not be worked out.
    pub fn tokens(&self) -> Result<&TokenSet, ExecutorError> {
        let stand = self.known.get_or_init(|| self.awaited.recv().unwrap_or_else(|_| Stand::lost()));
        stand.tokens.as_ref().map_err(|error| ExecutorError::Constraint(error.clone()))
    }

    fn arrive(self) -> Stand {
        let Self { awaited, known } = self;
        known.into_inner().unwrap_or_else(|| awaited.recv().unwrap_or_else(|_| Stand::lost()))
    }
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowed").field("known", &self.known.get().is_some()).finish_non_exhaustive()
    }
}

impl Stand {
    /// After a panic, which has been reported, or at the end of the engine.
    fn lost() -> Self {
        Self { walk: None, tokens: Err(over()), took: Duration::ZERO }
    }
}

fn over() -> ConstraintError {
    ConstraintError("the answer's form is no longer followed".to_owned())
}

fn run(tasks: &Mutex<Receiver<Task>>, clock: &Clock) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Task { go, ends, answer }) = task else { return };
        let started = clock.now();
        // A constraint that panics loses its own sequence: nothing is sent, and `answer` is dropped.
        if let Ok((walk, tokens)) = catch_unwind(AssertUnwindSafe(|| follow(go, &ends))) {
            let took = clock.now().saturating_duration_since(started);
            // Whoever waited may have gone.
            let _ = answer.send(Stand { walk, tokens, took });
        }
    }
}

fn follow(go: Go, ends: &[TokenId]) -> (Option<Box<dyn Walk>>, Result<TokenSet, ConstraintError>) {
    let mut walk = match go {
        Go::Begin(constraint) => constraint.begin(),
        Go::On(mut walk, token) => {
            if let Err(error) = walk.advance(token) {
                return (None, Err(error));
            }
            walk
        }
    };
    let tokens = walk.next().map(|next| {
        let mut tokens = next.tokens;
        for end in ends {
            if next.may_end { tokens.insert(*end) } else { tokens.remove(*end) }
        }
        tokens
    });
    (Some(walk), tokens)
}
