//! Adapters where the decoder reads them.

use std::collections::HashMap;
use std::sync::Arc;

use baton_contract::{Adapter, Digest};
use baton_decoder::{AdapterWeights, Backend, Decoder, Error, Kernels};

use crate::ExecutorError;

/// Adapters where the decoder reads them, within a budget: those used longest ago give way. Whoever may still ask for one
/// holds its weights in the host's memory, so it can be brought back.
pub(crate) struct Resident<B: Backend = Kernels> {
    /// Bytes.
    budget: usize,
    /// Counts steps.
    clock: u64,
    held: HashMap<Digest, Held<B>>,
}

struct Held<B: Backend> {
    adapter: Arc<baton_decoder::Adapter<B>>,
    /// The last step that used it.
    used: u64,
}

/// The adapter of each span, if it has one.
pub(crate) type OfSpans<B> = Vec<Option<Arc<baton_decoder::Adapter<B>>>>;

impl<B: Backend> Resident<B> {
    /// None yet, and at most so many bytes of them, unless one step needs more.
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, clock: 0, held: HashMap::new() }
    }

    /// The adapters of a step's spans; brings those that are missing.
    ///
    /// # Errors
    /// There is no room even for those of this step, the weights are not such as this executor reads, or the device is lost.
    pub(crate) fn of<'a>(
        &mut self,
        decoder: &Decoder<B>,
        spans: impl Iterator<Item = Option<&'a Adapter>>,
    ) -> Result<OfSpans<B>, ExecutorError> {
        self.clock += 1;
        let spans: Vec<_> = spans.collect();
        for adapter in spans.iter().flatten() {
            if let Some(held) = self.held.get_mut(&adapter.digest()) {
                held.used = self.clock;
            }
        }
        spans.into_iter().map(|adapter| adapter.map(|adapter| self.one(decoder, adapter)).transpose()).collect()
    }

    fn one(
        &mut self,
        decoder: &Decoder<B>,
        adapter: &Adapter,
    ) -> Result<Arc<baton_decoder::Adapter<B>>, ExecutorError> {
        let digest = adapter.digest();
        if let Some(held) = self.held.get(&digest) {
            return Ok(Arc::clone(&held.adapter));
        }
        let weights: &AdapterWeights = adapter.weights().ok_or_else(|| ExecutorError::Adapter {
            adapter: digest,
            source: "it has no weights that can be read here".into(),
        })?;
        let mut placed = decoder.adapter(weights);
        while placed.as_ref().is_err_and(Error::is_want_of_memory) && self.give_way() {
            placed = decoder.adapter(weights);
        }
        let placed = Arc::new(placed.map_err(|error| match Box::new(error) {
            error if error.is_lost() => ExecutorError::Lost(error),
            source => ExecutorError::Adapter { adapter: digest, source },
        })?);
        tracing::info!(adapter = digest.short(), bytes = placed.bytes(), "an adapter is loaded");
        self.held.insert(digest, Held { adapter: Arc::clone(&placed), used: self.clock });
        while self.bytes() > self.budget && self.give_way() {}
        Ok(placed)
    }

    fn bytes(&self) -> usize {
        self.held.values().map(|held| held.adapter.bytes()).sum()
    }

    /// Drops the adapter that was used longest ago. False if this step uses all that there are.
    fn give_way(&mut self) -> bool {
        let idle = self.held.iter().filter(|(_, held)| held.used < self.clock);
        let Some((&digest, _)) = idle.min_by_key(|(digest, held)| (held.used, **digest)) else { return false };
        self.held.remove(&digest);
        tracing::info!(adapter = digest.short(), "an adapter gave way to others");
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decoder_executor::tests::architecture;

    #[test]
    fn those_used_longest_ago_give_way_but_none_of_this_step() {
        let decoder = Decoder::random(architecture(), 1, Kernels::new(1)).unwrap();
        let weights = Arc::new(AdapterWeights::random(decoder.architecture(), 8, 1, 0.1).unwrap());
        let bytes = decoder.adapter(&weights).unwrap().bytes();
        let adapters: Vec<_> = (0..5u8).map(|index| Adapter::new(Digest::of(&[index]), weights.clone())).collect();
        let mut resident = Resident::new(2 * bytes + bytes / 2);
        let mut step = |which: &[usize]| {
            let spans = which.iter().map(|index| Some(&adapters[*index])).chain([None]);
            let found = resident.of(&decoder, spans).unwrap();
            assert_eq!(
                found.iter().map(Option::is_some).collect::<Vec<_>>(),
                [vec![true; which.len()], vec![false]].concat()
            );
            let held = |index: &usize| resident.held.contains_key(&adapters[*index].digest());
            (0..5).filter(held).collect::<BTreeSet<_>>()
        };
        assert_eq!(step(&[0, 1, 0]), [0, 1].into());
        assert_eq!(step(&[1]), [0, 1].into());
        assert_eq!(step(&[2]), [1, 2].into());
        assert_eq!(step(&[0, 3, 4]), [0, 3, 4].into(), "what a step needs is there, whatever the budget");
        assert_eq!(step(&[1, 4]), [1, 4].into());
        let foreign = Adapter::new(Digest::of(b"foreign"), Arc::new("no weights"));
        assert!(resident.of(&decoder, [Some(&foreign)].into_iter()).is_err());
    }
}
