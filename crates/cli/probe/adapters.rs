//! What adapters cost: the same step with none, and with several in one batch.

use anyhow::{Context, Result};
use baton_decoder::{Adapter, AdapterWeights, Backend};

use super::Row;
use super::work::{Bench, Sequence, number};

/// The rank of the adapters; they add to every projection.
const RANK: usize = 16;

impl<B: Backend> Bench<B> {
    /// Decodes with so many adapters in the batch, one measurement each; the sequences take turns with them.
    pub(super) fn adapted(&mut self, sequences: &[Sequence], counts: &[usize]) -> Result<Vec<Row>> {
        let most = counts.iter().copied().max().unwrap_or(0);
        let weights = AdapterWeights::random(self.decoder.architecture(), RANK, 1, 0.01)?;
        // The same values at as many places.
        let make = |_| self.decoder.adapter(&weights).context("cannot make the adapters");
        let adapters = (0..most).map(make).collect::<Result<Vec<Adapter<B>>>>()?;
        let mut rows = Vec::new();
        let mut without = None;
        for &count in [0].iter().chain(counts) {
            let whose: Vec<_> = (0..sequences.len()).map(|at| adapters.get(at % count.max(1))).collect();
            let steps = self.decode(sequences, if count == 0 { &[] } else { &whose })?;
            let rate = number(sequences.len()) / steps.waited;
            let base = *without.get_or_insert(rate);
            let what = format!("adapters of rank {RANK}: {count} in a batch of {}, decode", sequences.len());
            rows.push(Row::new(what, "tokens/s", rate));
            if count > 0 {
                let what = format!("– of the rate without adapters, {count} of them");
                rows.push(Row::new(what, "%", rate / base * 100.0));
            }
        }
        Ok(rows)
    }
}
