//! Adapters over one projection and rows that have them, on any backend.

use baton_kernels::lora::{LowRank, Site};
use baton_kernels::{BLOCK, Backend, Heads, Indices, Layout, Norm, SpanLayout};

use super::Random;

/// A projection, and how many rows and adapters there are.
#[derive(Clone, Debug)]
pub(crate) struct AdapterCase {
    pub(crate) inputs: usize,
    pub(crate) widths: Vec<usize>,
    pub(crate) rows: usize,
    pub(crate) adapters: usize,
    /// Those that parts have.
    pub(crate) ranks: Vec<usize>,
}

/// What was found, and what the definition says. [rows, outputs]
pub(crate) struct Added {
    pub(crate) expected: Vec<f32>,
    pub(crate) found: Vec<f32>,
}

/// The adapters of a case; `round` makes numbers such as the backend keeps. Of two sites, the second adds nothing.
pub(crate) fn adapters(random: &mut Random, case: &AdapterCase, round: impl Fn(f32) -> f32) -> Vec<Vec<Site>> {
    let part = |random: &mut Random, width: usize| {
        let rank = case.ranks[random.below(case.ranks.len())];
        let size = 1.0 / (case.inputs as f32).sqrt();
        let down = random.floats(rank * case.inputs).into_iter().map(|value| round(value * size)).collect();
        let up = random.floats(rank * width).into_iter().map(&round).collect();
        (width, LowRank { rank, down, up, scale: 1.0 + random.float() / 2.0 })
    };
    let mut adapter = |_| {
        let parts = case.widths.iter().map(|width| part(random, *width)).collect();
        let nothing = case.widths.iter().map(|width| (*width, LowRank::none())).collect();
        [parts, nothing].map(|parts| Site::new(case.inputs, parts).unwrap()).to_vec()
    };
    (0..case.adapters).map(&mut adapter).collect()
}

/// Adds the adapters' products, `whose` [rows] of `sites`, to those of random weights: for all rows, and for every third.
pub(crate) fn added<B: Backend>(
    backend: &B,
    case: &AdapterCase,
    sites: &[Vec<Site>],
    whose: &[Option<usize>],
) -> [Added; 2] {
    let placed_adapters: Vec<B::Adapter> = sites.iter().map(|sites| backend.adapter(sites).unwrap()).collect();
    let span = |row| SpanLayout { first_row: row, rows: 1, context: 1, blocks: vec![row as u32], shared_blocks: 0 };
    let layout = Layout {
        positions: vec![0; case.rows],
        slots: (0..case.rows).map(|row| (row * BLOCK) as u32).collect(),
        spans: (0..case.rows).map(span).collect(),
    };
    let draws: Vec<u32> = (0..case.rows as u32).step_by(3).collect();
    let tokens: Vec<u32> = (0..case.rows as u32).collect();
    let adapters: Vec<_> = whose.iter().map(|number| number.map(|number| &placed_adapters[number])).collect();
    let indices = Indices { tokens: &tokens, layout: &layout, draws: &draws, adapters: &adapters };
    let placed = backend.place(indices, Heads { query: 1, kv: 1, dim: 64 }).unwrap();
    let outputs = case.widths.iter().sum();
    let table = backend.random(case.rows, case.inputs, 1).unwrap();
    let ones = backend.vector(&vec![1.0; case.inputs]).unwrap();
    let norm = Norm::Rms { weight: ones, eps: 1e-5 };
    let x = backend.norm(&backend.embed(&table, 1.0, &placed).unwrap(), &norm).unwrap();
    let y = backend.linear(&x, &backend.random(outputs, case.inputs, 2).unwrap(), None).unwrap();
    let every: Vec<usize> = (0..case.rows).collect();
    let third: Vec<usize> = every.iter().copied().step_by(3).collect();
    let chosen = |rows: &B::Rows| backend.drawn(rows.clone(), &placed).unwrap();
    [(chosen(&x), chosen(&y), third, true), (x.clone(), y.clone(), every, false)].map(|(x, y, rows, drawn)| {
        let (inputs, mut expected) = (backend.read(&x).unwrap(), backend.read(&y).unwrap());
        expected.truncate(rows.len() * outputs);
        let each = rows.iter().zip(inputs.chunks_exact(case.inputs)).zip(expected.chunks_exact_mut(outputs));
        for ((row, x), y) in each {
            if let Some(adapter) = whose[*row] {
                sites[adapter][0].add_plain(x, y).unwrap();
            }
        }
        let y = backend.add_low_rank(y, &x, 0, drawn, &placed).unwrap();
        let y = backend.add_low_rank(y, &x, 1, drawn, &placed).unwrap();
        assert!(backend.add_low_rank(y.clone(), &x, 2, drawn, &placed).is_err(), "there is no such site");
        let swapped = backend.add_low_rank(x.clone(), &y, 0, drawn, &placed);
        assert!(swapped.is_err() || case.inputs == outputs, "rows of another width");
        let mut found = backend.read(&y).unwrap();
        found.truncate(expected.len());
        Added { expected, found }
    })
}
