//! Thousands of seeded random workloads, checked after every call.
//!
//! The scheduler's own invariants are checked, and from outside: every span sees exactly its own history, every
//! request ends in exactly one way, everything ends at all, and the same seed gives the same plans.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use baton_contract::{Digest, FinishReason, Generate, Prefix, SequenceId, TokenId, Usage};
use baton_scheduler::{AdmitError, KeptPrefix, Scheduler, SchedulerConfig, Snapshot, StepEvent};

use crate::model::{Model, mix};
use crate::support::{END, id, request, tokens};

/// What can happen in a workload.
#[derive(Clone, Copy)]
struct Climate {
    /// Blocks of the pool, from and to.
    blocks: (usize, usize),
    /// Percent of steps that fail.
    aborts: u64,
    /// Percent of steps in which, before or during execution, some sequence is cancelled.
    cancels: u64,
    /// Packs that cues are for.
    packs: usize,
    /// Whether prefixes are kept, and the percent of files that are damaged.
    damaged: Option<u64>,
    /// Percent of kept prefixes that are copied beside the steps.
    beside: u64,
}

const ROOMY: Climate = Climate { blocks: (300, 400), aborts: 0, cancels: 0, packs: 4, damaged: None, beside: 0 };
const TIGHT: Climate = Climate { blocks: (8, 40), aborts: 0, cancels: 3, packs: 3, damaged: None, beside: 0 };
const TINY: Climate = Climate { blocks: (1, 12), aborts: 1, cancels: 3, packs: 2, damaged: None, beside: 0 };
const STORMY: Climate = Climate { blocks: (6, 24), aborts: 2, cancels: 15, packs: 5, damaged: None, beside: 0 };
const KEPT: Climate = Climate { damaged: Some(0), aborts: 0, ..STORMY };
const CORRODED: Climate = Climate { damaged: Some(30), ..STORMY };
const SLOW: Climate = Climate { beside: 80, ..KEPT };
const SLOW_AND_CORRODED: Climate = Climate { beside: 60, ..CORRODED };

/// How a request ended; each does exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Outcome {
    Ok,
    Refused,
    Cancelled,
    Failed,
}

struct Random(u64);

impl Random {
    /// At least `low`, below `high`.
    fn within(&mut self, low: usize, high: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        low + usize::try_from(mix(self.0) % (high - low) as u64).expect("small")
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.within(0, 100) < usize::try_from(chance).expect("small")
    }
}

/// One workload in progress.
struct World {
    climate: Climate,
    random: Random,
    scheduler: Scheduler,
    model: Model,
    packs: Vec<Arc<Prefix>>,
    outcomes: BTreeMap<SequenceId, Outcome>,
    /// Whether requests still arrive.
    is_open: bool,
    /// Requests made so far.
    made: u64,
    /// Bound of the steps that all work could take.
    patience: usize,
    /// What is copied beside the steps.
    moves: Vec<Move>,
    trace: DefaultHasher,
}

/// A prefix that is copied beside the steps.
struct Move {
    kept: KeptPrefix,
    /// Whether it is restored; it is stored otherwise.
    into: bool,
    /// Steps until it is over.
    left: usize,
}

/// What came of a workload.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    outcomes: BTreeMap<Outcome, usize>,
    snapshot: Snapshot,
    trace: u64,
}

impl World {
    fn new(seed: u64, climate: Climate) -> Self {
        let mut random = Random(mix(seed));
        let config = SchedulerConfig {
            blocks: random.within(climate.blocks.0, climate.blocks.1),
            token_budget: [3, 16, 32, 64, 100, 200][random.within(0, 6)],
            max_sequences: random.within(1, 12),
            max_waiting: random.within(4, 24),
            max_context: random.within(40, 320),
            keep_prefixes: climate.damaged.is_some(),
        };
        let lengths = [1, 31, 32, 33, 63, 64, 65, 96, 100, 130];
        let pack = |number: usize, random: &mut Random| Prefix {
            digest: Digest::of(&[u8::try_from(number).expect("few")]),
            label: format!("pack-{number}"),
            // Two packs may hold the same words.
            tokens: tokens(if number < 2 { 0 } else { 1000 }, lengths[random.within(0, lengths.len())]),
            adapter: None,
        };
        let packs = (0..climate.packs).map(|number| Arc::new(pack(number, &mut random))).collect();
        Self {
            climate,
            random,
            scheduler: Scheduler::new(config),
            model: Model::new(config.blocks, config.token_budget, config.keep_prefixes),
            packs,
            outcomes: BTreeMap::new(),
            is_open: true,
            made: 0,
            patience: 100,
            moves: Vec::new(),
            trace: DefaultHasher::new(),
        }
    }

    /// Three texts that everybody uses, with endings of their own, so that blocks could be shared and must not be.
    fn request(&mut self) -> Generate {
        let random = &mut self.random;
        let conductor = ["ada", "bob", "cyd", "dee"][random.within(0, 4)];
        let mut prompt: Vec<TokenId> = tokens(2000 * u32::try_from(random.within(1, 4)).expect("small"), 200);
        prompt.truncate([1, 5, 20, 31, 32, 33, 64, 70, 128, 200][random.within(0, 10)]);
        if random.percent(50) {
            prompt.extend([5, 6, 7].into_iter().take(random.within(1, 4)));
        }
        let mut request = request(conductor, prompt, [1, 10, 60, 150, 1000][random.within(0, 5)]);
        request.weight = u32::try_from(random.within(1, 4)).expect("small");
        request.stop.ignore_end = random.percent(60);
        request.prefix = self.packs.get(random.within(0, self.packs.len() + 1)).cloned();
        request
    }

    fn arrive(&mut self) {
        let request = self.request();
        self.made += 1;
        let id = id(self.made);
        match self.scheduler.admit(id, &request) {
            Ok(()) => {
                // Alone, with its prefix, one token a step, and again after each of a few preemptions.
                self.patience += 8 * (request.input_len() + request.stop.max_tokens.min(320));
                self.model.add(id, request);
            }
            Err(AdmitError::Full { .. } | AdmitError::TooLong { .. }) => self.note(id, Outcome::Refused),
            Err(other) => panic!("{other}"),
        }
        self.check();
    }

    fn note(&mut self, id: SequenceId, outcome: Outcome) {
        assert_eq!(self.outcomes.insert(id, outcome), None, "{id:?} ends twice");
        self.model.sequences.remove(&id);
    }

    fn check(&self) {
        if let Err(broken) = self.scheduler.check_invariants() {
            panic!("{broken}\n{:#?}", self.scheduler);
        }
    }

    /// Perhaps cancels something, alive or not.
    fn perhaps_cancel(&mut self, cancelled: &mut Vec<SequenceId>) {
        if self.made == 0 || !self.random.percent(self.climate.cancels) {
            return;
        }
        let id = id(self.random.within(1, usize::try_from(self.made).expect("small") + 1) as u64);
        let lives = !self.outcomes.contains_key(&id) && !cancelled.contains(&id);
        assert_eq!(self.scheduler.cancel(id), lives, "{id:?}");
        if lives {
            cancelled.push(id);
        }
        self.check();
    }

    /// One step; false if there is nothing to do.
    fn step(&mut self) -> bool {
        let mut cancelled = Vec::new();
        self.perhaps_cancel(&mut cancelled);
        cancelled.drain(..).for_each(|id| self.note(id, Outcome::Cancelled));
        self.pass();
        let Some(plan) = self.scheduler.plan() else {
            assert_eq!(self.scheduler.moving(), self.moves.len());
            if !self.moves.is_empty() {
                return true;
            }
            assert!(self.model.sequences.is_empty(), "nothing runs, but {:?} live", self.model.sequences.keys());
            return false;
        };
        self.check();
        assert_eq!(self.scheduler.plan(), None, "one plan at a time");
        plan.hash(&mut self.trace);
        let late = self.begin_moves(&plan.restores, true);
        let chance = self.climate.damaged.unwrap_or_default();
        let at_once = plan.restores.iter().filter(|kept| !late.contains(&kept.prefix.digest));
        let restored = self.model.restore(at_once, || self.random.percent(chance));
        self.perhaps_cancel(&mut cancelled);
        for digest in &restored {
            self.scheduler.restored(digest);
        }
        self.check();
        if self.random.percent(self.climate.aborts) {
            let failed = if plan.spans.is_empty() || self.random.percent(50) {
                self.model.fail(&plan);
                self.perhaps_cancel(&mut cancelled);
                self.scheduler.abort(plan)
            } else {
                // One span lacks something, and nothing is computed.
                self.model.copy(&plan);
                self.perhaps_cancel(&mut cancelled);
                let unlucky = plan.spans[self.random.within(0, plan.spans.len())].owner;
                self.scheduler.withdraw(plan, |span| span.owner == unlucky)
            };
            for id in failed {
                self.note(id, Outcome::Failed);
            }
        } else {
            let drawn = self.model.step(&plan);
            let late = self.begin_moves(&plan.stores, false);
            let at_once = plan.stores.iter().filter(|kept| !late.contains(&kept.prefix.digest));
            at_once.for_each(|kept| self.model.store(kept));
            self.perhaps_cancel(&mut cancelled);
            if self.is_open && self.random.percent(20) {
                self.arrive();
            }
            self.scheduler.commit(plan, &drawn).iter().for_each(|event| self.apply(event));
        }
        self.check();
        cancelled.drain(..).for_each(|id| self.note(id, Outcome::Cancelled));
        true
    }

    /// Has some of what a step is to restore or store copied beside the steps instead, and says what.
    fn begin_moves(&mut self, all: &[KeptPrefix], into: bool) -> Vec<Digest> {
        let mut late = Vec::new();
        for kept in all {
            if self.random.percent(self.climate.beside) {
                let left = self.random.within(1, 6);
                self.patience += left;
                self.scheduler.moves(&kept.prefix.digest);
                late.push(kept.prefix.digest);
                self.model.begin_move(kept, into);
                self.moves.push(Move { kept: kept.clone(), into, left });
            }
        }
        self.check();
        late
    }

    /// Time passes for what is copied beside the steps.
    fn pass(&mut self) {
        self.moves.iter_mut().for_each(|one| one.left -= 1);
        for Move { kept, into, .. } in self.moves.extract_if(.., |one| one.left == 0).collect::<Vec<_>>() {
            self.model.end_move(&kept);
            let chance = self.climate.damaged.unwrap_or_default();
            if !into {
                self.model.store(&kept);
                self.scheduler.unmoved(&kept.prefix.digest);
            } else if self.model.restore(std::iter::once(&kept), || self.random.percent(chance)).is_empty() {
                self.scheduler.unmoved(&kept.prefix.digest);
            } else {
                self.scheduler.restored(&kept.prefix.digest);
            }
            self.check();
        }
    }

    fn apply(&mut self, event: &StepEvent) {
        match *event {
            StepEvent::Token { sequence, token } => {
                let known = self.model.sequences.get_mut(&sequence).expect("only the living draw");
                assert_eq!(token, known.answer());
                known.push(token);
            }
            StepEvent::Finished { sequence, reason, usage } => {
                let known = &self.model.sequences[&sequence];
                let unseen = usize::from(reason == FinishReason::Stop);
                let expected = Usage { output: known.output() + unseen, ..usage };
                assert_eq!(usage, expected);
                assert!(usage.cached < usage.input, "the last token of the input is always computed");
                if reason == FinishReason::Stop {
                    assert!(known.answer() == END && known.heeds_end());
                }
                self.note(sequence, Outcome::Ok);
            }
        }
    }

    fn run(mut self) -> Story {
        for _ in 0..self.random.within(3, 20) {
            for _ in 0..self.random.within(0, 4) {
                self.arrive();
            }
            for _ in 0..self.random.within(1, 8) {
                self.step();
            }
        }
        self.is_open = false;
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < self.patience, "no end after {steps} steps: {:#?}", self.scheduler);
        }
        assert_eq!(self.outcomes.len() as u64, self.made, "every request ends");
        let snapshot = self.scheduler.snapshot();
        let blocks = snapshot.blocks;
        assert_eq!((snapshot.running, snapshot.waiting, snapshot.usage.len()), (0, 0, 0));
        assert_eq!(blocks.free + blocks.pinned + blocks.reusable, blocks.total, "nothing leaks");
        let mut outcomes = BTreeMap::new();
        self.outcomes.values().for_each(|outcome| *outcomes.entry(*outcome).or_default() += 1);
        Story { outcomes, snapshot, trace: self.trace.finish() }
    }
}

/// Runs `seeds` workloads of one climate; every eighth twice. Returns what happened in all of them together.
fn weather(climate: Climate, seeds: std::ops::Range<u64>) -> (BTreeMap<Outcome, usize>, u64, u64) {
    let (mut outcomes, mut preemptions, mut hits) = (BTreeMap::<_, usize>::new(), 0, 0);
    for seed in seeds {
        let story = World::new(seed, climate).run();
        if seed % 8 == 0 {
            assert_eq!(World::new(seed, climate).run(), story, "the same seed gives the same plans");
        }
        preemptions += story.snapshot.preemptions;
        hits += story.snapshot.cache_hit;
        story.outcomes.into_iter().for_each(|(outcome, count)| *outcomes.entry(outcome).or_default() += count);
    }
    (outcomes, preemptions, hits)
}

/// Every kind of end, preemption and reuse must have been met, or the simulation proves little.
fn check_weather(climate: Climate, seeds: std::ops::Range<u64>) {
    let (outcomes, preemptions, hits) = weather(climate, seeds);
    let met: Vec<_> = outcomes.keys().copied().collect();
    let mut expected = vec![Outcome::Ok, Outcome::Refused, Outcome::Cancelled];
    expected.extend((climate.aborts > 0).then_some(Outcome::Failed));
    assert_eq!(met, expected);
    assert!(preemptions > 20 && hits > 1000, "{preemptions} preemptions, {hits} tokens reused");
}

#[test]
fn tight_pools() {
    check_weather(TIGHT, 0..800);
}

#[test]
fn tiny_pools() {
    check_weather(TINY, 0..1200);
}

#[test]
fn stormy_weather() {
    check_weather(STORMY, 0..600);
}

/// Restorations and preemptions of many workloads in which nothing is damaged: every prefix is computed once.
fn check_kept(climate: Climate) {
    let (mut evicted, mut preemptions) = (0, 0);
    for seed in 0..600 {
        let Snapshot { prefixes_computed, prefixes_restored, preemptions: more, .. } =
            World::new(seed, climate).run().snapshot;
        assert!(prefixes_computed.values().all(|count| *count == 1), "{prefixes_computed:?}");
        evicted += prefixes_restored.values().sum::<u64>();
        preemptions += more;
    }
    assert!(evicted > 200 && preemptions > 20, "{evicted} restored, {preemptions} preemptions");
}

#[test]
fn kept_prefixes_are_computed_once_however_often_they_are_evicted() {
    check_kept(KEPT);
}

#[test]
fn prefixes_that_are_copied_beside_the_steps_are_nobody_elses_meanwhile() {
    check_kept(SLOW);
}

/// Damaged files are computed again.
fn check_corroded(climate: Climate) {
    check_weather(climate, 0..900);
    let counts = |story: Story| {
        let sum = |counts: BTreeMap<String, u64>| counts.values().sum::<u64>();
        (sum(story.snapshot.prefixes_computed), sum(story.snapshot.prefixes_restored))
    };
    let (computed, restored) = (0..200)
        .map(|seed| counts(World::new(seed, climate).run()))
        .fold((0, 0), |(computed, restored), (more_computed, more_restored)| {
            (computed + more_computed, restored + more_restored)
        });
    assert!(computed > 100 && restored > 50, "{computed} computed, {restored} restored");
}

#[test]
fn damaged_files_are_computed_again() {
    check_corroded(CORRODED);
}

#[test]
fn what_was_not_restored_beside_the_steps_is_computed() {
    check_corroded(SLOW_AND_CORRODED);
}

#[test]
fn with_room_nothing_is_preempted_and_every_prefix_is_computed_once() {
    for seed in 0..150 {
        let story = World::new(seed, ROOMY).run();
        assert_eq!(story.snapshot.preemptions, 0);
        let computed = &story.snapshot.prefixes_computed;
        assert!(computed.values().all(|count| *count == 1), "{computed:?}");
    }
}
