//! The engine as the other threads see it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_contract::{Generate, Refusal, SequenceId, TokenId};
use baton_scheduler::{AdmitError, Scheduler, Snapshot};
use tokio::sync::{mpsc::unbounded_channel, oneshot, watch};

use crate::command::{Command, Job};
use crate::permit::Permits;
use crate::status::Pace;
use crate::{Counters, Emissions, EngineConfig, EngineState, EngineStatus, Limits};

/// Submits requests to an engine; cheap to clone. The engine lives until it is drained, or until all handles and
/// streams are gone.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    commands: Sender<Command>,
}

/// What the handles and the thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) permits: Arc<Permits>,
    state: AtomicU8,
    /// Why what computes is lost, once it is.
    lost: watch::Sender<Option<String>>,
    next_sequence: AtomicU64,
    refused_busy: AtomicU64,
    board: Mutex<Board>,
}

/// What the thread publishes after each step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    pub(crate) scheduler: Snapshot,
    pub(crate) counters: Counters,
    pub(crate) unhealthy: Option<String>,
    pub(crate) pace: Pace,
}

impl EngineHandle {
    pub(crate) fn new(shared: Arc<Shared>, commands: Sender<Command>) -> Self {
        Self { shared, commands }
    }

    /// Submits one request. Returns at once.
    ///
    /// # Errors
    /// The request is malformed, can never fit, the queue is full, or the engine does not run.
    pub fn submit(&self, request: Generate) -> Result<Emissions, Refusal> {
        let mut streams = self.submit_all(vec![request])?;
        streams.pop().ok_or(Refusal::Stopped)
    }

    /// Submits several requests, all or none. Returns at once; the streams are in the order of the requests.
    ///
    /// # Errors
    /// As [`Self::submit`], for the first request that is refused; also if there are more than can ever be in flight.
    pub fn submit_all(&self, requests: Vec<Generate>) -> Result<Vec<Emissions>, Refusal> {
        if self.shared.state() != EngineState::Running {
            return Err(self.shared.ended());
        }
        requests.iter().try_for_each(|request| self.shared.check(request))?;
        let permits = self.shared.permits.capacity();
        if requests.len() > permits {
            let count = requests.len();
            return Err(Refusal::Invalid(format!("{count} choices were asked for, but at most {permits} fit at once")));
        }
        let permits = self.shared.permits.take(requests.len()).map_err(|missing| self.shared.busy(missing))?;
        let (jobs, streams) = requests
            .into_iter()
            .zip(permits)
            .map(|(request, permit)| {
                let sequence = self.shared.new_sequence();
                let (emissions, received) = unbounded_channel();
                let stream = Emissions::new(sequence, received, self.commands.clone());
                (Job { sequence, request, output: Vec::new(), allowed: None, emissions, permit }, stream)
            })
            .unzip();
        self.commands.send(Command::Generate(jobs)).map_err(|_| self.shared.ended())?;
        Ok(streams)
    }

    /// The engine at this moment, as of its last step. Cheap.
    pub fn status(&self) -> EngineStatus {
        let Board { scheduler, mut counters, unhealthy, .. } = self.shared.board().clone();
        counters.refused_busy = self.shared.refused_busy.load(Ordering::Relaxed);
        EngineStatus {
            state: self.shared.state(),
            unhealthy,
            in_flight: self.shared.permits.taken(),
            capacity: self.shared.permits.capacity(),
            scheduler,
            counters,
        }
    }

    /// What a request has to fit into.
    pub fn limits(&self) -> Limits {
        self.shared.config.limits()
    }

    /// Waits until what computes has failed for good, and says how. Whoever owns the process then has to end it. All
    /// requests in flight are told before this returns, or soon after.
    pub async fn lost(&self) -> String {
        let mut lost = self.shared.lost.subscribe();
        match lost.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The other end is here, so it is not dropped.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops taking requests, finishes those in flight for at most `grace`, fails the rest, and returns when the
    /// engine's thread is over. The deadline is looked at between steps: a step that hangs delays it.
    pub async fn drain(&self, grace: Duration) {
        self.shared.stop_admission();
        let deadline = self.shared.config.clock.now() + grace;
        let (over, ended) = oneshot::channel();
        if self.commands.send(Command::Drain { deadline, over }).is_ok() {
            // Nothing is ever sent: the other end is dropped with the thread.
            let _ = ended.await;
        }
    }
}

impl Shared {
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self {
            permits: Permits::new(config.capacity()),
            config,
            state: AtomicU8::new(EngineState::Running as u8),
            lost: watch::Sender::new(None),
            next_sequence: AtomicU64::new(1),
            refused_busy: AtomicU64::new(0),
            board: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> EngineState {
        let state = self.state.load(Ordering::Acquire);
        if state == EngineState::Running as u8 {
            EngineState::Running
        } else if state == EngineState::Draining as u8 {
            EngineState::Draining
        } else if state == EngineState::Lost as u8 {
            EngineState::Lost
        } else {
            EngineState::Stopped
        }
    }

    /// The thread is over.
    pub(crate) fn stop(&self) {
        if self.state() != EngineState::Lost {
            self.state.store(EngineState::Stopped as u8, Ordering::Release);
        }
    }

    /// What computes is lost, and the thread is about to end.
    pub(crate) fn lose(&self, reason: String) {
        self.state.store(EngineState::Lost as u8, Ordering::Release);
        _ = self.lost.send_replace(Some(reason));
    }

    /// Why nothing is taken any more.
    fn ended(&self) -> Refusal {
        if self.state() == EngineState::Lost { Refusal::Lost } else { Refusal::Stopped }
    }

    pub(crate) fn publish(&self, board: &Board) {
        self.board().clone_from(board);
    }

    fn stop_admission(&self) {
        let (running, draining) = (EngineState::Running as u8, EngineState::Draining as u8);
        // An engine that drains already or has stopped stays as it is.
        let _ = self.state.compare_exchange(running, draining, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The board holds plain values that are replaced whole, so that a panic elsewhere cannot leave it half written.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_sequence(&self) -> SequenceId {
        SequenceId(self.next_sequence.fetch_add(1, Ordering::Relaxed))
    }

    fn busy(&self, missing: usize) -> Refusal {
        self.refused_busy.fetch_add(1, Ordering::Relaxed);
        let board = self.board();
        let waiting = self.permits.taken().saturating_sub(board.scheduler.running);
        Refusal::Busy { waiting, retry_after: board.pace.wait_for(missing) }
    }

    /// All that can be said against a request without asking the thread.
    fn check(&self, request: &Generate) -> Result<(), Refusal> {
        let invalid = |fault: String| Err(Refusal::Invalid(fault));
        match Scheduler::limits_check(&self.config.scheduler, request) {
            Ok(()) => {}
            Err(AdmitError::TooLong { needed, limit }) => return Err(Refusal::TooLong { needed, limit }),
            Err(fault) => return invalid(fault.to_string()),
        }
        if let Err(fault) = request.sampling.check() {
            return invalid(fault.to_string());
        }
        if request.prefix.as_ref().is_some_and(|prefix| prefix.adapter != request.adapter) {
            return invalid("the prefix is not of the adapter that the request is for".to_owned());
        }
        let bias = &request.sampling.logit_bias;
        if !bias.is_sorted_by(|(a, _), (b, _)| a < b) {
            return invalid("logit_bias names a token twice, or is not sorted by token".to_owned());
        }
        let prefix = request.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens);
        let unknown = |token: &TokenId| *token as usize >= self.config.vocabulary;
        let mut tokens =
            prefix.iter().chain(&request.prompt).chain(&request.forced).chain(bias.iter().map(|(token, _)| token));
        match tokens.find(|token| unknown(token)) {
            Some(token) => {
                let vocabulary = self.config.vocabulary;
                invalid(format!("token {token} is outside the model's vocabulary of {vocabulary} tokens"))
            }
            None => Ok(()),
        }
    }
}
