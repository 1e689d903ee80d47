//! Admission, commit, cancel and abort. Planning is in `planner`.

use std::collections::{BTreeSet, HashMap};

use baton_contract::{BLOCK_SIZE, Digest, FinishReason, Generate, SequenceId, TokenId, Usage};

use crate::config::Invalid;
use crate::fairness::{Fairness, OUTPUT_COST};
use crate::pool::Pool;
use crate::prefixes::{Entry, Prefixes};
use crate::sequence::{Sequence, Source};
use crate::{AdmitError, BlockCounts, Drawn, Owner, SchedulerConfig, Snapshot, Span, StepEvent, StepPlan};

/// Decides which tokens run next and which blocks hold them.
///
/// Calls alternate: `plan`, then `commit` or `abort` of that plan; `admit` and `cancel` may come at any time.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: SchedulerConfig,
    pub(crate) pool: Pool,
    pub(crate) prefixes: Prefixes,
    pub(crate) fairness: Fairness,
    /// Only ever looked up, so its order does not matter.
    pub(crate) sequences: HashMap<SequenceId, Sequence>,
    /// Running sequences, oldest admission first.
    pub(crate) running: BTreeSet<(u64, SequenceId)>,
    /// A plan was handed out and has not come back.
    pub(crate) executing: bool,
    pub(crate) steps: u64,
    pub(crate) preemptions: u64,
    pub(crate) cache_queried: u64,
    pub(crate) cache_hit: u64,
    admitted: u64,
}

impl Scheduler {
    /// A scheduler of an empty cache. Limits of 0 that would stop everything are taken as 1.
    pub fn new(config: SchedulerConfig) -> Self {
        let config = config.sane();
        Self {
            config,
            pool: Pool::new(config.blocks),
            prefixes: Prefixes::default(),
            fairness: Fairness::default(),
            sequences: HashMap::new(),
            running: BTreeSet::new(),
            executing: false,
            steps: 0,
            preemptions: 0,
            cache_queried: 0,
            cache_hit: 0,
            admitted: 0,
        }
    }

    /// Whether `request` could ever be admitted; needs no scheduler, so any thread can ask before it submits.
    ///
    /// # Errors
    /// [`AdmitError::TooLong`] or [`AdmitError::Invalid`].
    pub fn limits_check(config: &SchedulerConfig, request: &Generate) -> Result<(), AdmitError> {
        config.sane().check(request)
    }

    /// Takes a request; it waits from now on.
    ///
    /// # Errors
    /// The request is malformed or can never fit, or the queue is full; nothing has changed then.
    pub fn admit(&mut self, id: SequenceId, request: &Generate) -> Result<(), AdmitError> {
        self.config.check(request)?;
        if self.sequences.contains_key(&id) {
            return Err(AdmitError::Invalid(Invalid::KnownSequence(id)));
        }
        if let Some(prefix) = request.prefix.as_ref().filter(|prefix| self.prefixes.clashes(prefix)) {
            return Err(AdmitError::Invalid(Invalid::ClashingPrefix(prefix.label.clone())));
        }
        if self.waiting() >= self.config.max_waiting {
            return Err(AdmitError::Full { waiting: self.waiting() });
        }
        self.admitted += 1;
        let prefix_len = request.input_len() - request.prompt.len();
        let sequence = Sequence::new(id, self.admitted, request, self.config.length_limit(prefix_len));
        if let Some(prefix) = &sequence.prefix {
            self.prefixes.want(prefix);
        }
        self.fairness.join(&sequence.conductor, request.weight);
        self.fairness.contend(&sequence.conductor);
        self.fairness.enqueue(&sequence.conductor, sequence.order, id);
        self.sequences.insert(id, sequence);
        Ok(())
    }

    /// Ends a sequence without an event; false if it is not alive.
    ///
    /// Its blocks are free at once, or, if the step being executed writes to them, once that step comes back.
    pub fn cancel(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else { return false };
        if sequence.held.as_ref().is_some_and(|held| held.in_step) {
            return !std::mem::replace(&mut sequence.cancelled, true);
        }
        self.end(id);
        true
    }

    /// A prefix is copied beside the steps from now on: one of the step being executed that is to be restored, or one
    /// that is complete and to be stored. Its blocks stay its own until [`restored`](Self::restored) or
    /// [`unmoved`](Self::unmoved).
    pub fn moves(&mut self, digest: &Digest) {
        self.prefixes.begin_move(digest);
    }

    /// A prefix is no longer copied beside the steps. If it was to be restored, that did not work, and it is computed.
    pub fn unmoved(&mut self, digest: &Digest) {
        self.prefixes.end_move(digest);
    }

    /// Prefixes that are copied beside the steps. While there are any, that there is no plan may be because of them.
    pub fn moving(&self) -> usize {
        self.prefixes.moving()
    }

    /// A prefix was restored: one of the step being executed, or one that was copied beside the steps. Of a step's, those
    /// that are not told of are computed.
    ///
    /// It stays restored even if the rest of the step fails.
    pub fn restored(&mut self, digest: &Digest) {
        let Some((payer, tokens)) = self.prefixes.restore(digest) else { return };
        if let Some(sequence) = self.sequences.get_mut(&payer) {
            sequence.usage.cached += tokens;
            self.cache_hit += tokens as u64;
        }
    }

    /// Takes a computed step back, with one drawn token for each of its spans that draws, in their order.
    ///
    /// A span whose token is missing draws again in the next step.
    pub fn commit(&mut self, plan: StepPlan, drawn: &[Drawn]) -> Vec<StepEvent> {
        self.executing = false;
        plan.restores.iter().for_each(|kept| self.prefixes.stop_restoring(&kept.prefix.digest));
        let mut events = Vec::with_capacity(drawn.len());
        let mut drawn = drawn.iter().peekable();
        for span in plan.spans {
            match span.owner {
                Owner::Prefix(digest) => self.prefixes.advance(&digest, span.end()),
                Owner::Sequence(id) => {
                    let token = drawn.next_if(|drawn| span.draws && drawn.sequence == id).map(|drawn| drawn.token);
                    debug_assert_eq!(token.is_some(), span.draws, "one drawn token a drawing span, in order");
                    self.commit_span(id, &span, token, &mut events);
                }
            }
        }
        self.check_now_and_then();
        events
    }

    /// Takes a failed step back and drops its sequences, and those that wait for a prefix it was computing. Those that
    /// wait for one it was to restore go on.
    ///
    /// Returns them, without those that were cancelled meanwhile.
    pub fn abort(&mut self, plan: StepPlan) -> Vec<SequenceId> {
        self.withdraw(plan, |_| true)
    }

    /// As [`abort`](Self::abort), but only for the spans that `fails` names. Of the others nothing was computed, but their
    /// copies were made: they are planned again.
    pub fn withdraw(&mut self, plan: StepPlan, fails: impl Fn(&Span) -> bool) -> Vec<SequenceId> {
        self.executing = false;
        plan.restores.iter().for_each(|kept| self.prefixes.stop_restoring(&kept.prefix.digest));
        let mut failed = BTreeSet::new();
        for span in plan.spans {
            match span.owner {
                Owner::Sequence(id) if !fails(&span) => self.put_back(id),
                Owner::Prefix(_) if !fails(&span) => {}
                Owner::Sequence(id) => _ = failed.insert(id),
                Owner::Prefix(digest) => {
                    let waiters = self.running.iter().map(|(_, id)| *id);
                    failed.extend(waiters.filter(|id| self.sequences[id].digest() == Some(&digest)));
                    self.prefixes.discard(&digest, &mut self.pool);
                }
            }
        }
        let failed = failed.into_iter().filter(|id| self.end(*id)).collect();
        self.check_now_and_then();
        failed
    }

    /// The state in numbers.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            running: self.running.len(),
            waiting: self.waiting(),
            blocks: BlockCounts {
                total: self.pool.total(),
                free: self.pool.free(),
                pinned: self.prefixes.entries().map(|entry| entry.blocks.len()).sum(),
                reusable: self.pool.reusable(),
            },
            preemptions: self.preemptions,
            prefixes_computed: self.prefixes.computed().clone(),
            prefixes_restored: self.prefixes.restored().clone(),
            cache_queried: self.cache_queried,
            cache_hit: self.cache_hit,
            usage: self.sequences.iter().map(|(id, sequence)| (*id, sequence.usage)).collect(),
        }
    }

    /// What one live sequence has cost so far.
    pub fn usage(&self, id: SequenceId) -> Option<Usage> {
        self.sequences.get(&id).map(|sequence| sequence.usage)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.sequences.len() - self.running.len()
    }

    /// The prefix that a sequence names.
    pub(crate) fn entry(&self, sequence: &Sequence) -> Option<&Entry> {
        self.prefixes.get(sequence.digest()?)
    }

    /// In debug builds only, and not at every step: it takes time in proportion to the whole cache.
    fn check_now_and_then(&self) {
        debug_assert!(!self.steps.is_multiple_of(64) || self.check_invariants() == Ok(()));
    }

    fn commit_span(&mut self, id: SequenceId, span: &Span, token: Option<TokenId>, events: &mut Vec<StepEvent>) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        if sequence.cancelled {
            self.end(id);
            return;
        }
        // Without its draw the last token must be computed again, for the draw follows it.
        let end = span.end() - usize::from(span.draws && token.is_none());
        let Some(held) = &mut sequence.held else { return };
        held.in_step = false;
        held.computed = end;
        if let Some(Source::Block(block)) = held.source.take() {
            self.pool.release(block);
        }
        let prompt = sequence.usage.input.min(end).saturating_sub(sequence.settled);
        sequence.settled += prompt;
        self.fairness.settle(&sequence.conductor, prompt);
        self.fairness.charge(&sequence.conductor, prompt);
        self.publish(id, span.start / BLOCK_SIZE, end / BLOCK_SIZE);
        if let Some(token) = token {
            self.draw(id, token, events);
        }
    }

    /// Its span was not computed, but what the span's first block begins with was copied.
    fn put_back(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        if sequence.cancelled {
            self.end(id);
            return;
        }
        let Some(held) = &mut sequence.held else { return };
        held.in_step = false;
        if let Some(Source::Block(block)) = held.source.take() {
            self.pool.release(block);
        }
    }

    /// Makes own blocks findable; `from..to` counts the prefix's.
    fn publish(&mut self, id: SequenceId, from: usize, to: usize) {
        let Some(sequence) = self.sequences.get_mut(&id).filter(|_| from < to) else { return };
        let own = from - sequence.shared_blocks()..to - sequence.shared_blocks();
        let names = sequence.names()[own.clone()].to_vec();
        let Some(held) = &sequence.held else { return };
        for (block, name) in held.blocks[own].iter().zip(names) {
            self.pool.publish(*block, name);
        }
    }

    fn draw(&mut self, id: SequenceId, token: TokenId, events: &mut Vec<StepEvent>) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.usage.output += 1;
        self.fairness.charge(&sequence.conductor, OUTPUT_COST);
        if std::mem::take(&mut sequence.contending) {
            self.fairness.rest(&sequence.conductor);
        }
        let reason = if sequence.stop.ends(token) {
            Some(FinishReason::Stop)
        } else {
            sequence.push(token);
            events.push(StepEvent::Token { sequence: id, token });
            (sequence.usage.output >= sequence.output_limit).then_some(FinishReason::Length)
        };
        if let Some(reason) = reason {
            events.push(StepEvent::Finished { sequence: id, reason, usage: sequence.usage });
            self.end(id);
        }
    }

    /// Forgets a sequence and gives back all it holds. False if it had been cancelled.
    fn end(&mut self, id: SequenceId) -> bool {
        if self.sequences.get(&id).is_some_and(|sequence| sequence.held.is_some()) {
            self.release(id);
        }
        let Some(sequence) = self.sequences.remove(&id) else { return false };
        self.fairness.dequeue(&sequence.conductor, sequence.order, id);
        if let Some(digest) = sequence.digest() {
            self.prefixes.unwant(digest);
        }
        if sequence.contending {
            self.fairness.rest(&sequence.conductor);
        }
        self.fairness.leave(&sequence.conductor);
        !sequence.cancelled
    }

    /// Turns a running sequence into a waiting one and gives back all it holds.
    pub(crate) fn release(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        let Some(held) = sequence.held.take() else { return };
        // The last block first: of a chain, the end is forgotten before the beginning.
        held.blocks.into_iter().rev().for_each(|block| self.pool.release(block));
        if let Some(Source::Block(block)) = held.source {
            self.pool.release(block);
        }
        self.fairness.settle(&sequence.conductor, sequence.unsettled());
        self.fairness.enqueue(&sequence.conductor, sequence.order, id);
        if let Some(prefix) = &sequence.prefix {
            self.prefixes.want(prefix);
            self.prefixes.unhold(&prefix.digest);
        }
        self.running.remove(&(sequence.order, id));
    }
}
