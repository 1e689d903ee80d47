//! Virtual token counters: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024.
//!
//! Each conductor has a counter of the service it got, divided by its weight; whoever has the lowest goes next. A
//! conductor that had nothing to wait for is lifted to the lowest of those that had, so nobody banks credit.
//! Tokens of a pack's prefix are charged to nobody, for they serve everybody; tokens that are computed again after
//! a preemption are not charged either.

use std::collections::{BTreeMap, BTreeSet};

use baton_contract::{ConductorId, SequenceId};

/// Service of one output token in prompt tokens, as in the paper.
pub(crate) const OUTPUT_COST: usize = 2;

/// Counter units a token at weight 1; so large that no weight rounds a token to nothing.
const UNIT: u128 = 1 << 32;

/// Idle conductors are kept for the service they got until there are this many of all.
const KEPT: usize = 1024;

/// The conductors and who of them goes next.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    conductors: BTreeMap<ConductorId, Conductor>,
    /// Conductors that have something to wait for.
    contending: usize,
    /// The counter of the last conductor that had something to wait for, while none has.
    floor: u128,
}

/// One conductor.
#[derive(Debug)]
pub(crate) struct Conductor {
    counter: u128,
    weight: u32,
    /// Live sequences.
    pub(crate) live: usize,
    /// Live sequences that have not drawn a token since they were admitted or preempted.
    pub(crate) contending: usize,
    /// Prompt tokens of running sequences that are yet to be computed and charged.
    pub(crate) owed: usize,
    /// Waiting sequences by order of admission.
    pub(crate) queue: BTreeSet<(u64, SequenceId)>,
}

/// Orders waiting conductors: lowest counter, then longest wait.
pub(crate) type Turn = (u128, u64, ConductorId);

impl Conductor {
    fn cost(&self, tokens: usize) -> u128 {
        tokens as u128 * UNIT / u128::from(self.weight)
    }
}

impl Fairness {
    pub(crate) fn conductors(&self) -> impl Iterator<Item = (&ConductorId, &Conductor)> {
        self.conductors.iter()
    }

    /// A sequence of this conductor was admitted. Its weight is that of the latest request.
    pub(crate) fn join(&mut self, id: &ConductorId, weight: u32) {
        if self.conductors.len() >= KEPT {
            let level = self.level();
            self.conductors.retain(|_, conductor| conductor.live > 0 || conductor.counter > level);
        }
        let new = || Conductor { counter: 0, weight, live: 0, contending: 0, owed: 0, queue: BTreeSet::new() };
        let conductor = self.conductors.entry(id.clone()).or_insert_with(new);
        conductor.weight = weight;
        conductor.live += 1;
    }

    /// A sequence of this conductor ended.
    pub(crate) fn leave(&mut self, id: &ConductorId) {
        self.conductor(id).live -= 1;
    }

    /// A sequence of this conductor begins to wait for its first token.
    pub(crate) fn contend(&mut self, id: &ConductorId) {
        let level = self.level();
        let conductor = self.conductor(id);
        conductor.contending += 1;
        if conductor.contending == 1 {
            conductor.counter = conductor.counter.max(level);
            self.contending += 1;
        }
    }

    /// It waits no longer.
    pub(crate) fn rest(&mut self, id: &ConductorId) {
        let conductor = self.conductor(id);
        conductor.contending -= 1;
        if conductor.contending == 0 {
            let counter = conductor.counter;
            self.contending -= 1;
            if self.contending == 0 {
                self.floor = counter;
            }
        }
    }

    pub(crate) fn enqueue(&mut self, id: &ConductorId, order: u64, sequence: SequenceId) {
        self.conductor(id).queue.insert((order, sequence));
    }

    pub(crate) fn dequeue(&mut self, id: &ConductorId, order: u64, sequence: SequenceId) {
        self.conductor(id).queue.remove(&(order, sequence));
    }

    /// Prompt tokens are about to be computed: they count for whose turn it is, but not yet as service.
    pub(crate) fn owe(&mut self, id: &ConductorId, tokens: usize) {
        self.conductor(id).owed += tokens;
    }

    /// They will not be computed after all, or they have been.
    pub(crate) fn settle(&mut self, id: &ConductorId, tokens: usize) {
        self.conductor(id).owed -= tokens;
    }

    /// Service of this many prompt tokens.
    pub(crate) fn charge(&mut self, id: &ConductorId, tokens: usize) {
        let conductor = self.conductor(id);
        conductor.counter += conductor.cost(tokens);
    }

    /// Service so far; the lower, the sooner.
    pub(crate) fn counter(&self, id: &ConductorId) -> u128 {
        self.conductors.get(id).map_or(0, |conductor| conductor.counter)
    }

    /// All conductors with waiting sequences, in turn.
    pub(crate) fn turns(&self) -> BTreeSet<Turn> {
        self.conductors.keys().filter_map(|id| self.turn(id)).collect()
    }

    /// This conductor's turn, if it has waiting sequences.
    pub(crate) fn turn(&self, id: &ConductorId) -> Option<Turn> {
        let conductor = self.conductors.get(id)?;
        let (order, _) = conductor.queue.first()?;
        Some((conductor.counter + conductor.cost(conductor.owed), *order, id.clone()))
    }

    /// The conductor's waiting sequences, the one that waits longest first.
    pub(crate) fn queue(&self, id: &ConductorId) -> impl Iterator<Item = SequenceId> {
        self.conductors.get(id).into_iter().flat_map(|conductor| conductor.queue.iter().map(|(_, sequence)| *sequence))
    }

    /// What a newcomer is lifted to.
    fn level(&self) -> u128 {
        let contending = self.conductors.values().filter(|conductor| conductor.contending > 0);
        contending.map(|conductor| conductor.counter).min().unwrap_or(self.floor)
    }

    fn conductor(&mut self, id: &ConductorId) -> &mut Conductor {
        self.conductors.get_mut(id).expect("a conductor is known while it has a live sequence")
    }
}
