//! What can be seen from outside: state, counters and pace.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_contract::FinishReason;
use baton_scheduler::{Owner, Snapshot, StepPlan};

/// An engine at one moment.
#[derive(Clone, Debug)]
pub struct EngineStatus {
    /// Whether it takes requests.
    pub state: EngineState,
    /// Why it should get no traffic: several steps in a row have failed, the last one of this. A step that succeeds
    /// clears it.
    pub unhealthy: Option<String>,
    /// Requests that were taken and have not ended.
    pub in_flight: usize,
    /// Most requests in flight.
    pub capacity: usize,
    /// The scheduler's own numbers.
    pub scheduler: Snapshot,
    /// Everything counted since the start.
    pub counters: Counters,
}

/// Whether an engine takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// It does.
    Running,
    /// It finishes what it has and takes nothing more.
    Draining,
    /// Its thread has ended.
    Stopped,
    /// What computes has failed for good, and the thread ends. Only another process can use it again.
    Lost,
}

/// Counted since the engine's start.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Steps that were computed.
    pub steps: u64,
    /// Steps that failed or panicked.
    pub failed_steps: u64,
    /// Input tokens computed, prefixes and repeated work after a preemption included.
    pub prompt_tokens: u64,
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Sequences that ended by an end or stop token.
    pub stopped: u64,
    /// Sequences that ended by length.
    pub cut: u64,
    /// Sequences that ended by a fault of the engine.
    pub failed: u64,
    /// Sequences whose owner went away.
    pub cancelled: u64,
    /// Requests refused because the queue was full.
    pub refused_busy: u64,
    /// Times that an invariant of the scheduler was found broken: a bug.
    pub broken_invariants: u64,
    /// Stored prefixes that could not be used, by label.
    pub prefixes_damaged: BTreeMap<String, u64>,
    /// How often the prefix of each label was restored from the host's memory, and not from a file.
    pub prefixes_from_memory: BTreeMap<String, u64>,
    /// Time spent in steps.
    pub busy: Duration,
    /// Seconds a step took.
    pub step_seconds: Histogram,
    /// Tokens a step computed.
    pub step_tokens: Histogram,
    /// Seconds it took to work out what may come next, for each token drawn under a constraint.
    pub constraint_seconds: Histogram,
}

/// Counts of values by upper bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, inclusive, ascending.
    pub bounds: &'static [f64],
    /// Values up to each bound and above the one before; the last entry counts those above all bounds.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: f64,
}

/// How fast sequences end, over the recent past, for an honest guess at when there will be room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// Seconds spent in steps, the older the less they count.
    busy: f64,
    /// Sequences that ended meanwhile, weighted likewise.
    ended: f64,
}

const STEP_SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
const CONSTRAINT_SECONDS: &[f64] = &[0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01];
const STEP_TOKENS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0];

impl EngineStatus {
    /// Whether it takes requests and can compute them.
    pub fn is_ready(&self) -> bool {
        self.state == EngineState::Running && self.unhealthy.is_none()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            steps: 0,
            failed_steps: 0,
            prompt_tokens: 0,
            generated_tokens: 0,
            stopped: 0,
            cut: 0,
            failed: 0,
            cancelled: 0,
            refused_busy: 0,
            broken_invariants: 0,
            prefixes_damaged: BTreeMap::new(),
            prefixes_from_memory: BTreeMap::new(),
            busy: Duration::ZERO,
            step_seconds: Histogram::new(STEP_SECONDS),
            step_tokens: Histogram::new(STEP_TOKENS),
            constraint_seconds: Histogram::new(CONSTRAINT_SECONDS),
        }
    }
}

impl Counters {
    /// Counts a computed step. `input_len` tells how many tokens of a sequence are input.
    pub(crate) fn step(&mut self, plan: &StepPlan, took: Duration, input_len: impl Fn(Owner) -> usize) {
        let prompt = |input: usize, start: usize, end: usize| input.min(end).saturating_sub(start) as u64;
        let spans = || plan.spans.iter();
        self.steps += 1;
        self.prompt_tokens += spans().map(|span| prompt(input_len(span.owner), span.start, span.end())).sum::<u64>();
        self.generated_tokens += spans().filter(|span| span.draws).count() as u64;
        self.step_seconds.record(took.as_secs_f64());
        let tokens = spans().map(|span| span.tokens.len()).sum::<usize>();
        self.step_tokens.record(f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)));
    }

    /// Counts a token that was drawn under a constraint.
    pub(crate) fn constrained(&mut self, took: Duration) {
        self.constraint_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn finished(&mut self, reason: FinishReason) {
        match reason {
            FinishReason::Stop => self.stopped += 1,
            FinishReason::Length => self.cut += 1,
        }
    }
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn record(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Pace {
    /// After this much work a measurement counts 1/e of a new one.
    const MEMORY: f64 = 30.0;
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(2);

    /// Takes in a step of this length in which so many sequences ended.
    pub(crate) fn step(&mut self, took: Duration, ended: usize) {
        let took = took.as_secs_f64();
        let fade = (-took / Self::MEMORY).exp();
        self.busy = self.busy * fade + took;
        self.ended = self.ended * fade + f64::from(u32::try_from(ended).unwrap_or(u32::MAX));
    }

    /// How long it takes until `places` more sequences have ended, at the recent pace.
    ///
    /// If none has ended yet, the first is taken to end as far in the future as the start is in the past.
    pub(crate) fn wait_for(&self, places: usize) -> Duration {
        let each = self.busy / self.ended.max(1.0);
        let seconds = each * f64::from(u32::try_from(places).unwrap_or(u32::MAX));
        Duration::try_from_secs_f64(seconds).unwrap_or(Self::LONGEST).clamp(Self::SHORTEST, Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_bounds_are_inclusive() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 9.0] {
            histogram.record(value);
        }
        assert_eq!((histogram.counts.as_slice(), histogram.sum, histogram.count()), (&[2, 2, 1][..], 14.0, 5));
    }

    #[test]
    fn the_wait_follows_the_recent_pace() {
        let seconds = |pace: &Pace, places| format!("{:.0}", pace.wait_for(places).as_secs_f64());
        let mut pace = Pace::default();
        assert_eq!(seconds(&pace, 1), "1", "nothing measured");
        for _ in 0..50 {
            pace.step(Duration::from_millis(100), 0);
        }
        assert_eq!(seconds(&pace, 1), "5", "none has ended in five seconds");
        for _ in 0..1000 {
            pace.step(Duration::from_millis(100), 0);
            pace.step(Duration::from_millis(100), 1);
            pace.step(Duration::from_millis(100), 0);
            pace.step(Duration::from_millis(100), 0);
        }
        assert_eq!(seconds(&pace, 5), "2", "one every 0.4 s");
        assert_eq!(seconds(&pace, 50), "20");
        assert_eq!(seconds(&pace, usize::MAX), "120", "bounded");
    }
}
