//! The engine's thread: command in, plan, step, commit, emission out.

mod failing;

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use baton_contract::{Digest, Emission, SequenceId, TokenLogprobs};
use baton_scheduler::{Drawn, KeptPrefix, Owner, Scheduler, SchedulerConfig, StepEvent, StepPlan};
use tokio::sync::oneshot;

use crate::command::{Command, Job};
use crate::handle::{Board, Shared};
use crate::walkers::Walkers;
use crate::{Draw, EngineConfig, EngineHandle, Executor, ExecutorError, Moved, Sample};

/// Steps between two checks of the scheduler's invariants while there is no pause.
const CHECK_EVERY: u64 = 1024;

/// Starts engines.
#[derive(Debug)]
pub enum Engine {}

/// Everything the thread owns.
///
/// Should the thread die of a bug, the fields are dropped from first to last: the state says so, streams end and
/// permits come back, and only then drains return.
struct Device {
    shared: Ending,
    jobs: HashMap<SequenceId, Job>,
    executor: Box<dyn Executor>,
    scheduler: Scheduler,
    walkers: Walkers,
    board: Board,
    /// Prefixes that are copied beside the steps, and whose they are.
    moving: HashMap<Digest, String>,
    /// Failed steps since the last one that succeeded.
    failures: u32,
    /// What computes has failed for good.
    lost: bool,
    /// Set by the first drain; a later one can only bring it forward.
    deadline: Option<Instant>,
    drains: Vec<oneshot::Sender<()>>,
    commands: Receiver<Command>,
}

/// What a step drew, for each span that draws, in order.
type Samples = Vec<(SequenceId, Result<Sample, ExecutorError>)>;

/// What the thread shares with the handles; dropping it tells them that the thread is over.
struct Ending(Arc<Shared>);

impl Deref for Ending {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Engine {
    /// Starts the thread `baton-engine`, builds the executor on it and waits until that is done.
    ///
    /// # Errors
    /// The thread could not be started, or `build` failed or panicked.
    pub fn start(
        config: EngineConfig,
        build: impl FnOnce() -> Result<Box<dyn Executor>, ExecutorError> + Send + 'static,
    ) -> Result<EngineHandle, ExecutorError> {
        let (sender, commands) = channel();
        let (started, ready) = sync_channel(1);
        let walkers = Walkers::start(&config.clock).map_err(ExecutorError::Thread)?;
        let shared = Arc::new(Shared::new(config));
        let handle = EngineHandle::new(Arc::clone(&shared), sender);
        let main = move || {
            match build() {
                Ok(executor) => {
                    let device = Device::new(shared, commands, (executor, walkers));
                    // The starter waits for this.
                    let _ = started.send(Ok(()));
                    device.run();
                }
                Err(error) => _ = started.send(Err(error)),
            }
        };
        thread::Builder::new().name("baton-engine".to_owned()).spawn(main).map_err(ExecutorError::Thread)?;
        let died = || Err(ExecutorError::Panicked("while the model was made ready".to_owned()));
        ready.recv().unwrap_or_else(|_| died())?;
        Ok(handle)
    }
}

impl Device {
    fn new(
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        (executor, walkers): (Box<dyn Executor>, Walkers),
    ) -> Self {
        let limits = shared.config.scheduler;
        // Between two steps all that is in flight may be waiting; the permits bound it.
        let scheduler = Scheduler::new(SchedulerConfig { max_waiting: shared.config.capacity(), ..limits });
        let board = Board { scheduler: scheduler.snapshot(), ..Board::default() };
        shared.publish(&board);
        Self {
            shared: Ending(shared),
            jobs: HashMap::new(),
            executor,
            scheduler,
            walkers,
            board,
            moving: HashMap::new(),
            failures: 0,
            lost: false,
            deadline: None,
            drains: Vec::new(),
            commands,
        }
    }

    fn run(mut self) {
        while !self.lost && self.receive() {
            self.moved(false);
            match self.scheduler.plan() {
                Some(plan) => {
                    self.publish();
                    self.step(plan);
                }
                None if self.scheduler.moving() > 0 => self.moved(true),
                None if self.jobs.is_empty() => {}
                None => self.stalled(),
            }
        }
        self.shared.stop();
        if self.lost {
            return self.tell_of_loss();
        }
        self.fail_all("the server is shutting down; send the request again later");
        // What was computed to be kept is kept.
        while self.scheduler.moving() > 0 {
            self.moved(true);
        }
        self.publish();
    }

    /// Takes in all commands; waits for one if there is nothing to do. False when the thread is to end.
    fn receive(&mut self) -> bool {
        loop {
            if self.deadline.is_some_and(|deadline| self.jobs.is_empty() || self.shared.config.clock.now() >= deadline)
            {
                return false;
            }
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(_) if !self.jobs.is_empty() || self.scheduler.moving() > 0 => return true,
                Err(_) => {
                    self.check_invariants();
                    self.publish();
                    match self.commands.recv() {
                        Ok(command) => command,
                        // No handle and no stream is left.
                        Err(_) => return false,
                    }
                }
            };
            self.handle(command);
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Generate(jobs) => jobs.into_iter().for_each(|job| self.admit(job)),
            Command::Cancel(sequence) => {
                // Gone already if it ended before its owner saw that.
                if self.jobs.remove(&sequence).is_some() {
                    self.scheduler.cancel(sequence);
                    self.board.counters.cancelled += 1;
                }
            }
            Command::Drain { deadline, over } => {
                self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
                self.drains.push(over);
            }
        }
    }

    fn admit(&mut self, mut job: Job) {
        match self.scheduler.admit(job.sequence, &job.request) {
            Ok(()) => {
                job.allowed = self.walkers.begin(&job.request);
                self.jobs.insert(job.sequence, job);
            }
            Err(error) => {
                self.board.counters.failed += 1;
                job.end(Emission::Failed(error.to_string()));
            }
        }
    }

    fn step(&mut self, plan: StepPlan) {
        let tokens = plan.spans.iter().map(|span| span.tokens.len()).sum::<usize>();
        let _span = tracing::debug_span!("step", step = plan.step, spans = plan.spans.len(), tokens).entered();
        let started = self.shared.config.clock.now();
        self.restore(&plan);
        let outcome = if plan.spans.is_empty() { Ok(Vec::new()) } else { self.compute(&plan) };
        let took = self.shared.config.clock.now().saturating_duration_since(started);
        self.board.counters.busy += took;
        match outcome {
            Ok(samples) => {
                self.store(&plan);
                self.commit(plan, samples, took);
            }
            Err(ExecutorError::Adapter { adapter, source }) => self.refuse(plan, adapter, source.as_ref()),
            Err(error) => self.abort(plan, &error),
        }
        if self.board.counters.steps.is_multiple_of(CHECK_EVERY) {
            self.check_invariants();
        }
    }

    /// Begins to bring prefixes back. One for which that does not work is computed in later steps.
    fn restore(&mut self, plan: &StepPlan) {
        let failed = "a prefix could not be restored, and is computed";
        self.begin_moves(&plan.restores, |executor, kept| executor.restore(kept), failed);
    }

    /// Begins to keep the prefixes that a step has completed.
    fn store(&mut self, plan: &StepPlan) {
        self.begin_moves(&plan.stores, |executor, kept| executor.store(kept), "a prefix could not be kept");
    }

    /// Has the executor begin to move each prefix; `failed` is said if it panics.
    fn begin_moves(
        &mut self,
        all: &[KeptPrefix],
        begin: fn(&mut dyn Executor, &KeptPrefix) -> bool,
        failed: &'static str,
    ) {
        for kept in all {
            match catch_unwind(AssertUnwindSafe(|| begin(self.executor.as_mut(), kept))) {
                Ok(true) => {
                    self.scheduler.moves(&kept.prefix.digest);
                    self.moving.insert(kept.prefix.digest, kept.prefix.label.clone());
                }
                Ok(false) => {}
                Err(payload) => {
                    let (twin, error) = (&kept.prefix.label, panic_text(payload.as_ref()));
                    tracing::error!(twin, error, "{failed}");
                }
            }
        }
    }

    /// Goes on with what is copied beside the steps.
    fn moved(&mut self, wait: bool) {
        if self.scheduler.moving() == 0 {
            return;
        }
        for moved in self.executor.moved(wait) {
            let (Moved::Restored { prefix, .. } | Moved::Damaged(prefix) | Moved::Stored(prefix)) = moved;
            let Some(twin) = self.moving.remove(&prefix) else { continue };
            let counters = &mut self.board.counters;
            match moved {
                Moved::Restored { from_memory, .. } => {
                    self.scheduler.restored(&prefix);
                    *counters.prefixes_from_memory.entry(twin).or_default() += u64::from(from_memory);
                }
                Moved::Damaged(_) => {
                    self.scheduler.unmoved(&prefix);
                    *counters.prefixes_damaged.entry(twin).or_default() += 1;
                }
                Moved::Stored(_) => self.scheduler.unmoved(&prefix),
            }
        }
    }

    /// Has the plan computed: one result for each span that draws, in order.
    fn compute(&mut self, plan: &StepPlan) -> Result<Samples, ExecutorError> {
        let Self { jobs, executor, .. } = self;
        let drawing = plan.spans.iter().filter(|span| span.draws).filter_map(|span| match span.owner {
            Owner::Sequence(id) => jobs.get(&id),
            Owner::Prefix(_) => None,
        });
        let draws: Vec<_> = drawing
            .map(|job| Draw {
                sequence: job.sequence,
                request: &job.request,
                output: &job.output,
                allowed: job.allowed.as_ref(),
            })
            .collect();
        // What a panic leaves behind in the executor is cache content, and that is given up with the step.
        let samples = catch_unwind(AssertUnwindSafe(|| executor.step(plan, &draws)))
            .unwrap_or_else(|payload| Err(ExecutorError::Panicked(panic_text(payload.as_ref()).to_owned())))?;
        if samples.len() != draws.len() {
            let text = format!("{} tokens came back for {} draws", samples.len(), draws.len());
            return Err(ExecutorError::Step(text.into()));
        }
        Ok(draws.iter().map(|draw| draw.sequence).zip(samples).collect())
    }

    fn commit(&mut self, plan: StepPlan, samples: Samples, took: Duration) {
        if !plan.spans.is_empty() {
            self.failures = 0;
            self.board.unhealthy = None;
        }
        let input_len = |owner| match owner {
            Owner::Sequence(id) => self.jobs.get(&id).map_or(0, |job| job.request.input_len()),
            Owner::Prefix(_) => usize::MAX,
        };
        self.board.counters.step(&plan, took, input_len);
        let (mut drawn, mut logprobs, mut failed) = (Vec::with_capacity(samples.len()), HashMap::new(), Vec::new());
        for (sequence, sample) in samples {
            let token = match sample {
                Ok(sample) => {
                    logprobs.extend(sample.logprobs.map(|logprobs| (sequence, logprobs)));
                    sample.token
                }
                Err(error) => {
                    // The scheduler wants a token for each draw, and disregards that of a cancelled sequence.
                    self.scheduler.cancel(sequence);
                    failed.push((sequence, error));
                    0
                }
            };
            drawn.push(Drawn { sequence, token });
        }
        let events = self.scheduler.commit(plan, &drawn);
        let ended = events.iter().filter(|event| matches!(event, StepEvent::Finished { .. })).count();
        self.board.pace.step(took, ended + failed.len());
        self.board.counters.failed += failed.len() as u64;
        for event in &events {
            if let StepEvent::Finished { reason, .. } = event {
                self.board.counters.finished(*reason);
            }
        }
        // Before anybody can see an emission, so that whoever sees one sees at least this state.
        self.publish();
        for (sequence, error) in failed {
            tracing::warn!(sequence = sequence.0, %error, "a token could not be drawn");
            self.end(sequence, Emission::Failed(error.to_string()));
        }
        for event in &events {
            self.emit(event, &mut logprobs);
        }
    }

    fn emit(&mut self, event: &StepEvent, logprobs: &mut HashMap<SequenceId, TokenLogprobs>) {
        match *event {
            StepEvent::Token { sequence, token } => {
                let Some(job) = self.jobs.get_mut(&sequence) else { return };
                job.output.push(token);
                if let Some(allowed) = job.allowed.take() {
                    let (next, took) = self.walkers.advance(allowed, token, &job.request);
                    job.allowed = Some(next);
                    self.board.counters.constrained(took);
                }
                // An owner that has gone sends its cancel by itself.
                let _ = job.emissions.send(Emission::Token { token, logprobs: logprobs.remove(&sequence) });
            }
            StepEvent::Finished { sequence, reason, usage } => {
                self.end(sequence, Emission::Finished { reason, usage });
            }
        }
    }

    fn end(&mut self, sequence: SequenceId, last: Emission) {
        if let Some(job) = self.jobs.remove(&sequence) {
            job.end(last);
        }
    }

    fn check_invariants(&mut self) {
        if let Err(broken) = self.scheduler.check_invariants() {
            tracing::error!(%broken, "an invariant of the scheduler is broken");
            self.board.counters.broken_invariants += 1;
        }
    }

    fn publish(&mut self) {
        self.board.scheduler = self.scheduler.snapshot();
        self.shared.publish(&self.board);
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
