//! A layer's stages on a GPU beside the same on the CPU, each stage compared by itself.

#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers are small")]

use baton_kernels::cuda::Gpu;
use baton_kernels::{
    Activation, AttentionParams, BLOCK, Backend, Expert, Experts, GpuConfig, Heads, Indices, Kernels, LayerHeads,
    Layout, Norm, Rope, RopeStyle, SpanLayout,
};
use candle_core::DType;

use crate::has_device;

/// One layer and what it is asked.
struct Case {
    heads: Heads,
    hidden: usize,
    style: RopeStyle,
    /// Rotated pairs.
    pairs: usize,
    norms: bool,
    params: AttentionParams,
    /// Batches of (sequence, rows, context, shared blocks).
    batches: Vec<Vec<(u32, usize, usize, usize)>>,
}

const PLAIN: AttentionParams = AttentionParams { scale: 0.125, softcap: None, window: None };
const VOCABULARY: usize = 96;
const FEED_FORWARD: usize = 136;
const EXPERTS: usize = 3;
/// Blocks of one sequence, at most; those of sequence 0 may be shared by all.
const OWN: u32 = 40;
const SEQUENCES: u32 = 12;

impl Case {
    fn layout(batch: &[(u32, usize, usize, usize)]) -> Layout {
        let mut layout = Layout::default();
        for &(sequence, rows, context, shared_blocks) in batch {
            // Scattered: neighbours in a sequence are not neighbours in the cache.
            let block = |index: u32| {
                let of = if (index as usize) < shared_blocks { 0 } else { sequence };
                (index * 7 % OWN) * SEQUENCES + of
            };
            let blocks: Vec<u32> = (0..u32::try_from(context.div_ceil(BLOCK)).unwrap()).map(block).collect();
            let first_row = layout.positions.len();
            for position in context - rows..context {
                layout.positions.push(u32::try_from(position).unwrap());
                layout.slots.push(blocks[position / BLOCK] * 32 + u32::try_from(position % BLOCK).unwrap());
            }
            layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks });
        }
        layout
    }

    /// What every stage of every batch gives.
    fn stages<B: Backend>(&self, backend: &B) -> Vec<(String, Vec<f32>)> {
        let Self { heads, hidden, .. } = *self;
        let mut found = Vec::new();
        let ones = |len: usize| backend.vector(&(0..len).map(|i| 0.5 + (i % 7) as f32 / 7.0).collect::<Vec<_>>());
        let table = backend.random(VOCABULARY, hidden, 1).unwrap();
        let parts = [(heads.query, 2), (heads.kv, 3), (heads.kv, 4)];
        let parts = parts.map(|(count, seed)| backend.random(count * heads.dim, hidden, seed).unwrap());
        let qkv_weight = backend.stack(parts.into()).unwrap();
        let bias: Vec<f32> = (0..(heads.query + 2 * heads.kv) * heads.dim).map(|i| (i % 5) as f32 / 10.0).collect();
        let bias = backend.vector(&bias).unwrap();
        let out_weight = backend.random(hidden, heads.query * heads.dim, 5).unwrap();
        let gate_weight = backend.random(2 * FEED_FORWARD, hidden, 6).unwrap();
        let head = backend.random(VOCABULARY + 1, hidden, 7).unwrap();
        let norm = Norm::Rms { weight: ones(hidden).unwrap(), eps: 1e-5 };
        let norms = [ones(heads.dim).unwrap(), ones(heads.dim).unwrap()];
        let frequencies: Vec<f32> = (0..self.pairs).map(|i| 0.7f32.powi(i32::try_from(i).unwrap())).collect();
        let rope = backend.rope(Rope::new(&frequencies, 2048, self.style, 1.0)).unwrap();
        let blocks = (OWN * SEQUENCES) as usize;
        let pages = backend.pages(blocks, heads, backend.pages_dtype(DType::F16)).unwrap();
        for (index, batch) in self.batches.iter().enumerate() {
            let layout = Self::layout(batch);
            let tokens: Vec<u32> = layout.positions.iter().map(|position| (position * 31 + 7) % 96).collect();
            let draws: Vec<u32> =
                layout.spans.iter().map(|span| u32::try_from(span.first_row + span.rows - 1).unwrap()).collect();
            let indices = Indices { tokens: &tokens, layout: &layout, draws: &draws, adapters: &[] };
            let placed = backend.place(indices, heads).unwrap();
            let real = layout.positions.len();
            let mut keep = |what: &str, rows: &B::Rows, count: usize, width: usize| {
                let mut values = backend.read(rows).unwrap();
                values.truncate(count * width);
                found.push((format!("batch {index}: {what}"), values));
            };
            let embedded = backend.embed(&table, 1.0, &placed).unwrap();
            keep("embedding", &embedded, real, hidden);
            let normed = backend.norm(&embedded, &norm).unwrap();
            keep("norm", &normed, real, hidden);
            let qkv = backend.linear(&normed, &qkv_weight, Some(&bias)).unwrap();
            keep("product", &qkv, real, (heads.query + 2 * heads.kv) * heads.dim);
            let layer = LayerHeads { heads, norms: self.norms.then_some(&norms), eps: 1e-6 };
            let query = backend.turn_and_write(&qkv, layer, &rope, &pages, &placed).unwrap();
            keep("rotation", &query, real, heads.query * heads.dim);
            let attended = backend.attention(&query, heads, &pages, &placed, &self.params).unwrap();
            keep("attention", &attended, real, heads.query * heads.dim);
            let attended = backend.drawn(attended, &placed).unwrap();
            let hidden_rows = backend.drawn(embedded, &placed).unwrap();
            keep("draw rows", &hidden_rows, draws.len(), hidden);
            let projected = backend.linear(&attended, &out_weight, None).unwrap();
            let (sum, normed) = backend.add_norm(hidden_rows, &projected, &norm).unwrap();
            keep("sum", &sum, draws.len(), hidden);
            keep("norm of the sum", &normed, draws.len(), hidden);
            for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
                let gate_up = backend.linear(&normed, &gate_weight, None).unwrap();
                let gated = backend.gate(&gate_up, activation).unwrap();
                keep(&format!("{activation:?}"), &gated, draws.len(), FEED_FORWARD);
            }
            let logits = backend.logits(&normed, &head, None).unwrap();
            keep("logits", &logits, draws.len(), VOCABULARY + 1);
            for (what, rows, width) in self.varied(backend, sum, &projected, &normed) {
                keep(what, &rows, draws.len(), width);
            }
            let scaled = backend.embed(&table, 3.5, &placed).unwrap();
            keep("scaled embedding", &scaled, real, hidden);
        }
        found
    }

    /// What some families do otherwise: a residual stream, what is added to it, and its norm, [rows, hidden] each.
    fn varied<B: Backend>(
        &self,
        backend: &B,
        sum: B::Rows,
        update: &B::Rows,
        normed: &B::Rows,
    ) -> Vec<(&'static str, B::Rows, usize)> {
        let hidden = self.hidden;
        let list = |len: usize, by: usize| {
            backend.vector(&(0..len).map(|i| 0.5 + (i % by) as f32 / 20.0).collect::<Vec<_>>()).unwrap()
        };
        let rms = Norm::Rms { weight: list(hidden, 7), eps: 1e-5 };
        let layer = Norm::Layer { weight: list(hidden, 7), bias: list(hidden, 11), eps: 1e-5 };
        let head = backend.random(VOCABULARY + 1, hidden, 7).unwrap();
        let router = backend.random(EXPERTS, hidden, 8).unwrap();
        let wide = backend.random(2 * FEED_FORWARD, hidden, 6).unwrap();
        // Which experts a row goes through turns on the last bits of its scores; all of them, weighted, do not.
        let experts = Experts { all: random_experts(backend, EXPERTS, hidden), used: EXPERTS, normalised: true };
        let experts = backend.bundle(experts).unwrap();
        let logits = || backend.logits(normed, &head, Some(&list(VOCABULARY + 1, 11))).unwrap();
        let up = backend.linear(normed, &wide, None).unwrap();
        let scores = backend.logits(normed, &router, None).unwrap();
        let sum = backend.add(sum, update).unwrap();
        let layer_norm = backend.norm(&sum, &layer).unwrap();
        let (sum, centred) = backend.add_norm(sum, update, &layer).unwrap();
        vec![
            ("logits with a bias", logits(), VOCABULARY + 1),
            ("capped logits", backend.cap(logits(), 1.5).unwrap(), VOCABULARY + 1),
            ("norm of an update", backend.norm_update(update, &rms).unwrap(), hidden),
            ("layer norm", layer_norm, hidden),
            ("sum beside a layer norm", sum, hidden),
            ("layer norm of the sum", centred, hidden),
            ("activation without a gate", backend.activate(up, Activation::GeluTanh).unwrap(), 2 * FEED_FORWARD),
            ("experts", backend.experts(normed, &scores, &experts, Activation::Silu).unwrap(), hidden),
        ]
    }
}

/// Prompts, then decoding beside a chunk, then decoding alone, with and without a shared beginning.
fn batches() -> Vec<Vec<(u32, usize, usize, usize)>> {
    vec![
        vec![(0, 700, 700, 0)],
        vec![(1, 300, 300, 0), (2, 33, 673, 20), (3, 1, 641, 20), (4, 17, 17, 0)],
        vec![(2, 1, 674, 20), (3, 1, 642, 20), (1, 1, 301, 0), (5, 70, 710, 20), (4, 1, 18, 0)],
        vec![(1, 1, 302, 0), (2, 1, 675, 20), (3, 1, 643, 20), (5, 1, 711, 20), (4, 1, 19, 0)],
        vec![(0, 1, 701, 0)],
        vec![(6, 1, 641, 20), (7, 1, 641, 20), (8, 1, 641, 20), (9, 1, 641, 20), (10, 1, 641, 20), (2, 1, 676, 20)],
        (2..=11).map(|sequence| (sequence, 1, 677, 20)).collect(),
        vec![(1, 2, 304, 0), (4, 2, 21, 0)],
    ]
}

fn cases() -> Vec<(&'static str, Case)> {
    let case = |query, kv, dim, hidden| Case {
        heads: Heads { query, kv, dim },
        hidden,
        style: RopeStyle::Halves,
        pairs: dim / 2,
        norms: false,
        params: PLAIN,
        batches: batches(),
    };
    let windowed = AttentionParams { scale: 0.1, softcap: Some(20.0), window: Some(200) };
    vec![
        ("9 heads over 3 of 64", Case { style: RopeStyle::Interleaved, ..case(9, 3, 64, 576) }),
        ("8 heads over 2 of 128, normed", Case { norms: true, ..case(8, 2, 128, 256) }),
        ("4 heads over 4 of 96", case(4, 4, 96, 384)),
        ("4 heads over 1 of 80, partly rotated", Case { pairs: 16, ..case(4, 1, 80, 320) }),
        ("4 heads over 1 of 256, normed", Case { norms: true, ..case(4, 1, 256, 640) }),
        ("14 heads over 2 of 64, windowed and capped", Case { params: windowed, ..case(14, 2, 64, 896) }),
    ]
}

/// The largest and the mean difference, relative to the size of what is compared.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> (f32, f32) {
    assert_eq!(a.len(), b.len());
    let size = (b.iter().map(|x| x * x).sum::<f32>() / b.len() as f32).sqrt().max(1e-6);
    let differences = || a.iter().zip(b).map(|(a, b)| (a - b).abs() / size);
    // `max` would pass over what is not a number.
    let largest = differences().fold(0.0, |a, b| if b <= a { a } else { b });
    (largest, differences().sum::<f32>() / a.len() as f32)
}

#[test]
fn every_stage_is_the_cpus() {
    if !has_device("every_stage_is_the_cpus") {
        return;
    }
    let cpu = Kernels::new(4);
    let mut wrong = Vec::new();
    for (dtype, largest, mean) in [(DType::F16, 0.02, 0.0015), (DType::BF16, 0.16, 0.02)] {
        for cascade in [true, false] {
            let config = GpuConfig { ordinal: 0, dtype, cascade, graphs: true, quantised: false, threads: 2 };
            let gpu = Gpu::open(&config).unwrap();
            for (name, case) in cases() {
                let (expected, found) = (case.stages(&cpu), case.stages(&gpu));
                for ((stage, expected), (_, found)) in expected.iter().zip(&found) {
                    let (worst, average) = difference(found, expected);
                    if !(worst <= largest && average <= mean) {
                        wrong.push(format!(
                            "{dtype:?} cascade {cascade} {name}, {stage}: {worst:.4}, mean {average:.5}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} stages differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn blocks_go_out_and_come_back() {
    if !has_device("blocks_go_out_and_come_back") {
        return;
    }
    let config =
        GpuConfig { ordinal: 0, dtype: DType::F16, cascade: true, graphs: false, quantised: false, threads: 1 };
    let gpu = Gpu::open(&config).unwrap();
    let heads = Heads { query: 2, kv: 2, dim: 64 };
    let pages = gpu.pages(6, heads, DType::F16).unwrap();
    let size = 2 * BLOCK * heads.kv * heads.dim * 2;
    let stage = gpu.stager();
    let (mut there, mut back) = (stage(2 * size + 64).unwrap(), stage(2 * size).unwrap());
    there.as_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i % 251) as u8);
    let over = |wait: bool| gpu.is_over(&gpu.mark().unwrap(), wait).unwrap();
    gpu.follow_steps().unwrap();
    gpu.begin_import(&pages, &[4, 2], &there, 64).unwrap();
    assert!(over(true));
    // Steps and copies take turns where they are told to.
    gpu.copy_block(&pages, 4, 1).unwrap();
    gpu.follow_steps().unwrap();
    gpu.begin_export(&pages, &[1, 2], &mut back, 0).unwrap();
    let mark = gpu.mark().unwrap();
    while !gpu.is_over(&mark, false).unwrap() {}
    assert_eq!(back.as_ref(), &there.as_ref()[64..]);
    let row = heads.dim * 2;
    gpu.blank(&pages, 3, &mut back.as_mut()[size..]);
    for (index, (back, bytes)) in back.as_ref().chunks(row).zip(there.as_ref()[64..].chunks(row)).enumerate() {
        let zeros = vec![0; row];
        let kept = index < size / row || index % BLOCK < 3;
        assert_eq!(back, if kept { bytes } else { &zeros }, "row {index}");
    }
    assert!(gpu.begin_export(&pages, &[6], &mut back, 0).is_err() && gpu.copy_block(&pages, 0, 6).is_err());
    assert!(gpu.begin_export(&pages, &[0], &mut back, size + 1).is_err());
    assert!(gpu.begin_import(&pages, &[0, 1], &there, 65).is_err());
}

/// Experts of random weights; `width` is the model's.
pub(crate) fn random_experts<B: Backend>(backend: &B, count: usize, width: usize) -> Vec<Expert<B::Matrix>> {
    let expert = |seed| Expert {
        gate_up: backend.random(2 * FEED_FORWARD, width, seed).unwrap(),
        down: backend.random(width, FEED_FORWARD, seed + 1000).unwrap(),
    };
    (0..).take(count).map(expert).collect()
}
