//! What drawing costs where the logits are.

use std::time::Instant;

use anyhow::Result;
use baton_decoder::Backend;
use baton_decoder::sample::{DrawSpec, Draws};

use super::Row;

/// How often each kind of draw is measured; the middle one counts.
const TIMES: usize = 25;

/// Draws from `count` rows of logits in the ways that differ in cost: from the draws on the host to the tokens there.
pub(crate) fn measure<B: Backend>(backend: &B, logits: &B::Rows, count: usize, vocabulary: usize) -> Result<Vec<Row>> {
    let greedy = DrawSpec::default();
    let sampled = DrawSpec { temperature: 0.8, ..greedy };
    let kinds = [
        ("greedy", greedy),
        ("at temperature 0.8", sampled),
        ("at temperature 0.8, top-p 0.95", DrawSpec { top_p: 0.95, ..sampled }),
        ("at temperature 0.8, top-k 40", DrawSpec { top_k: 40, ..sampled }),
    ];
    let mut rows = Vec::new();
    for (kind, spec) in kinds {
        let mut draws = Draws::new(vocabulary)?;
        for position in 0..count {
            draws.push(DrawSpec { position: position as u64, ..spec }, &[], None)?;
        }
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let started = Instant::now();
            backend.draw(logits, &draws)?;
            times.push(started.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let what = format!("{count} draws from {vocabulary} tokens, {kind}");
        rows.push(Row::new(what, "µs", times[TIMES / 2] * 1e6));
    }
    Ok(rows)
}
