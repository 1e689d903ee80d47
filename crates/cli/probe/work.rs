//! The measuring itself.

use std::time::Instant;

use anyhow::{Context, Result};
use baton_decoder::{
    Adapter, BLOCK, Backend, Batch, Decoder, Indices, Layout, Norm, PagedCache, SpanLayout, UseBackend, device_bytes,
};
use candle_core::quantized::GgmlDType;

use super::{KnownShape, Outcomes, Row, adapters, draws};
use crate::wiring::CACHE_TYPE;

/// Tokens that every sequence has behind it when it decodes.
const CONTEXT: usize = 1024;
/// Tokens of one chunk of a prompt.
const CHUNK: usize = 2048;
/// Steps of one measurement.
const STEPS: usize = 24;
/// The twin workload: packs, their tokens, conductors, and the tokens of each beyond the pack.
const PACKS: usize = 8;
const PACK: usize = 2000;
const CONDUCTORS: usize = 128;
const OWN: usize = 64;
/// The side of the square product that says what the device can multiply.
const SQUARE: usize = 8192;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) shape: KnownShape,
    /// How many sequences decode at once, one measurement each.
    pub(crate) sequences: Vec<usize>,
    /// Whether prompts and single sequences are measured as well, or the twin workload only.
    pub(crate) whole: bool,
    /// How many adapters are in a batch, one measurement each beside one without; with the whole only.
    pub(crate) adapters: Vec<usize>,
    /// Whether weights have 4 bits.
    pub(crate) quantised: bool,
}

/// A sequence in the cache.
pub(super) struct Sequence {
    blocks: Vec<u32>,
    shared: usize,
    context: usize,
}

/// A decoder with sequences in its cache.
pub(super) struct Bench<B: Backend> {
    pub(super) decoder: Decoder<B>,
    cache: PagedCache<B>,
}

/// Steps one by one, and many in a row without waiting in between; seconds each.
pub(super) struct Steps {
    pub(super) waited: f64,
    in_a_row: f64,
}

impl UseBackend for Probe {
    type Output = Result<Outcomes>;

    fn with<B: Backend>(self, backend: B) -> Result<Outcomes> {
        let device = backend.describe();
        let architecture = self.shape.architecture();
        let mut rows = Vec::new();
        let copied = backend.copy_speed()?;
        if self.whole {
            rows.extend(copied.map(|bytes| Row {
                what: "copies within the memory, read and written".into(),
                unit: "GB/s",
                value: bytes / 1e9,
                share: None,
            }));
        }
        let multiplied = if self.whole && copied.is_some() { Some(square(&backend)?) } else { None };
        rows.extend(multiplied.map(|flops| Row {
            what: format!("product of {SQUARE} x {SQUARE} x {SQUARE}"),
            unit: "TFLOP/s",
            value: flops / 1e12,
            share: None,
        }));
        let decoder = Decoder::random(architecture.clone(), 1, backend).context("cannot make the model")?;
        let adapted = if self.adapters.is_empty() { 0 } else { adapters::SEQUENCES };
        let most = self.sequences.iter().copied().max().unwrap_or(1).max(adapted);
        let per_sequence = (CONTEXT + BLOCK).div_ceil(BLOCK);
        let twin_blocks = PACKS * PACK.div_ceil(BLOCK) + CONDUCTORS * (OWN / BLOCK + 2);
        let blocks = twin_blocks.max(if self.whole { most * per_sequence } else { 0 });
        let dtype = decoder.kernels().pages_dtype(CACHE_TYPE);
        let cache =
            PagedCache::new(decoder.kernels(), &architecture, blocks, dtype).context("cannot make the cache")?;
        let block_bytes = cache.form().block_bytes();
        let mut bench = Bench { decoder, cache };
        let read = |sequences: usize, keys: usize| {
            device_bytes(GgmlDType::Q4_1, self.shape.weights(), self.quantised)
                + sequences * keys.div_ceil(BLOCK) * block_bytes
        };
        if self.whole {
            let sequences: Vec<Sequence> = (0..most).map(|index| own(index, per_sequence)).collect();
            let seconds = bench.fill(&sequences)?;
            let rate = number(most * CONTEXT) / seconds;
            let flops = 2.0 * number(self.shape.weights() - architecture.vocabulary * architecture.hidden);
            rows.push(Row {
                what: format!("prompts of {CONTEXT} tokens, {CHUNK} at a time"),
                unit: "tokens/s",
                value: rate,
                share: multiplied.map(|most| rate * flops / most),
            });
            for &count in &self.sequences {
                let steps = bench.decode(&sequences[..count], &[])?;
                let rate = number(count) / steps.waited;
                let bytes = number(read(count, CONTEXT));
                rows.push(Row {
                    what: format!("decode, {count} of {CONTEXT} tokens"),
                    unit: "tokens/s",
                    value: rate,
                    share: copied.map(|most| bytes / steps.waited / most),
                });
                rows.push(Row {
                    what: format!("– of the step's {:.2} ms, spent waiting for the host", steps.waited * 1e3),
                    unit: "%",
                    value: (1.0 - steps.in_a_row / steps.waited).max(0.0) * 100.0,
                    share: None,
                });
            }
            if !self.adapters.is_empty() {
                rows.extend(bench.adapted(&sequences[..adapters::SEQUENCES], &self.adapters)?);
            }
        }
        let (packs, conductors) = twins();
        bench.fill(&packs)?;
        let steps = bench.decode(&conductors, &[])?;
        rows.push(Row {
            what: format!("twins: {PACKS} packs of {PACK} tokens, {CONDUCTORS} conductors, decode"),
            unit: "tokens/s",
            value: number(CONDUCTORS) / steps.waited,
            share: None,
        });
        if self.whole && bench.decoder.kernels().draws() {
            rows.extend(bench.draw(&conductors)?);
        }
        let form = if self.quantised { " in 4 bits" } else { "" };
        Ok(Outcomes { shape: format!("{:?}{form}", self.shape), device, rows })
    }
}

/// A sequence with blocks of its own.
fn own(index: usize, blocks: usize) -> Sequence {
    Sequence { blocks: (index * blocks..(index + 1) * blocks).map(word).collect(), shared: 0, context: CONTEXT }
}

/// Packs, and conductors that share them.
fn twins() -> (Vec<Sequence>, Vec<Sequence>) {
    let (of_pack, of_conductor) = (PACK.div_ceil(BLOCK), OWN / BLOCK + 2);
    let shared = PACK / BLOCK;
    let pack = |pack: usize| (pack * of_pack..(pack + 1) * of_pack).map(word).collect::<Vec<_>>();
    let packs = (0..PACKS).map(|index| Sequence { blocks: pack(index), shared: 0, context: PACK }).collect();
    let conductor = |index: usize| {
        let first = PACKS * of_pack + index * of_conductor;
        let mut blocks = pack(index % PACKS)[..shared].to_vec();
        blocks.extend((first..first + of_conductor).map(word));
        Sequence { blocks, shared, context: PACK + OWN }
    };
    (packs, (0..CONDUCTORS).map(conductor).collect())
}

impl<B: Backend> Bench<B> {
    /// Computes all tokens of the sequences; seconds.
    fn fill(&mut self, sequences: &[Sequence]) -> Result<f64> {
        let chunks = sequences.iter().flat_map(|one| (0..one.context).step_by(CHUNK).map(move |start| (one, start)));
        let chunks: Vec<_> = chunks.map(|(one, start)| (one, start, CHUNK.min(one.context - start))).collect();
        let together = (CHUNK / chunks.first().map_or(CHUNK, |(.., rows)| *rows)).max(1);
        let mut started = Instant::now();
        // The first is done twice: it loads kernels and finds memory.
        for (index, chunks) in
            chunks[..together.min(chunks.len())].chunks(together).chain(chunks.chunks(together)).enumerate()
        {
            if index == 1 {
                self.decoder.kernels().wait()?;
                started = Instant::now();
            }
            let mut batch = Batch::default();
            for &(one, start, rows) in chunks {
                extend(&mut batch, one, start, rows);
            }
            self.decoder.forward(&batch, &mut self.cache)?;
        }
        self.decoder.kernels().wait()?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Draws from one step's logits, again and again.
    fn draw(&mut self, sequences: &[Sequence]) -> Result<Vec<Row>> {
        let batch = one_token_each(sequences);
        let logits = self.decoder.forward(&batch, &mut self.cache)?.context("a batch that draws has no logits")?;
        draws::measure(self.decoder.kernels(), &logits, sequences.len(), self.decoder.architecture().vocabulary)
    }

    /// Decodes one token of each sequence, again and again, each with its adapter if there are any.
    pub(super) fn decode(&mut self, sequences: &[Sequence], adapters: &[Option<&Adapter<B>>]) -> Result<Steps> {
        let batch = one_token_each(sequences);
        let mut step = |waits: bool| -> Result<()> {
            self.decoder.forward_adapted(&batch, adapters, &mut self.cache)?;
            if waits {
                self.decoder.kernels().wait()?;
            }
            Ok(())
        };
        for _ in 0..3 {
            step(true)?;
        }
        let mut each = Vec::with_capacity(STEPS);
        for _ in 0..STEPS {
            let started = Instant::now();
            step(true)?;
            each.push(started.elapsed().as_secs_f64());
        }
        each.sort_by(f64::total_cmp);
        let started = Instant::now();
        for index in 0..STEPS {
            step(index + 1 == STEPS)?;
        }
        Ok(Steps { waited: each[STEPS / 2], in_a_row: started.elapsed().as_secs_f64() / number(STEPS) })
    }
}

/// The next token of each sequence.
fn one_token_each(sequences: &[Sequence]) -> Batch {
    let mut batch = Batch::default();
    for one in sequences {
        extend(&mut batch, one, one.context, 1);
        batch.draw_rows.push(word(batch.tokens.len() - 1));
    }
    batch
}

/// Adds `rows` tokens of a sequence from position `start` on.
fn extend(batch: &mut Batch, sequence: &Sequence, start: usize, rows: usize) {
    let first_row = batch.tokens.len();
    for position in start..start + rows {
        batch.tokens.push(word(position * 7 % 1000));
        batch.layout.positions.push(word(position));
        batch.layout.slots.push(sequence.blocks[position / BLOCK] * word(BLOCK) + word(position % BLOCK));
    }
    let blocks = sequence.blocks.clone();
    let context = start + rows;
    batch.layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks: sequence.shared });
}

/// Floating-point operations a second of a large product.
fn square<B: Backend>(backend: &B) -> Result<f64> {
    let positions: Vec<u32> = (0..SQUARE).map(word).collect();
    let blocks: Vec<u32> = (0..SQUARE / BLOCK).map(word).collect();
    let spans = vec![SpanLayout { first_row: 0, rows: SQUARE, context: SQUARE, blocks, shared_blocks: 0 }];
    let layout = Layout { slots: positions.clone(), positions: positions.clone(), spans };
    let heads = KnownShape::Llama3Of8B.architecture().heads;
    let indices = Indices { tokens: &positions, layout: &layout, draws: &[], adapters: &[] };
    let placed = backend.place(indices, heads)?;
    let weight = backend.random(SQUARE, SQUARE, 3)?;
    let ones = backend.vector(&vec![1.0; SQUARE])?;
    let x = backend.norm(&backend.embed(&weight, 1.0, &placed)?, &Norm::Rms { weight: ones, eps: 1e-5 })?;
    let mut started = Instant::now();
    for index in 0..12 {
        if index == 2 {
            backend.wait()?;
            started = Instant::now();
        }
        backend.linear(&x, &weight, None)?;
    }
    backend.wait()?;
    Ok(10.0 * 2.0 * number(SQUARE).powi(3) / started.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^32")]
fn word(count: usize) -> u32 {
    count as u32
}
