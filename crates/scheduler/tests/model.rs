//! An executor that computes nothing but remembers, for every slot of the cache, whose history was written there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use baton_contract::{BLOCK_SIZE, ConductorId, Digest, Generate, Prefix, SequenceId, TokenId};
use baton_scheduler::{Drawn, KeptPrefix, Owner, Span, StepPlan};

use crate::support::END;

/// What one slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// Hash of the pack and of all tokens up to this position.
    history: u64,
    /// Whose work wrote it; `None` for a pack's prefix.
    writer: Option<ConductorId>,
}

/// What the model knows of one sequence.
#[derive(Debug)]
pub(crate) struct Known {
    request: Generate,
    /// Prefix, prompt and output.
    pub(crate) tokens: Vec<TokenId>,
    histories: Vec<u64>,
}

/// The cache and the truth about all that may be in it.
#[derive(Debug)]
pub(crate) struct Model {
    slots: Vec<Option<Slot>>,
    pub(crate) sequences: BTreeMap<SequenceId, Known>,
    prefixes: BTreeMap<Digest, Arc<Prefix>>,
    /// What was stored of prefixes, if they are kept.
    stored: Option<BTreeMap<Digest, Vec<Option<Slot>>>>,
    /// Blocks that are copied beside the steps.
    moving: HashSet<u32>,
    token_budget: usize,
}

impl Known {
    fn new(request: Generate) -> Self {
        let prefix = request.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens);
        let tokens = [prefix, &request.prompt].concat();
        let histories = histories(request.prefix.as_ref().map(|prefix| prefix.digest), &tokens);
        Self { request, tokens, histories }
    }

    pub(crate) fn output(&self) -> usize {
        self.tokens.len() - self.request.input_len()
    }

    /// The model's only answer to this history.
    pub(crate) fn answer(&self) -> TokenId {
        let last = *self.histories.last().expect("a prompt is never empty");
        if last.is_multiple_of(23) { END } else { u32::try_from(last % 11).expect("small") + 2 }
    }

    /// Whether an end token ends the sequence.
    pub(crate) fn heeds_end(&self) -> bool {
        !self.request.stop.ignore_end
    }

    pub(crate) fn push(&mut self, token: TokenId) {
        let last = *self.histories.last().expect("a prompt is never empty");
        self.histories.push(mix(last ^ u64::from(token)));
        self.tokens.push(token);
    }
}

impl Model {
    pub(crate) fn new(blocks: usize, token_budget: usize, keep_prefixes: bool) -> Self {
        let slots = vec![None; blocks * BLOCK_SIZE];
        let stored = keep_prefixes.then(BTreeMap::new);
        let (sequences, prefixes, moving) = (BTreeMap::new(), BTreeMap::new(), HashSet::new());
        Self { slots, sequences, prefixes, stored, moving, token_budget }
    }

    pub(crate) fn add(&mut self, id: SequenceId, request: Generate) {
        if let Some(prefix) = &request.prefix {
            self.prefixes.insert(prefix.digest, Arc::clone(prefix));
        }
        self.sequences.insert(id, Known::new(request));
    }

    /// Restores what is stored, but leaves garbage where `is_damaged` says so; returns what is whole.
    pub(crate) fn restore<'a>(
        &mut self,
        all: impl Iterator<Item = &'a KeptPrefix>,
        mut is_damaged: impl FnMut() -> bool,
    ) -> Vec<Digest> {
        let mut restored = Vec::new();
        for KeptPrefix { prefix, blocks } in all {
            let stored = self.stored.as_ref().expect("prefixes are kept").get(&prefix.digest);
            let mut slots = stored.cloned().unwrap_or_else(|| vec![None; prefix.tokens.len()]);
            if is_damaged() {
                slots.fill(None);
            } else if stored.is_some() {
                restored.push(prefix.digest);
            }
            for (position, found) in slots.into_iter().enumerate() {
                self.slots[slot(blocks[position / BLOCK_SIZE], position % BLOCK_SIZE)] = found;
            }
        }
        restored
    }

    /// Executes a step and checks that every span sees exactly its own history.
    pub(crate) fn step(&mut self, plan: &StepPlan) -> Vec<Drawn> {
        self.copy(plan);
        plan.spans.iter().for_each(|span| self.write(span));
        plan.spans.iter().for_each(|span| self.check_reads(span));
        for KeptPrefix { prefix, .. } in &plan.stores {
            let is_last = |span: &Span| span.owner == Owner::Prefix(prefix.digest) && span.end() == prefix.tokens.len();
            assert!(plan.spans.iter().any(is_last), "{} is stored when it is complete", prefix.label);
        }
        let drawing = plan.spans.iter().filter(|span| span.draws);
        drawing
            .map(|span| match span.owner {
                Owner::Sequence(sequence) => Drawn { sequence, token: self.sequences[&sequence].answer() },
                Owner::Prefix(_) => panic!("a prefix draws nothing"),
            })
            .collect()
    }

    /// Makes a step's copies, and computes nothing.
    pub(crate) fn copy(&mut self, plan: &StepPlan) {
        self.check_shape(plan);
        for copy in &plan.copies {
            for offset in 0..BLOCK_SIZE {
                let [from, to] = [copy.from, copy.to].map(|block| block as usize * BLOCK_SIZE + offset);
                self.slots[to] = self.slots[from].clone();
            }
        }
    }

    /// Fails in the middle of a step: whatever it was to write is garbage.
    pub(crate) fn fail(&mut self, plan: &StepPlan) {
        self.check_shape(plan);
        let copied = plan.copies.iter().flat_map(|copy| (0..BLOCK_SIZE).map(|offset| slot(copy.to, offset)));
        let written = plan.spans.iter().flat_map(|span| (span.start..span.end()).map(|position| at(span, position)));
        for slot in copied.chain(written) {
            self.slots[slot] = None;
        }
    }

    /// From now on, the blocks are copied beside the steps; if `into`, what they hold is no longer anything.
    pub(crate) fn begin_move(&mut self, KeptPrefix { blocks, .. }: &KeptPrefix, into: bool) {
        for block in blocks {
            if into {
                self.slots[slot(*block, 0)..slot(*block, BLOCK_SIZE)].fill(None);
            }
            assert!(self.moving.insert(*block), "block {block} is copied twice at once");
        }
    }

    pub(crate) fn end_move(&mut self, KeptPrefix { blocks, .. }: &KeptPrefix) {
        for block in blocks {
            assert!(self.moving.remove(block), "block {block} was not copied");
        }
    }

    /// Takes a complete prefix out.
    pub(crate) fn store(&mut self, KeptPrefix { prefix, blocks }: &KeptPrefix) {
        let place = |position: usize| slot(blocks[position / BLOCK_SIZE], position % BLOCK_SIZE);
        let slots = (0..prefix.tokens.len()).map(|position| self.slots[place(position)].clone());
        let slots: Vec<_> = slots.collect();
        let truth = histories(Some(prefix.digest), &prefix.tokens);
        let found = slots.iter().map(|slot: &Option<Slot>| slot.as_ref().map(|slot| slot.history));
        assert!(found.eq(truth.into_iter().map(Some)), "{} is still whole when it is taken out", prefix.label);
        self.stored.as_mut().expect("prefixes are kept").insert(prefix.digest, slots);
    }

    fn write(&mut self, span: &Span) {
        let (tokens, histories, writer) = self.truth(span);
        assert_eq!(span.tokens, tokens[span.start..span.end()], "tokens of {:?}", span.owner);
        for (position, history) in histories.into_iter().enumerate().take(span.end()).skip(span.start) {
            let slot = at(span, position);
            if position % BLOCK_SIZE == 0 {
                // What follows in this block is from another life.
                self.slots[slot..slot + BLOCK_SIZE].fill(None);
            }
            self.slots[slot] = Some(Slot { history, writer: writer.clone() });
        }
    }

    fn check_reads(&self, span: &Span) {
        let (_, histories, writer) = self.truth(span);
        let prefix_len = match span.owner {
            Owner::Sequence(id) => self.sequences[&id].request.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len()),
            Owner::Prefix(_) => 0,
        };
        for (position, history) in histories.into_iter().enumerate().take(span.end()) {
            let found = self.slots[at(span, position)].as_ref();
            let found = found.unwrap_or_else(|| panic!("{:?} reads nothing at {position}", span.owner));
            assert_eq!(found.history, history, "{:?} reads another's past at {position}", span.owner);
            // A reused first block was copied from the prefix by its writer.
            let writer = if position < prefix_len { None } else { writer.clone() };
            assert_eq!(found.writer, writer, "{:?} reads a block of another conductor", span.owner);
        }
    }

    /// Tokens, histories and conductor of a span's owner.
    fn truth(&self, span: &Span) -> (Vec<TokenId>, Vec<u64>, Option<ConductorId>) {
        match span.owner {
            Owner::Sequence(id) => {
                let known = &self.sequences[&id];
                (known.tokens.clone(), known.histories.clone(), Some(known.request.conductor.clone()))
            }
            Owner::Prefix(digest) => {
                let tokens = self.prefixes[&digest].tokens.clone();
                let histories = histories(Some(digest), &tokens);
                (tokens, histories, None)
            }
        }
    }

    /// What must hold of any plan, whatever is in the cache.
    fn check_shape(&self, plan: &StepPlan) {
        assert!(!plan.spans.is_empty() || !plan.restores.is_empty());
        self.check_kept(plan);
        let tokens: usize = plan.spans.iter().map(|span| span.tokens.len()).sum();
        assert!(tokens <= self.token_budget, "{tokens} tokens, more than the budget");
        let mut owners = HashSet::new();
        let mut written = HashSet::new();
        for span in &plan.spans {
            assert!(!span.tokens.is_empty() && owners.insert(span.owner), "one span an owner: {:?}", span.owner);
            assert_eq!(span.blocks.len(), span.end().div_ceil(BLOCK_SIZE), "blocks of {:?}", span.owner);
            let distinct: HashSet<_> = span.blocks.iter().collect();
            assert_eq!(distinct.len(), span.blocks.len(), "{:?} holds a block twice", span.owner);
            for block in &span.blocks[span.start / BLOCK_SIZE..] {
                assert!(written.insert(*block), "block {block} has two writers");
            }
            self.check_draw(span);
        }
        for span in &plan.spans {
            for block in &span.blocks[..span.start / BLOCK_SIZE] {
                assert!(!written.contains(block), "block {block} is read while it is written");
            }
        }
        let changed = written.iter().copied().chain(plan.copies.iter().map(|copy| copy.to));
        for block in changed {
            assert!(!self.moving.contains(&block), "block {block} is written while it is copied");
        }
        let mut targets = HashSet::new();
        for copy in &plan.copies {
            assert!(
                written.contains(&copy.to) && targets.insert(copy.to),
                "a copy goes where a span goes on: {copy:?}"
            );
            assert!(!written.contains(&copy.from), "a copied block is complete: {copy:?}");
        }
        self.check_neighbours(plan);
        self.check_nothing_is_done_twice(plan);
    }

    /// Of one conductor's sequences that begin alike, only one at a time computes what the others could reuse.
    fn check_nothing_is_done_twice(&self, plan: &StepPlan) {
        let mut blocks = HashSet::new();
        for span in &plan.spans {
            let Owner::Sequence(id) = span.owner else { continue };
            let Known { request, histories, .. } = &self.sequences[&id];
            // The last token of the input is always computed, so the block that it completes is not reusable.
            for end in (span.start / BLOCK_SIZE + 1..).map(|block| block * BLOCK_SIZE) {
                if end >= request.input_len() || end >= span.end() + BLOCK_SIZE {
                    break;
                }
                let block = (&request.conductor, histories[end - 1]);
                assert!(blocks.insert(block), "the block of {id:?} up to {end} is computed twice at once");
            }
        }
    }

    /// Prefixes are kept only if that is wanted, and none is restored and read in one step.
    fn check_kept(&self, plan: &StepPlan) {
        let completed = plan.spans.iter().filter(|span| match span.owner {
            Owner::Prefix(digest) => span.end() == self.prefixes[&digest].tokens.len(),
            Owner::Sequence(_) => false,
        });
        assert_eq!(plan.stores.len(), if self.stored.is_some() { completed.count() } else { 0 });
        assert!(self.stored.is_some() || plan.restores.is_empty());
        for KeptPrefix { prefix, blocks } in &plan.restores {
            assert_eq!(blocks.len(), prefix.tokens.len().div_ceil(BLOCK_SIZE), "all blocks of {}", prefix.label);
            let holds = |span: &Span| span.blocks.iter().any(|block| blocks.contains(block));
            assert!(!plan.spans.iter().any(holds), "{} is used while it is restored", prefix.label);
        }
    }

    /// Draws continue where the output ended, and only after the last known token.
    fn check_draw(&self, span: &Span) {
        if let Owner::Sequence(id) = span.owner {
            let known = &self.sequences[&id];
            let shared = known.request.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len() / BLOCK_SIZE);
            assert_eq!(span.shared_blocks, shared);
            assert_eq!(span.draws, span.end() == known.tokens.len(), "{:?}", span.owner);
        } else {
            assert!(!span.draws && span.shared_blocks == 0);
        }
    }

    /// Spans with one prefix stand side by side.
    fn check_neighbours(&self, plan: &StepPlan) {
        let prefixes: Vec<_> = plan.spans.iter().map(|span| self.prefix_of(span)).collect();
        let mut seen = HashSet::new();
        for group in prefixes.chunk_by(|a, b| a == b) {
            assert!(group[0].is_none() || seen.insert(group[0]), "spans of one prefix are apart");
        }
    }

    fn prefix_of(&self, span: &Span) -> Option<Digest> {
        match span.owner {
            Owner::Sequence(id) => self.sequences[&id].request.prefix.as_ref().map(|prefix| prefix.digest),
            Owner::Prefix(digest) => Some(digest),
        }
    }
}

fn slot(block: u32, offset: usize) -> usize {
    block as usize * BLOCK_SIZE + offset
}

fn at(span: &Span, position: usize) -> usize {
    slot(span.blocks[position / BLOCK_SIZE], position % BLOCK_SIZE)
}

/// One hash a position, each over all that comes before it.
fn histories(pack: Option<Digest>, tokens: &[TokenId]) -> Vec<u64> {
    let root = pack.map_or(0, |digest| digest.as_bytes().iter().fold(1, |hash, byte| mix(hash ^ u64::from(*byte))));
    let next = |hash: &mut u64, token: &TokenId| {
        *hash = mix(*hash ^ u64::from(*token));
        Some(*hash)
    };
    tokens.iter().scan(root, next).collect()
}

/// The finaliser of `SplitMix64` (Steele et al., 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
