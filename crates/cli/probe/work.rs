//! The measuring itself.

use std::time::Instant;

use anyhow::{Context, Result};
use baton_decoder::sample::Draws;
use baton_decoder::{
    Adapter, BLOCK, Backend, Batch, Decoder, Indices, Layout, Norm, PagedCache, SpanLayout, UseBackend, device_bytes,
};
use candle_core::quantized::GgmlDType;

use super::{Cut, KnownShape, Outcomes, Row, Sizes, Weights, draws};
use crate::wiring::CACHE_TYPE;

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) shape: KnownShape,
    pub(crate) cut: Cut,
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
    sizes: Sizes,
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
        let sizes = Sizes::of(self.cut.small);
        let architecture = self.shape.architecture(self.cut);
        let mut rows = Vec::new();
        let copied = backend.copy_speed(sizes.copied)?;
        if self.whole {
            rows.extend(
                copied.map(|bytes| Row::new("copies within the memory, read and written", "GB/s", bytes / 1e9)),
            );
        }
        let multiplied = if self.whole && copied.is_some() { Some(square(&backend, sizes.square)?) } else { None };
        rows.extend(multiplied.map(|flops| {
            let side = sizes.square;
            Row::new(format!("product of {side} x {side} x {side}"), "TFLOP/s", flops / 1e12)
        }));
        let decoder = Decoder::random(architecture.clone(), 1, backend).context("cannot make the model")?;
        let adapted = if self.adapters.is_empty() { 0 } else { sizes.adapted };
        let most = self.sequences.iter().copied().max().unwrap_or(1).max(adapted);
        let per_sequence = (sizes.context + BLOCK).div_ceil(BLOCK);
        let twin_blocks = sizes.packs * sizes.pack.div_ceil(BLOCK) + sizes.conductors * (sizes.own / BLOCK + 2);
        let blocks = twin_blocks.max(if self.whole { most * per_sequence } else { 0 });
        let dtype = decoder.kernels().pages_dtype(CACHE_TYPE);
        let cache =
            PagedCache::new(decoder.kernels(), &architecture, blocks, dtype).context("cannot make the cache")?;
        let mut bench = Bench { decoder, cache, sizes };
        if self.whole {
            rows.extend(bench.whole(&self, (most, per_sequence), (copied, multiplied))?);
        }
        let (packs, conductors) = twins(sizes);
        bench.fill(&packs)?;
        let steps = bench.decode(&conductors, &[])?;
        let Sizes { packs, pack, conductors: count, .. } = sizes;
        let what = format!("twins: {packs} packs of {pack} tokens, {count} conductors, decode");
        rows.push(Row::new(what, "tokens/s", number(count) / steps.waited));
        // A longer one is drawn from on the host.
        let draws = architecture.vocabulary <= Draws::LONGEST_VOCABULARY && bench.decoder.kernels().draws();
        if self.whole && draws {
            rows.extend(bench.draw(&conductors)?);
        }
        let form = if self.quantised { " in 4 bits" } else { "" };
        Ok(Outcomes { shape: format!("{}{form}", self.shape.name(self.cut)), device, rows })
    }
}

/// A sequence of `context` tokens with `blocks` of its own.
fn own(index: usize, blocks: usize, context: usize) -> Sequence {
    Sequence { blocks: (index * blocks..(index + 1) * blocks).map(word).collect(), shared: 0, context }
}

/// Packs, and conductors that share them.
fn twins(sizes: Sizes) -> (Vec<Sequence>, Vec<Sequence>) {
    let Sizes { packs, pack: tokens, conductors, own, .. } = sizes;
    let (of_pack, of_conductor) = (tokens.div_ceil(BLOCK), own / BLOCK + 2);
    let shared = tokens / BLOCK;
    let pack = |pack: usize| (pack * of_pack..(pack + 1) * of_pack).map(word).collect::<Vec<_>>();
    let conductor = |index: usize| {
        let first = packs * of_pack + index * of_conductor;
        let mut blocks = pack(index % packs)[..shared].to_vec();
        blocks.extend((first..first + of_conductor).map(word));
        Sequence { blocks, shared, context: tokens + own }
    };
    let alone = |index: usize| Sequence { blocks: pack(index), shared: 0, context: tokens };
    ((0..packs).map(alone).collect(), (0..conductors).map(conductor).collect())
}

impl<B: Backend> Bench<B> {
    /// Prompts and single sequences, `most` of them with so many blocks each; as shares of what the device can copy and
    /// multiply.
    fn whole(
        &mut self,
        probe: &Probe,
        (most, blocks): (usize, usize),
        (copied, multiplied): (Option<f64>, Option<f64>),
    ) -> Result<Vec<Row>> {
        let Sizes { context, chunk, adapted, .. } = self.sizes;
        let weights = Weights::of(self.decoder.architecture());
        let sequence_bytes = context.div_ceil(BLOCK) * self.cache.form().block_bytes();
        let sequences: Vec<Sequence> = (0..most).map(|index| own(index, blocks, context)).collect();
        let seconds = self.fill(&sequences)?;
        let rate = number(most * context) / seconds;
        let flops = 2.0 * number(weights.of_prompt_token());
        let prompts = Row::new(format!("prompts of {context} tokens, {chunk} at a time"), "tokens/s", rate);
        let mut rows = vec![Row { share: multiplied.map(|most| rate * flops / most), ..prompts }];
        for &count in &probe.sequences {
            let steps = self.decode(&sequences[..count], &[])?;
            let read = device_bytes(GgmlDType::Q4_1, weights.of_step(count), probe.quantised) + count * sequence_bytes;
            let decode =
                Row::new(format!("decode, {count} of {context} tokens"), "tokens/s", number(count) / steps.waited);
            rows.push(Row { share: copied.map(|most| number(read) / steps.waited / most), ..decode });
            let what = format!("– of the step's {:.2} ms, spent waiting for the host", steps.waited * 1e3);
            rows.push(Row::new(what, "%", (1.0 - steps.in_a_row / steps.waited).max(0.0) * 100.0));
        }
        if !probe.adapters.is_empty() {
            rows.extend(self.adapted(&sequences[..adapted], &probe.adapters)?);
        }
        Ok(rows)
    }

    /// Computes all tokens of the sequences; seconds.
    fn fill(&mut self, sequences: &[Sequence]) -> Result<f64> {
        let chunk = self.sizes.chunk;
        let chunks = sequences.iter().flat_map(|one| (0..one.context).step_by(chunk).map(move |start| (one, start)));
        let chunks: Vec<_> = chunks.map(|(one, start)| (one, start, chunk.min(one.context - start))).collect();
        let together = (chunk / chunks.first().map_or(chunk, |(.., rows)| *rows)).max(1);
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
        let (batch, count) = (one_token_each(sequences), self.sizes.steps);
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
        let mut each = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            step(true)?;
            each.push(started.elapsed().as_secs_f64());
        }
        each.sort_by(f64::total_cmp);
        let started = Instant::now();
        for index in 0..count {
            step(index + 1 == count)?;
        }
        Ok(Steps { waited: each[count / 2], in_a_row: started.elapsed().as_secs_f64() / number(count) })
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

/// Floating-point operations a second of a product of square matrices.
fn square<B: Backend>(backend: &B, side: usize) -> Result<f64> {
    let positions: Vec<u32> = (0..side).map(word).collect();
    let blocks: Vec<u32> = (0..side / BLOCK).map(word).collect();
    let spans = vec![SpanLayout { first_row: 0, rows: side, context: side, blocks, shared_blocks: 0 }];
    let layout = Layout { slots: positions.clone(), positions: positions.clone(), spans };
    let heads = KnownShape::Llama3Of8B.architecture(Cut::NONE).heads;
    let indices = Indices { tokens: &positions, layout: &layout, draws: &[], adapters: &[] };
    let placed = backend.place(indices, heads)?;
    let weight = backend.random(side, side, 3)?;
    let ones = backend.vector(&vec![1.0; side])?;
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
    Ok(10.0 * 2.0 * number(side).powi(3) / started.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^32")]
fn word(count: usize) -> u32 {
    count as u32
}
