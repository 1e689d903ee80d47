//! The executor that runs a real model.

use baton_contract::{BLOCK_SIZE, SequenceId};
use baton_decoder::sample::{DrawSpec, Draws};
use baton_decoder::{Backend, Batch, Decoder, Error, Kernels, PagedCache, SpanLayout};
use baton_scheduler::{KeptPrefix, Owner, Span, StepPlan};

use crate::adapters::Resident;
use crate::moves::Moves;
use crate::{DeviceDraws, Draw, Executor, ExecutorError, Moved, PrefixStore, Sample, Sampler};

/// Runs plans on a decoder and its paged cache.
pub struct DecoderExecutor<B: Backend = Kernels> {
    decoder: Decoder<B>,
    cache: PagedCache<B>,
    sampler: Sampler,
    /// Present where the backend draws.
    device: Option<DeviceDraws>,
    /// Present if prefixes are kept.
    moves: Option<Moves<B>>,
    adapters: Resident<B>,
}

impl<B: Backend> DecoderExecutor<B> {
    /// An executor over `cache`, which belongs to `decoder` and has as many blocks as the scheduler counts on.
    pub fn new(decoder: Decoder<B>, cache: PagedCache<B>) -> Self {
        // A vocabulary that is too long for a device is drawn from on the host.
        let vocabulary = decoder.architecture().vocabulary;
        let device = decoder.kernels().draws().then(|| DeviceDraws::new(vocabulary).ok()).flatten();
        Self { decoder, cache, sampler: Sampler::new(), device, moves: None, adapters: Resident::new(usize::MAX) }
    }

    /// The same, after batches of every size that a device prepares for: one token each of up to `sequences`, and one of
    /// `tokens`. Nothing is left of them, as long as no block of the cache is in use.
    ///
    /// # Errors
    /// The device failed.
    pub fn warm(mut self, sequences: usize, tokens: usize) -> Result<Self, ExecutorError> {
        let blocks = self.cache.blocks();
        let sizes = self.decoder.kernels().sizes(sequences.min(blocks));
        let Some(&largest) = sizes.last() else { return Ok(self) };
        let one_each = |count: usize| (0..count.min(blocks)).map(|block| warm_span(block, 1)).collect::<Vec<_>>();
        // The largest first: what it takes of the device's memory does for the others.
        let several = sizes.iter().rev().map(|size| one_each(*size));
        let tokens = tokens.min(blocks * BLOCK_SIZE).min(self.decoder.architecture().max_context);
        let chunk = vec![warm_span(0, tokens.max(1))];
        for spans in [chunk].into_iter().chain(several) {
            let plan = StepPlan { step: 0, restores: Vec::new(), copies: Vec::new(), spans, stores: Vec::new() };
            let logits = self.decoder.forward(&batch(&plan), &mut self.cache).map_err(step_error)?;
            let (Some(logits), Some(_)) = (logits, &self.device) else { continue };
            let mut draws = Draws::new(self.decoder.architecture().vocabulary).map_err(step_error)?;
            for _ in &plan.spans {
                draws.push(DrawSpec::default(), &[], None).map_err(step_error)?;
            }
            self.decoder.kernels().draw(&logits, &draws).map_err(step_error)?;
        }
        tracing::info!(sizes = sizes.len(), largest, "the device is ready for batches of all sizes");
        Ok(self)
    }

    /// The same, with prefixes kept in `store`, if there is one.
    #[must_use]
    pub fn with_store(self, store: Option<PrefixStore>) -> Self {
        Self { moves: store.map(Moves::new), ..self }
    }

    /// The same, with at most so many bytes of adapters where the decoder reads them, unless one step needs more.
    #[must_use]
    pub fn with_adapter_memory(self, bytes: usize) -> Self {
        Self { adapters: Resident::new(bytes), ..self }
    }
}

impl<B: Backend> Executor for DecoderExecutor<B> {
    fn restore(&mut self, kept: &KeptPrefix) -> bool {
        let Self { decoder, cache, moves: Some(moves), .. } = self else { return false };
        moves.restore(decoder.kernels(), cache, kept)
    }

    fn store(&mut self, kept: &KeptPrefix) -> bool {
        let Self { decoder, cache, moves: Some(moves), .. } = self else { return false };
        moves.store(decoder.kernels(), cache, kept)
    }

    fn moved(&mut self, wait: bool) -> Vec<Moved> {
        let Self { decoder, cache, moves: Some(moves), .. } = self else { return Vec::new() };
        moves.go_on(decoder.kernels(), cache, wait)
    }

    fn step(
        &mut self,
        plan: &StepPlan,
        draws: &[Draw<'_>],
    ) -> Result<Vec<Result<Sample, ExecutorError>>, ExecutorError> {
        for copy in &plan.copies {
            self.cache.copy_block(self.decoder.kernels(), copy.from, copy.to).map_err(step_error)?;
        }
        let adapters = self.adapters.of(&self.decoder, plan.spans.iter().map(|span| span.adapter.as_ref()))?;
        let adapters: Vec<_> = adapters.iter().map(Option::as_deref).collect();
        let forward = self.decoder.forward_adapted(&batch(plan), &adapters, &mut self.cache);
        let logits = forward.map_err(step_error)?;
        let Some(logits) = logits else { return Ok(Vec::new()) };
        if let Some(device) = &mut self.device {
            let (kernels, sampler) = (self.decoder.kernels(), &mut self.sampler);
            // The device computes meanwhile: it was not waited for.
            device.pack(draws);
            let found = kernels.draw(&logits, device.packed()).map_err(step_error)?;
            let host = |row: usize| sampler.draw(&kernels.read_row(&logits, row).map_err(step_error)?, &draws[row]);
            return Ok(device.samples(found, host));
        }
        // [draws * vocabulary]
        let logits = self.decoder.read(&logits, draws.len()).map_err(step_error)?;
        let rows = logits.chunks_exact(self.decoder.architecture().vocabulary);
        Ok(rows.zip(draws).map(|(row, draw)| self.sampler.draw(row, draw)).collect())
    }
}

/// The first tokens of a sequence that nobody has asked for, from block `block` on.
fn warm_span(block: usize, tokens: usize) -> Span {
    let blocks = (block..block + tokens.div_ceil(BLOCK_SIZE)).map(narrow).collect();
    let owner = Owner::Sequence(SequenceId(0));
    Span { owner, tokens: vec![0; tokens], start: 0, blocks, shared_blocks: 0, adapter: None, draws: true }
}

/// Lays the spans of a plan end to end.
fn batch(plan: &StepPlan) -> Batch {
    let mut batch = Batch::default();
    for span in &plan.spans {
        let first_row = batch.tokens.len();
        batch.tokens.extend_from_slice(&span.tokens);
        batch.layout.positions.extend((span.start..span.end()).map(narrow));
        batch.layout.slots.extend((span.start..span.end()).map(|position| slot(span, position)));
        batch.layout.spans.push(SpanLayout {
            first_row,
            rows: span.tokens.len(),
            context: span.end(),
            blocks: span.blocks.clone(),
            shared_blocks: span.shared_blocks,
        });
        if span.draws {
            batch.draw_rows.push(narrow(batch.tokens.len() - 1));
        }
    }
    batch
}

/// Where a position of a span lies in the cache, counted in tokens.
fn slot(span: &Span, position: usize) -> u32 {
    span.blocks[position / BLOCK_SIZE] * narrow(BLOCK_SIZE) + narrow(position % BLOCK_SIZE)
}

#[expect(clippy::cast_possible_truncation, reason = "positions and rows are far fewer than 2^32")]
fn narrow(number: usize) -> u32 {
    number as u32
}

fn step_error(error: impl Into<Error>) -> ExecutorError {
    let error = error.into();
    if error.is_lost() { ExecutorError::Lost(Box::new(error)) } else { ExecutorError::Step(Box::new(error)) }
}

#[cfg(test)]
pub(crate) mod tests {
    use baton_contract::{Digest, Generate, Sampling, TokenSet};
    use baton_decoder::{Architecture, Heads, Layout, RopeSpec, RopeStyle, Variations};
    use baton_testkit::request;
    use candle_core::DType;

    use super::*;
    use crate::Allowed;

    pub(crate) fn architecture() -> Architecture {
        Architecture {
            family: "llama".to_owned(),
            vocabulary: 70,
            max_context: 64,
            hidden: 64,
            layers: 2,
            heads: Heads { query: 2, kv: 1, dim: 32 },
            feed_forward: 64,
            norm_eps: 1e-5,
            attention_scale: 0.2,
            rope: RopeSpec::new(10_000.0, 32, RopeStyle::Halves),
            qkv_bias: false,
            output_bias: false,
            query_key_norm: false,
            tied_head: false,
            variations: Variations::default(),
        }
    }

    #[test]
    fn a_backend_that_draws_gives_the_hosts_samples() {
        let random = |top_logprobs| Sampling { seed: 7, top_p: 0.9, top_logprobs, ..Sampling::default() };
        let with = |sampling| Generate { sampling, ..request(&[1, 2]) };
        let requests = [request(&[5]), with(random(None)), with(random(Some(2))), request(&[9])];
        let nothing = Allowed::known(Ok(TokenSet::default()));
        let sequences = (1..).map(SequenceId);
        let mut draws: Vec<Draw<'_>> = requests
            .iter()
            .zip(sequences)
            .map(|(request, sequence)| Draw { sequence, request, output: &[], allowed: None })
            .collect();
        draws[3].allowed = Some(&nothing);
        let span = |index: u32| Span {
            owner: Owner::Sequence(SequenceId(u64::from(index) + 1)),
            tokens: vec![index, 3, 4],
            start: 0,
            blocks: vec![index],
            shared_blocks: 0,
            adapter: None,
            draws: true,
        };
        let spans = (0..4).map(span).collect();
        let plan = StepPlan { step: 1, restores: Vec::new(), copies: Vec::new(), spans, stores: Vec::new() };
        let samples = |device: Option<DeviceDraws>| -> Vec<String> {
            let decoder = Decoder::random(architecture(), 1, Kernels::new(1)).unwrap();
            let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 4, DType::F16).unwrap();
            let mut executor = DecoderExecutor { device, ..DecoderExecutor::new(decoder, cache) };
            executor.step(&plan, &draws).unwrap().into_iter().map(|sample| format!("{sample:?}")).collect()
        };
        let host = samples(None);
        assert_eq!(samples(Some(DeviceDraws::new(70).unwrap())), host);
        assert!(host[2].contains("top: [(") && host[3].contains("NothingLeft"), "{host:?}");
    }

    #[test]
    fn spans_lie_end_to_end() {
        let prefix = Span {
            owner: Owner::Prefix(Digest::of(b"")),
            tokens: vec![5, 6],
            start: 31,
            blocks: vec![9, 4],
            shared_blocks: 2,
            adapter: None,
            draws: false,
        };
        let owner = Owner::Sequence(SequenceId(1));
        let decode = Span {
            owner,
            tokens: vec![7],
            start: 64,
            blocks: vec![9, 4, 0],
            shared_blocks: 2,
            adapter: None,
            draws: true,
        };
        let plan = StepPlan {
            step: 1,
            restores: Vec::new(),
            copies: Vec::new(),
            spans: vec![prefix, decode],
            stores: Vec::new(),
        };
        let spans = vec![
            SpanLayout { first_row: 0, rows: 2, context: 33, blocks: vec![9, 4], shared_blocks: 2 },
            SpanLayout { first_row: 2, rows: 1, context: 65, blocks: vec![9, 4, 0], shared_blocks: 2 },
        ];
        let layout = Layout { positions: vec![31, 32, 64], slots: vec![9 * 32 + 31, 4 * 32, 0], spans };
        assert_eq!(batch(&plan), Batch { tokens: vec![5, 6, 7], layout, draw_rows: vec![2] });
    }
}
