//! What must always hold, named once: used in simulations, asserted in debug builds, countable in production.

use std::collections::{BTreeMap, HashMap};

use baton_contract::{BLOCK_SIZE, Digest, SequenceId};

use crate::sequence::{Held, Sequence, Source};
use crate::{BlockId, Scheduler};

/// An invariant of the scheduler that does not hold: a bug in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A block is held more or less often than it says: it leaks, or it will be given away while in use.
    #[error("block {block} counts {recorded} holders, but has {holders}")]
    Holders {
        /// Which.
        block: BlockId,
        /// By its own count.
        recorded: u32,
        /// By looking at everything that can hold it.
        holders: u32,
    },
    /// Free list, reusable list and index disagree with the blocks.
    #[error("the block pool's lists disagree with its blocks")]
    Pool,
    /// A block that is yet to be written to can be found by content or has another holder.
    #[error("sequence {} writes to block {block}, which is shared", sequence.0)]
    SharedWrite {
        /// The writer.
        sequence: SequenceId,
        /// What it writes to.
        block: BlockId,
    },
    /// A full block can be found under the name of other content.
    #[error("block {block} of sequence {} has the key of other content", sequence.0)]
    WrongKey {
        /// A holder.
        sequence: SequenceId,
        /// Which.
        block: BlockId,
    },
    /// A sequence is computed further than its tokens or its blocks go.
    #[error("sequence {} has not the blocks for what is computed of it", .0.0)]
    Extent(SequenceId),
    /// A prefix is computed further than its blocks go, or its block count is neither none nor all.
    #[error("the prefix of `{0}` has not the blocks for what is computed of it")]
    Prefix(String),
    /// A prefix is being restored while nothing is executed or copied, or after some of it was computed; or it is copied,
    /// but has no blocks.
    #[error("the prefix of `{0}` is marked as being restored or copied, but is not")]
    Restoring(String),
    /// A prefix counts other users or waiters than it has, or is gone while it has some.
    #[error("prefix {0} counts other users than it has")]
    PrefixUsers(Digest),
    /// A prefix's blocks are shared by anything but the prefix itself.
    #[error("block {0} of a prefix has another holder or a key")]
    Pinned(BlockId),
    /// A sequence is neither in its conductor's queue nor running, or both.
    #[error("sequence {} is not in exactly one of queue and running", .0.0)]
    Place(SequenceId),
    /// A conductor's counts of sequences or of tokens to charge are off.
    #[error("conductor `{0}` has other sequences or debts than it counts")]
    Conductor(String),
    /// More runs than may.
    #[error("{0} sequences run, more than may")]
    Running(usize),
    /// A sequence is part of a step that is not being executed.
    #[error("sequence {} is marked as being executed, but nothing is", .0.0)]
    Step(SequenceId),
}

impl Scheduler {
    /// Checks everything that must hold between any two calls; takes time in proportion to blocks and sequences.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), Broken> {
        if !self.pool.is_consistent() {
            return Err(Broken::Pool);
        }
        if self.running.len() > self.config.max_sequences {
            return Err(Broken::Running(self.running.len()));
        }
        self.check_holders()?;
        self.check_prefixes()?;
        self.check_conductors()?;
        self.sequences.values().try_for_each(|sequence| self.check_sequence(sequence))
    }

    fn check_holders(&self) -> Result<(), Broken> {
        let mut holders = vec![0; self.pool.total()];
        let by_sequences = self.sequences.values().filter_map(|sequence| sequence.held.as_ref());
        let source = |held: &Held| match held.source {
            Some(Source::Block(block)) => Some(block),
            Some(Source::Prefix) | None => None,
        };
        let held = by_sequences.flat_map(|held| held.blocks.iter().copied().chain(source(held)));
        for block in held.chain(self.prefixes.entries().flat_map(|entry| entry.blocks.iter().copied())) {
            holders[block as usize] += 1;
        }
        for (block, holders) in (0..).zip(holders) {
            let recorded = self.pool.holders(block);
            if recorded != holders {
                return Err(Broken::Holders { block, recorded, holders });
            }
        }
        Ok(())
    }

    fn check_prefixes(&self) -> Result<(), Broken> {
        let mut named: HashMap<&Digest, (usize, usize)> = HashMap::new();
        for sequence in self.sequences.values() {
            if let Some(digest) = sequence.digest() {
                let (users, wanted) = named.entry(digest).or_default();
                *(if sequence.held.is_some() { users } else { wanted }) += 1;
            }
        }
        for entry in self.prefixes.entries() {
            let (tokens, blocks) = (entry.prefix.tokens.len(), entry.blocks.len());
            let (users, wanted) = named.remove(&entry.prefix.digest).unwrap_or_default();
            let is_known_for_a_reason = entry.is_resident() || users + wanted > 0;
            if (entry.users, entry.wanted) != (users, wanted) || !is_known_for_a_reason {
                return Err(Broken::PrefixUsers(entry.prefix.digest));
            }
            let is_all_or_nothing = if blocks == 0 { users == 0 } else { blocks == tokens.div_ceil(BLOCK_SIZE) };
            if entry.computed > tokens.min(blocks * BLOCK_SIZE) || !is_all_or_nothing {
                return Err(Broken::Prefix(entry.prefix.label.clone()));
            }
            let is_under_way = self.executing || entry.moving;
            if (entry.restoring && (!is_under_way || entry.computed > 0)) || (entry.moving && !entry.is_resident()) {
                return Err(Broken::Restoring(entry.prefix.label.clone()));
            }
            let is_shared = |block: &&BlockId| self.pool.holders(**block) != 1 || self.pool.name(**block).is_some();
            if let Some(block) = entry.blocks.iter().find(is_shared) {
                return Err(Broken::Pinned(*block));
            }
        }
        named.keys().next().map_or(Ok(()), |digest| Err(Broken::PrefixUsers(**digest)))
    }

    fn check_sequence(&self, sequence: &Sequence) -> Result<(), Broken> {
        let id = sequence.id;
        let Some(held) = &sequence.held else { return Ok(()) };
        let first_written = (held.computed / BLOCK_SIZE).checked_sub(sequence.shared_blocks());
        let Some(first_written) = first_written.filter(|first| *first <= held.blocks.len()) else {
            return Err(Broken::Extent(id));
        };
        // A decoding sequence gets the block for its newest token only when that is planned.
        if held.computed >= sequence.known() || held.blocks.len() + 1 < sequence.own_blocks() {
            return Err(Broken::Extent(id));
        }
        if held.source.is_some() && (held.computed.is_multiple_of(BLOCK_SIZE) || first_written == held.blocks.len()) {
            return Err(Broken::Extent(id));
        }
        if held.in_step && !self.executing {
            return Err(Broken::Step(id));
        }
        for (index, block) in held.blocks.iter().enumerate() {
            let name = self.pool.name(*block);
            if index >= first_written && (name.is_some() || self.pool.holders(*block) != 1) {
                return Err(Broken::SharedWrite { sequence: id, block: *block });
            }
            if name.is_some_and(|name| sequence.known_names().get(index) != Some(name)) {
                return Err(Broken::WrongKey { sequence: id, block: *block });
            }
        }
        Ok(())
    }

    fn check_conductors(&self) -> Result<(), Broken> {
        // Live, contending, owed.
        let mut counts: BTreeMap<_, (usize, usize, usize)> = BTreeMap::new();
        for sequence in self.sequences.values() {
            let (live, contending, owed) = counts.entry(&sequence.conductor).or_default();
            *live += 1;
            *contending += usize::from(sequence.contending);
            *owed += if sequence.held.is_some() { sequence.unsettled() } else { 0 };
        }
        let mut queued = 0;
        for (id, conductor) in self.fairness.conductors() {
            let counts = counts.remove(id).unwrap_or_default();
            if counts != (conductor.live, conductor.contending, conductor.owed) {
                return Err(Broken::Conductor(id.to_string()));
            }
            queued += conductor.queue.len();
            let is_out_of_place = |(order, sequence): &&(u64, SequenceId)| {
                self.running.contains(&(*order, *sequence))
                    || self.sequences.get(sequence).is_none_or(|sequence| sequence.order != *order)
            };
            if let Some((_, sequence)) = conductor.queue.iter().find(is_out_of_place) {
                return Err(Broken::Place(*sequence));
            }
        }
        if let Some((conductor, _)) = counts.pop_first() {
            return Err(Broken::Conductor(conductor.to_string()));
        }
        let holds_nothing = |id: &&SequenceId| self.sequences.get(id).is_none_or(|sequence| sequence.held.is_none());
        if let Some(id) = self.running.iter().map(|(_, id)| id).find(holds_nothing) {
            return Err(Broken::Place(*id));
        }
        let homeless = (queued != self.waiting()).then(|| self.sequences.keys().min()).flatten();
        homeless.map_or(Ok(()), |id| Err(Broken::Place(*id)))
    }
}
