//! What the next step computes: growth of running sequences, starts of waiting ones, then chunks of prompts.

use std::collections::BTreeMap;

use baton_contract::{BLOCK_SIZE, ConductorId, Digest, SequenceId};

use crate::prefixes::Entry;
use crate::sequence::{Held, Sequence, Source};
use crate::{BlockCopy, BlockId, KeptPrefix, Owner, Scheduler, Span, StepPlan};

/// A sequence that others overtook so often because there were no blocks for it is overtaken no more.
const PATIENCE: u32 = 16;

/// Sequences without room that one step passes over at most, which bounds the time that planning takes.
const LOOK_AHEAD: usize = 32;

/// Waiting sequences of one conductor that one start looks at, should the first of them have to wait for blocks.
const ABREAST: usize = 8;

/// A step in the making.
#[derive(Default)]
struct Draft {
    copies: Vec<BlockCopy>,
    /// With the prefix that the span's first blocks belong to.
    spans: Vec<(Option<Digest>, Span)>,
    stores: Vec<KeptPrefix>,
    /// Tokens that still fit.
    budget: usize,
}

impl Scheduler {
    /// The next step; `None` if nothing can run, or if the last plan has been neither committed nor aborted.
    ///
    /// Running sequences get their next token first, oldest admission first, and the youngest are preempted if there
    /// are no blocks. Then waiting sequences are started in turn, and what is left of the token budget goes to prompts.
    pub fn plan(&mut self) -> Option<StepPlan> {
        if self.executing {
            return None;
        }
        let mut draft = Draft { budget: self.config.token_budget, ..Draft::default() };
        self.plan_decode(&mut draft);
        self.start_waiting();
        let restores = self.prefixes.to_restore();
        self.plan_prompts(&mut draft);
        if draft.spans.is_empty() && restores.is_empty() {
            return None;
        }
        let mut first_blocks = BTreeMap::<BlockId, usize>::new();
        for first in draft.spans.iter().filter_map(|(_, span)| span.blocks.first()) {
            *first_blocks.entry(*first).or_default() += 1;
        }
        // Side by side with the same prefix or, without one, with the same reused blocks; stable, so else as planned.
        draft.spans.sort_by_key(|(prefix, span)| {
            let first = span.blocks.first().copied();
            (*prefix, first.filter(|first| first_blocks.get(first).is_some_and(|count| *count > 1)))
        });
        self.steps += 1;
        self.executing = true;
        let spans = draft.spans.into_iter().map(|(_, span)| span).collect();
        Some(StepPlan { step: self.steps, restores, copies: draft.copies, spans, stores: draft.stores })
    }

    /// One token for each sequence that lacks only its newest.
    fn plan_decode(&mut self, draft: &mut Draft) {
        let running: Vec<_> = self.running.iter().map(|(_, id)| *id).collect();
        for id in running {
            let sequence = &self.sequences[&id];
            if sequence.remaining() == 1 && self.is_ready(sequence) && self.grow(id) {
                self.add_span(id, draft);
            }
        }
    }

    /// Gives a running sequence the blocks for its known tokens. False if it had to be preempted itself.
    fn grow(&mut self, id: SequenceId) -> bool {
        loop {
            let Some(sequence) = self.sequences.get(&id) else { return false };
            let Some(held) = &sequence.held else { return false };
            if held.blocks.len() >= sequence.own_blocks() {
                return true;
            }
            if let Some(block) = self.take_block() {
                if let Some(held) = self.sequences.get_mut(&id).and_then(|sequence| sequence.held.as_mut()) {
                    held.blocks.push(block);
                }
            } else if let Some((_, youngest)) = self.running.last().copied() {
                self.preempt(youngest);
            }
        }
    }

    /// A block that nobody needs: empty, else reusable, else of an idle prefix.
    fn take_block(&mut self) -> Option<BlockId> {
        loop {
            if let Some(block) = self.pool.take() {
                return Some(block);
            }
            if !self.prefixes.evict(&mut self.pool) {
                return None;
            }
        }
    }

    fn preempt(&mut self, id: SequenceId) {
        self.preemptions += 1;
        self.release(id);
        if let Some(sequence) = self.sequences.get_mut(&id) {
            debug_assert!(!sequence.cancelled, "cancelled sequences end with their step");
            if !std::mem::replace(&mut sequence.contending, true) {
                self.fairness.contend(&sequence.conductor);
            }
        }
    }

    /// Starts waiting sequences in turn. One without room is passed over, but not for ever.
    fn start_waiting(&mut self) {
        if self.waiting() == 0 || self.running.len() >= self.config.max_sequences {
            return;
        }
        let mut turns = self.fairness.turns();
        let mut passed: Vec<SequenceId> = Vec::new();
        while self.running.len() < self.config.max_sequences {
            let Some((_, _, conductor)) = turns.pop_first() else { break };
            let Some(id) = self.first_to_start(&conductor) else { continue };
            if self.start(id) {
                for id in &passed {
                    if let Some(sequence) = self.sequences.get_mut(id) {
                        sequence.passed_over += 1;
                    }
                }
                turns.extend(self.fairness.turn(&conductor));
            } else if passed.len() >= LOOK_AHEAD || self.sequences[&id].passed_over >= PATIENCE {
                break;
            } else {
                passed.push(id);
            }
        }
    }

    /// The sequence of this conductor that waits longest, but for those that had better wait a little longer.
    fn first_to_start(&mut self, conductor: &ConductorId) -> Option<SequenceId> {
        let queue: Vec<_> = self.fairness.queue(conductor).take(ABREAST).collect();
        queue.into_iter().find(|id| !self.is_being_computed(*id))
    }

    /// Whether the next block that a waiting sequence could reuse, if it were there, is about to be computed by a
    /// running one. Of sequences that begin alike, the first computes what they share, and the others start after it.
    ///
    /// Nothing is lost by that: both have the same conductor, so whatever the budget leaves to the one that runs goes
    /// to this block first. It waits for nobody else, and no longer than the other one runs.
    fn is_being_computed(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else { return false };
        let names = sequence.reusable_names();
        let (matching, _) = self.pool.matching(names);
        let Some(wanted) = names.get(matching).cloned() else { return false };
        self.running.iter().any(|(_, id)| self.sequences[id].is_to_compute(matching, &wanted))
    }

    /// Gives a waiting sequence all blocks for its known tokens, and its prefix those it needs. False without room.
    fn start(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else { return false };
        let own = sequence.own_blocks();
        let names = sequence.reusable_names().to_vec();
        let sequence = &self.sequences[&id];
        let entry = self.entry(sequence);
        let (matching, idle) = self.pool.matching(&names);
        let for_prefix = entry.filter(|entry| !entry.is_resident()).map_or(0, |entry| blocks_of(&entry.prefix.tokens));
        // Every running sequence may soon want one more.
        let wanted = own - matching + for_prefix + self.running.len();
        let room = self.pool.available() - idle + self.prefixes.idle_blocks(sequence.digest());
        if wanted > room {
            return false;
        }
        // What is only copied from must stay as well, until it has been.
        let beginning = self.beginning(sequence, matching);
        let beginning = beginning.filter(|(block, _)| self.pool.holders(*block) > 0 || wanted < room);
        let cached = entry.map_or(0, |entry| if entry.users > 0 { entry.prefix.tokens.len() } else { entry.computed });
        let (order, digest) = (sequence.order, sequence.digest().copied());
        if let Some(digest) = digest {
            self.prefixes.hold(&digest);
            self.prefixes.unwant(&digest);
        }
        let mut blocks: Vec<_> = names[..matching].iter().filter_map(|name| self.pool.share(&name.key)).collect();
        if let Some((block, _)) = beginning {
            self.pool.hold(block);
        }
        if let Some(digest) = digest.filter(|_| for_prefix > 0) {
            let taken = (0..for_prefix).filter_map(|_| self.take_block()).collect();
            let payer = (!self.sequences[&id].started).then_some(id);
            self.prefixes.begin(&digest, taken, self.config.keep_prefixes, payer);
        }
        blocks.extend((matching..own).filter_map(|_| self.take_block()));
        self.running.insert((order, id));
        self.note_start(id, blocks, (matching, beginning), cached);
        true
    }

    /// A finished block that begins as the own block at `index` does, for longer than the prefix's tail, and how long.
    fn beginning(&self, sequence: &Sequence, index: usize) -> Option<(BlockId, usize)> {
        let (padded, count) = sequence.beginning(index);
        let tail = if index == 0 { sequence.prefix_tail().len() } else { 0 };
        self.pool.best_beginning(&padded, count).filter(|(_, common)| *common > tail)
    }

    /// Marks a started sequence as running and counts what it need not compute: the prefix, whole reused blocks and
    /// what the next one begins with.
    fn note_start(
        &mut self,
        id: SequenceId,
        blocks: Vec<BlockId>,
        (reused, beginning): (usize, Option<(BlockId, usize)>),
        cached: usize,
    ) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        debug_assert_eq!(blocks.len(), sequence.own_blocks(), "a start has been given all its blocks");
        let prefix_len = sequence.prefix_len();
        let whole = (sequence.shared_blocks() + reused) * BLOCK_SIZE;
        let (computed, source) = match beginning {
            Some((block, common)) => (whole + common, Some(Source::Block(block))),
            None if reused > 0 || prefix_len == whole => (whole, None),
            None => (prefix_len, Some(Source::Prefix)),
        };
        if !std::mem::replace(&mut sequence.started, true) {
            sequence.usage.cached = cached + computed - prefix_len;
            self.cache_queried += sequence.usage.input as u64;
            self.cache_hit += sequence.usage.cached as u64;
        }
        sequence.settled = sequence.settled.max(computed);
        sequence.held = Some(Held { blocks, computed, source, in_step: false });
        self.fairness.dequeue(&sequence.conductor, sequence.order, id);
        self.fairness.owe(&sequence.conductor, sequence.unsettled());
    }

    /// Spends the rest of the budget on prefixes and prompts.
    fn plan_prompts(&mut self, draft: &mut Draft) {
        let ready = self.running.iter().map(|(_, id)| &self.sequences[id]).filter(|sequence| self.is_ready(sequence));
        let mut prompts: Vec<_> = ready
            .filter(|sequence| sequence.held.as_ref().is_some_and(|held| !held.in_step))
            .map(|sequence| (self.fairness.counter(&sequence.conductor), sequence.order, sequence.id))
            .collect();
        prompts.sort_unstable();
        // Prefixes take what prompts leave, but half if they must: neither keeps the other waiting.
        let demand: usize = prompts.iter().map(|(_, _, id)| self.sequences[id].remaining()).sum();
        self.plan_prefixes(draft.budget - demand.min(draft.budget / 2), draft);
        for (_, _, id) in prompts {
            if draft.budget == 0 {
                break;
            }
            self.add_span(id, draft);
        }
    }

    /// Computes prefixes that running sequences await and that are not being restored, the one begun first before others.
    fn plan_prefixes(&self, mut budget: usize, draft: &mut Draft) {
        let mut jobs: Vec<_> =
            self.prefixes.entries().filter(|entry| entry.users > 0 && entry.is_to_compute()).collect();
        jobs.sort_unstable_by_key(|entry| entry.begun);
        for entry in jobs {
            let tokens = &entry.prefix.tokens;
            let (start, end) = (entry.computed, tokens.len().min(entry.computed + budget));
            if start == end {
                break;
            }
            budget -= end - start;
            draft.budget -= end - start;
            let span = Span {
                owner: Owner::Prefix(entry.prefix.digest),
                tokens: tokens[start..end].to_vec(),
                start,
                blocks: entry.blocks[..end.div_ceil(BLOCK_SIZE)].to_vec(),
                shared_blocks: 0,
                adapter: entry.prefix.adapter.clone(),
                draws: false,
            };
            draft.spans.push((Some(entry.prefix.digest), span));
            if self.config.keep_prefixes && end == tokens.len() {
                draft.stores.push(entry.kept());
            }
        }
    }

    /// As much of a running sequence as the budget allows.
    fn add_span(&mut self, id: SequenceId, draft: &mut Draft) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        let shared = sequence.shared_blocks();
        let digest = sequence.digest().copied();
        let prefix_blocks = digest.and_then(|digest| self.prefixes.get(&digest)).map_or(&[][..], |entry| &entry.blocks);
        if let Some(held) = &sequence.held {
            let from = held.source.and_then(|source| match source {
                Source::Prefix => prefix_blocks.last().copied(),
                Source::Block(block) => Some(block),
            });
            draft
                .copies
                .extend(from.map(|from| BlockCopy { from, to: held.blocks[held.computed / BLOCK_SIZE - shared] }));
        }
        let count = sequence.remaining().min(draft.budget);
        if let Some(span) = sequence.next_span(count, &prefix_blocks[..shared]) {
            draft.budget -= count;
            draft.spans.push((digest, span));
        }
    }

    /// Whether nothing is missing before the sequence's own tokens.
    fn is_ready(&self, sequence: &Sequence) -> bool {
        self.entry(sequence).is_none_or(Entry::is_complete)
    }
}

fn blocks_of(tokens: &[u32]) -> usize {
    tokens.len().div_ceil(BLOCK_SIZE)
}
