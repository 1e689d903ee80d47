//! The decoder: the only forward pass in the code base.

use std::sync::atomic::{AtomicU64, Ordering};

use baton_kernels::{AttentionParams, Backend, Indices, Kernels, LayerHeads, Rope};

use crate::adapter::{DOWN, GATE_UP, OUTPUT, QKV, SITES};
use crate::architecture::{LayerKind, RopeSpec, Rotation};
use crate::weights::{FeedForward, Keep, LayerWeights, Weights};
use crate::{Adapter, AdapterWeights, Architecture, Batch, BatchError, Error, ModelFile, PagedCache, Variations};

/// A model that is ready to run.
pub struct Decoder<B: Backend = Kernels> {
    architecture: Architecture,
    weights: Weights<B>,
    ropes: Ropes<B>,
    kernels: B,
    /// Unlike that of any other decoder of this process, so that nobody takes its recorded work for their own.
    number: u64,
}

/// The rotations of a model's layers.
struct Ropes<B: Backend> {
    global: B::Rope,
    local: Option<B::Rope>,
    absent: B::Rope,
}

/// Decoders that were made.
static MADE: AtomicU64 = AtomicU64::new(0);

impl<B: Backend> Decoder<B> {
    /// Reads the architecture off a file and packs its weights. `progress` is told bytes done and bytes in all.
    ///
    /// The file is not needed afterwards.
    ///
    /// # Errors
    /// The file is not a model, is damaged, or has a part that is not supported, which the error names.
    pub fn load(source: &ModelFile, kernels: B, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, Error> {
        Self::load_as(Keep::Stored, source, kernels, progress)
    }

    /// As [`Self::load`], with every matrix widened to the f32 values that its stored form stands for.
    ///
    /// Nothing is rounded but f32 itself, so this is what a quantised model is to be compared with. It takes four bytes
    /// a weight and is several times slower.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_widened(source: &ModelFile, kernels: B, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, Error> {
        Self::load_as(Keep::Widened, source, kernels, progress)
    }

    /// A model of random weights, for measurements and for comparing one backend with another. It has gates, experts and
    /// norms of updates as `architecture` says, but neither layer norms nor biases nor divisors of frequencies.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn random(architecture: Architecture, seed: u32, kernels: B) -> Result<Self, Error> {
        let weights = Weights::random(&architecture, seed, &kernels)?;
        Self::assemble(architecture, weights, kernels)
    }

    fn load_as(
        keep: Keep,
        source: &ModelFile,
        kernels: B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let architecture = Architecture::of(source)?;
        let weights = Weights::load(&architecture, source, keep, &kernels, progress)?;
        Self::assemble(architecture, weights, kernels)
    }

    fn assemble(architecture: Architecture, weights: Weights<B>, kernels: B) -> Result<Self, Error> {
        let tables = |spec: &RopeSpec, divisors| kernels.rope(spec.tables(divisors, architecture.max_context));
        let ropes = Ropes {
            global: tables(&architecture.rope, weights.rope_divisors.as_deref())?,
            local: architecture.variations.local_rope.map(|spec| tables(&spec, None)).transpose()?,
            absent: kernels.rope(Rope::new(&[], architecture.max_context, architecture.rope.style, 1.0))?,
        };
        Ok(Self { architecture, weights, ropes, kernels, number: MADE.fetch_add(1, Ordering::Relaxed) })
    }

    /// What kind of decoder this is.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The kernels it runs on; its cache copies blocks with them.
    pub fn kernels(&self) -> &B {
        &self.kernels
    }

    /// Brings an adapter to where the kernels read it. May be called while another thread runs batches.
    ///
    /// # Errors
    /// There is not enough memory, or the kernels cannot take its shapes.
    pub fn adapter(&self, weights: &AdapterWeights) -> Result<Adapter<B>, Error> {
        Ok(Adapter(self.kernels.adapter(&weights.sites)?))
    }

    /// As [`Self::forward_adapted`], without adapters.
    ///
    /// # Errors
    /// As there.
    pub fn forward(&self, batch: &Batch, cache: &mut PagedCache<B>) -> Result<Option<B::Rows>, Error> {
        self.forward_adapted(batch, &[], cache)
    }

    /// Runs one batch: writes its keys and values to their slots and returns the logits of its draw rows,
    /// [draw rows, vocabulary] in f32; a device may add rows behind them, which mean nothing. Absent if there are no draw
    /// rows.
    ///
    /// Each span has its adapter or none; with an empty list of them, none has. Keys and values belong to the adapter with
    /// which they were computed.
    ///
    /// On the CPU, a row's logits have the same bits whatever else is in the batch, and however its context was cut
    /// into batches.
    ///
    /// # Errors
    /// The batch is refused before anything is computed if it does not fit itself, the model or the cache.
    pub fn forward_adapted(
        &self,
        batch: &Batch,
        adapters: &[Option<&Adapter<B>>],
        cache: &mut PagedCache<B>,
    ) -> Result<Option<B::Rows>, Error> {
        batch.check(&self.architecture, cache.blocks())?;
        if cache.layers.len() != self.weights.layers.len() {
            return Err(BatchError::Cache.into());
        }
        let PagedCache { layers, recorded, .. } = cache;
        let adapters: Vec<_> = adapters.iter().map(|adapter| adapter.map(|adapter| &adapter.0)).collect();
        let Batch { tokens, layout, draw_rows } = batch;
        let indices = Indices { tokens, layout, draws: draw_rows, adapters: &adapters };
        let placed = self.kernels.place(indices, self.architecture.heads)?;
        if batch.draw_rows.is_empty() {
            self.hidden(layers, &placed, false)?;
            return Ok(None);
        }
        let work = || {
            let drawn = self.hidden(layers, &placed, true)?;
            let drawn = drawn.ok_or(BatchError::Cache)?;
            let Weights { head, head_bias, .. } = &self.weights;
            let logits = self.kernels.logits(&drawn, head, head_bias.as_ref())?;
            match self.architecture.variations.logit_cap {
                Some(cap) => Ok::<_, Error>(self.kernels.cap(logits, cap)?),
                None => Ok(logits),
            }
        };
        Ok(Some(self.kernels.replay(recorded, self.number, &placed, work)?))
    }

    /// What the head multiplies, of the draw rows; absent if nobody draws.
    fn hidden(&self, layers: &[B::Pages], placed: &B::Placed<'_>, draws: bool) -> Result<Option<B::Rows>, Error> {
        let Self { weights, kernels, .. } = self;
        let mut hidden = kernels.embed(&weights.embedding, self.architecture.variations.embedding_scale, placed)?;
        let Some(first) = weights.layers.first() else { return Err(BatchError::Cache.into()) };
        let mut normed = kernels.norm(&hidden, &first.attention_norm)?;
        for (index, (layer, pages)) in weights.layers.iter().zip(layers).enumerate() {
            let mut attended = self.attend(index, &normed, pages, placed)?;
            let next = weights.layers.get(index + 1);
            let last = next.is_none();
            if last {
                // Of the last layer, others need keys and values only.
                if !draws {
                    return Ok(None);
                }
                (hidden, attended) = (kernels.drawn(hidden, placed)?, kernels.drawn(attended, placed)?);
            }
            let add = |y, x: &B::Rows, part| kernels.add_low_rank(y, x, index * SITES + part, last, placed);
            let mut update = add(layer.output.forward(kernels, &attended)?, &attended, OUTPUT)?;
            if let Some(norm) = &layer.attention_update_norm {
                update = kernels.norm_update(&update, norm)?;
            }
            let (middle, input) = if let Some(norm) = &layer.feed_forward_norm {
                kernels.add_norm(hidden, &update, norm)?
            } else {
                let input = if last { kernels.drawn(normed, placed)? } else { normed };
                (kernels.add(hidden, &update)?, input)
            };
            let mut expanded = self.feed_forward(layer, &input, add)?;
            if let Some(norm) = &layer.feed_forward_update_norm {
                expanded = kernels.norm_update(&expanded, norm)?;
            }
            let norm = next.map_or(&weights.output_norm, |next| &next.attention_norm);
            (hidden, normed) = kernels.add_norm(middle, &expanded, norm)?;
        }
        Ok(Some(normed))
    }

    /// What follows attention: `input` [rows, hidden] to [rows, hidden]. `add` adds what adapters have at a site.
    fn feed_forward(
        &self,
        layer: &LayerWeights<B>,
        input: &B::Rows,
        add: impl Fn(B::Rows, &B::Rows, usize) -> baton_kernels::Result<B::Rows>,
    ) -> Result<B::Rows, Error> {
        let kernels = &self.kernels;
        let Variations { activation, gateless, .. } = self.architecture.variations;
        match &layer.feed_forward {
            FeedForward::Dense { up, down } => {
                let up = add(up.forward(kernels, input)?, input, GATE_UP)?;
                let inner = if gateless { kernels.activate(up, activation)? } else { kernels.gate(&up, activation)? };
                Ok(add(down.forward(kernels, &inner)?, &inner, DOWN)?)
            }
            FeedForward::Routed { router, experts } => {
                let scores = kernels.logits(input, router, None)?;
                Ok(kernels.experts(input, &scores, experts, activation)?)
            }
        }
    }

    /// Attention of one layer, without its output projection: `normed` [tokens, hidden] to [tokens, query heads * dim].
    fn attend(
        &self,
        index: usize,
        normed: &B::Rows,
        pages: &B::Pages,
        placed: &B::Placed<'_>,
    ) -> Result<B::Rows, Error> {
        let Architecture { heads, norm_eps: eps, attention_scale: scale, .. } = self.architecture;
        let LayerKind { window, rotation } = self.architecture.layer(index);
        let rope = match (rotation, &self.ropes.local) {
            (Rotation::Absent, _) => &self.ropes.absent,
            (Rotation::Local, Some(local)) => local,
            _ => &self.ropes.global,
        };
        let layer = &self.weights.layers[index];
        let qkv = layer.qkv.forward(&self.kernels, normed)?;
        let qkv = self.kernels.add_low_rank(qkv, normed, index * SITES + QKV, false, placed)?;
        let of_layer = LayerHeads { heads, norms: layer.query_key_norms.as_ref(), eps };
        let query = self.kernels.turn_and_write(&qkv, of_layer, rope, pages, placed)?;
        let params = AttentionParams { scale, softcap: self.architecture.variations.score_cap, window };
        Ok(self.kernels.attention(&query, heads, pages, placed, &params)?)
    }

    /// Logits as numbers on the host: the first `rows` of them, [rows, vocabulary].
    ///
    /// # Errors
    /// The device failed.
    pub fn read(&self, logits: &B::Rows, rows: usize) -> Result<Vec<f32>, Error> {
        let mut values = self.kernels.read(logits)?;
        values.truncate(rows * self.architecture.vocabulary);
        Ok(values)
    }
}
