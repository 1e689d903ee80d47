//! The default model in random batches: whatever else is computed, a row's logits have the bits that it has alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use baton_decoder::{BLOCK, Batch, Decoder, PagedCache};
use baton_kernels::Kernels;
use candle_core::DType;

use crate::support::real_model;
use crate::support::sequences::{Sequence, batch, bits};
use crate::support::tiny::Noise;

/// Tokens of the pack that some sequences begin with: more than a partition of attention, and a part of a block.
const PREFIX: usize = 150;
/// Each sequence's tokens after the pack, or from its beginning, and whether it begins with the pack.
const SEQUENCES: [(usize, bool); 6] = [(70, true), (33, true), (120, true), (6, true), (160, false), (41, false)];
const BLOCKS: usize = 60;
/// Most tokens of a batch.
const BUDGET: usize = 90;
const RUNS: u64 = 4;

/// The real model on one to four threads.
struct Machines(Vec<Decoder>);

/// One sequence's tokens, and what the model says after each of them when nothing else is computed.
struct Alone {
    tokens: Vec<u32>,
    twin: bool,
    /// A hash of the logits' bits at each position.
    rows: Vec<u64>,
}

/// A run of random batches.
struct Run<'a> {
    machines: &'a Machines,
    wanted: &'a [Alone],
    cache: PagedCache,
    noise: Noise,
    free: Vec<u32>,
    /// Blocks of the computed pack; its last one is written in part, and is copied.
    pack: Vec<u32>,
    sequences: Vec<Option<Running>>,
    seen: Seen,
}

struct Running {
    at: Sequence,
    shared: usize,
}

/// What a run has met; a test of nothing would pass as well.
#[derive(Debug, Default)]
struct Seen {
    compared: usize,
    largest_batch: usize,
    preemptions: usize,
    on_pack: usize,
    on_their_own: usize,
}

impl Machines {
    fn load() -> Self {
        let file = real_model();
        Self((1..=4).map(|threads| Decoder::load(&file, Kernels::new(threads), &mut |_, _| ()).unwrap()).collect())
    }

    fn forward(&self, threads: usize, batch: &Batch, cache: &mut PagedCache) -> Vec<u64> {
        let logits = self.0[threads].forward(batch, cache).unwrap();
        let rows = logits.map_or(Vec::new(), |logits| logits.to_vec2::<f32>().unwrap());
        rows.iter().map(|row| hash(row)).collect()
    }

    fn cache(&self, blocks: usize) -> PagedCache {
        PagedCache::new(self.0[0].kernels(), self.0[0].architecture(), blocks, DType::F16).unwrap()
    }

    /// The whole sequence in one batch on one thread.
    fn alone(&self, tokens: Vec<u32>, twin: bool) -> Alone {
        let mut sequence = Sequence::new(&(0..20).collect::<Vec<_>>());
        let mut batch = batch(&mut [(&mut sequence, &tokens, false)]);
        // What the pack's own rows say is looked at once.
        let first = if twin { PREFIX - 1 } else { 0 };
        batch.draw_rows = (first as u32..tokens.len() as u32).collect();
        let drawn = self.forward(0, &batch, &mut self.cache(20));
        Alone { rows: std::iter::repeat_n(0, first).chain(drawn).collect(), tokens, twin }
    }
}

fn hash(row: &[f32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bits(row).hash(&mut hasher);
    hasher.finish()
}

impl Run<'_> {
    fn below(&mut self, bound: usize) -> usize {
        (self.noise.next() % bound as u64) as usize
    }

    /// A block that anybody may have left something in.
    fn block(&mut self) -> u32 {
        let index = self.below(self.free.len());
        self.free.swap_remove(index)
    }

    /// Computes the pack alone, in chunks of random length.
    fn compute_pack(&mut self) {
        self.pack = (0..PREFIX.div_ceil(BLOCK)).map(|_| self.block()).collect();
        let mut sequence = Sequence::new(&self.pack);
        while sequence.len < PREFIX {
            let rows = (1 + self.below(BUDGET)).min(PREFIX - sequence.len);
            let tokens = &self.wanted[0].tokens[sequence.len..sequence.len + rows];
            let threads = self.below(4);
            let batch = batch(&mut [(&mut sequence, tokens, false)]);
            self.machines.forward(threads, &batch, &mut self.cache);
        }
    }

    /// Begins a sequence: on the pack's blocks, or with a copy of the pack of its own.
    fn begin(&mut self, index: usize) {
        let shared = if self.wanted[index].twin && self.below(4) > 0 { PREFIX / BLOCK } else { 0 };
        let mut at = Sequence { blocks: self.pack[..shared].to_vec(), len: 0 };
        while at.blocks.len() * BLOCK < self.wanted[index].tokens.len() {
            at.blocks.push(self.block());
        }
        if shared > 0 {
            let kernels = self.machines.0[0].kernels();
            self.cache.copy_block(kernels, self.pack[shared], at.blocks[shared]).unwrap();
            at.len = PREFIX;
            self.seen.on_pack += 1;
        } else {
            self.seen.on_their_own += 1;
        }
        self.sequences[index] = Some(Running { at, shared });
    }

    /// Gives a sequence's own blocks back.
    fn end(&mut self, index: usize) {
        if let Some(Running { at, shared }) = self.sequences[index].take() {
            self.free.extend(&at.blocks[shared..]);
        }
    }

    /// One batch of some of the unfinished sequences, in random order; says which are finished by it.
    fn step(&mut self, unfinished: &[usize]) -> Vec<usize> {
        let mut order = unfinished.to_vec();
        let mut budget = BUDGET;
        let mut chosen = Vec::new();
        while !order.is_empty() && budget > 0 {
            let pick = self.below(order.len());
            let index = order.swap_remove(pick);
            if self.sequences[index].is_none() {
                self.begin(index);
            }
            let Some(running) = self.sequences[index].take() else { continue };
            let left = self.wanted[index].tokens.len() - running.at.len;
            let longest = if self.below(3) == 0 { left } else { 1 };
            let rows = (1 + self.below(longest)).min(budget);
            budget -= rows;
            chosen.push((index, running, rows));
            if self.below(4) == 0 {
                break;
            }
        }
        let starts: Vec<usize> = chosen.iter().map(|(_, running, _)| running.at.len).collect();
        let shared: Vec<usize> = chosen.iter().map(|(_, running, _)| running.shared).collect();
        let wanted = self.wanted;
        let mut work: Vec<_> = chosen
            .iter_mut()
            .map(|(index, Running { at, .. }, rows)| {
                let tokens = &wanted[*index].tokens[at.len..at.len + *rows];
                (at, tokens, true)
            })
            .collect();
        let mut batch = batch(&mut work);
        for (span, shared) in batch.layout.spans.iter_mut().zip(shared) {
            span.shared_blocks = shared;
        }
        let threads = self.below(4);
        let found = self.machines.forward(threads, &batch, &mut self.cache);
        self.seen.largest_batch = self.seen.largest_batch.max(chosen.len());
        let mut finished = Vec::new();
        for (((index, running, rows), start), found) in chosen.into_iter().zip(starts).zip(found) {
            let last = start + rows - 1;
            let Alone { tokens, twin, rows: expected } = &wanted[index];
            // The rows inside the pack were not computed alone.
            if !twin || last >= PREFIX - 1 {
                assert_eq!(found, expected[last], "sequence {index}, position {last}, threads {}", threads + 1);
                self.seen.compared += 1;
            }
            let is_over = running.at.len == tokens.len();
            self.sequences[index] = Some(running);
            if is_over {
                self.end(index);
                finished.push(index);
            }
        }
        finished
    }

    /// Until every sequence is finished.
    fn finish(mut self) -> Seen {
        self.compute_pack();
        let mut unfinished: Vec<usize> = (0..SEQUENCES.len()).collect();
        while !unfinished.is_empty() {
            let finished = self.step(&unfinished);
            unfinished.retain(|index| !finished.contains(index));
            if !unfinished.is_empty() && self.below(6) == 0 {
                let victim = self.below(unfinished.len());
                self.seen.preemptions += usize::from(self.sequences[unfinished[victim]].is_some());
                self.end(unfinished[victim]);
            }
        }
        self.seen
    }
}

/// Random subsets, orders, chunks, blocks and threads; sequences on a shared pack and on a copy of their own;
/// preempted ones begin again in blocks that others have used.
#[test]
fn a_row_has_the_same_bits_in_any_company() {
    let machines = Machines::load();
    let mut noise = Noise(1);
    let mut tokens = |count: usize| (0..count).map(|_| (noise.next() % 49_152) as u32).collect::<Vec<_>>();
    let pack = tokens(PREFIX);
    let wanted = SEQUENCES.map(|(count, twin)| {
        let begin = if twin { pack.as_slice() } else { &[] };
        machines.alone([begin, &tokens(count)].concat(), twin)
    });
    let mut all = Seen::default();
    for seed in 0..RUNS {
        let run = Run {
            machines: &machines,
            wanted: &wanted,
            cache: machines.cache(BLOCKS),
            noise: Noise(seed),
            free: (0..BLOCKS as u32).collect(),
            pack: Vec::new(),
            sequences: SEQUENCES.iter().map(|_| None).collect(),
            seen: Seen::default(),
        };
        let seen = run.finish();
        all.compared += seen.compared;
        all.largest_batch = all.largest_batch.max(seen.largest_batch);
        all.preemptions += seen.preemptions;
        all.on_pack += seen.on_pack;
        all.on_their_own += seen.on_their_own;
    }
    let Seen { compared, largest_batch, preemptions, on_pack, on_their_own } = all;
    let many = compared > 150 && largest_batch == SEQUENCES.len() && preemptions > 3;
    assert!(many && on_pack > 8 && on_their_own > 8, "the batches were not varied: {all:?}");
}
