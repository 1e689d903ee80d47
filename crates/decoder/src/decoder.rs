//! The decoder: the only forward pass in the code base.

use baton_kernels::{Activation, AttentionParams, Kernels, KvPages, Layout, Rope};
use candle_core::{DType, Device, Tensor};

use crate::weights::{Keep, LayerWeights, Weights};
use crate::{Architecture, Batch, BatchError, Error, GgufFile, PagedCache};

/// A model that is ready to run.
pub struct Decoder {
    architecture: Architecture,
    weights: Weights,
    rope: Rope,
    kernels: Kernels,
}

impl Decoder {
    /// Reads the architecture off a file and packs its weights. `progress` is told bytes done and bytes in all.
    ///
    /// The file is not needed afterwards.
    ///
    /// # Errors
    /// The file is not a model, is damaged, or has a part that is not supported, which the error names.
    pub fn load(source: &GgufFile, kernels: Kernels, progress: &mut dyn FnMut(usize, usize)) -> Result<Self, Error> {
        Self::load_as(Keep::Stored, source, kernels, progress)
    }

    /// As [`Self::load`], with every matrix widened to the f32 values that its stored form stands for.
    ///
    /// Nothing is rounded but f32 itself, so this is what a quantised model is to be compared with. It takes four bytes
    /// a weight and is several times slower.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_widened(
        source: &GgufFile,
        kernels: Kernels,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        Self::load_as(Keep::Widened, source, kernels, progress)
    }

    fn load_as(
        keep: Keep,
        source: &GgufFile,
        kernels: Kernels,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let architecture = Architecture::from_gguf(source)?;
        let weights = Weights::load(&architecture, source, keep, kernels.threads(), progress)?;
        let frequencies = architecture.rope.inverse_frequencies(weights.rope_divisors.as_deref());
        let rope = Rope::new(&frequencies, architecture.max_context, architecture.rope.style, 1.0);
        Ok(Self { architecture, weights, rope, kernels })
    }

    /// What kind of decoder this is.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The kernels it runs on; its cache copies blocks with them.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Runs one batch: writes its keys and values to their slots and returns the logits of its draw rows,
    /// [draw rows, vocabulary] in f32.
    ///
    /// A row's logits have the same bits whatever else is in the batch, and however its context was cut into batches.
    ///
    /// # Errors
    /// The batch is refused before anything is computed if it does not fit itself, the model or the cache.
    pub fn forward(&self, batch: &Batch, cache: &mut PagedCache) -> Result<Tensor, Error> {
        batch.check(&self.architecture, cache.blocks())?;
        if cache.layers.len() != self.weights.layers.len() {
            return Err(BatchError::Cache.into());
        }
        let Self { weights, kernels, .. } = self;
        let eps = self.architecture.norm_eps;
        let selected = Selected::new(batch)?;
        let mut hidden = kernels.gather_rows(&weights.embedding, &batch.tokens)?;
        let Some(first) = weights.layers.first() else { return Err(BatchError::Cache.into()) };
        let mut normed = kernels.rms_norm(&hidden, &first.attention_norm, eps)?;
        for (index, (layer, pages)) in weights.layers.iter().zip(&cache.layers).enumerate() {
            let mut attended = self.attend(layer, &normed, pages, &batch.layout)?;
            let next = weights.layers.get(index + 1);
            if next.is_none() {
                // Of the last layer, others need keys and values only.
                if batch.draw_rows.is_empty() {
                    break;
                }
                (hidden, attended) = (selected.of(hidden)?, selected.of(attended)?);
            }
            let projected = layer.output.forward(kernels, &attended)?;
            let (middle, input) = kernels.add_rms_norm(&hidden, &projected, &layer.feed_forward_norm, eps)?;
            let gated = kernels.gated(&layer.gate_up.forward(kernels, &input)?, Activation::Silu)?;
            let expanded = layer.down.forward(kernels, &gated)?;
            let norm = next.map_or(&weights.output_norm, |next| &next.attention_norm);
            (hidden, normed) = kernels.add_rms_norm(&middle, &expanded, norm, eps)?;
        }
        if batch.draw_rows.is_empty() {
            return Ok(Tensor::zeros((0, self.architecture.vocabulary), DType::F32, &Device::Cpu)?);
        }
        weights.head.forward(kernels, &normed)
    }

    /// Attention of one layer, without its output projection: `normed` [tokens, hidden] to [tokens, query heads * dim].
    fn attend(&self, layer: &LayerWeights, normed: &Tensor, pages: &KvPages, layout: &Layout) -> Result<Tensor, Error> {
        let heads = self.architecture.heads;
        let mut qkv = layer.qkv.forward(&self.kernels, normed)?;
        if let Some(norms) = &layer.query_key_norms {
            qkv = self.norm_heads(&qkv, norms)?;
        }
        let query = self.kernels.rope_write(&qkv, heads, &self.rope, pages, layout)?;
        let params = AttentionParams { scale: self.architecture.attention_scale, softcap: None, window: None };
        Ok(self.kernels.attend(&query, heads, pages, layout, &params)?)
    }

    /// Norms every head of queries and keys by itself; `qkv` [tokens, (query + 2 * kv) * dim].
    fn norm_heads(&self, qkv: &Tensor, [query_norm, key_norm]: &[Tensor; 2]) -> Result<Tensor, Error> {
        let heads = self.architecture.heads;
        let tokens = qkv.dim(0)?;
        let part = |start: usize, count: usize| qkv.narrow(1, start * heads.dim, count * heads.dim);
        let normed = |part: Tensor, norm: &Tensor| {
            let rows = part.contiguous()?.reshape(((), heads.dim))?;
            let rows = self.kernels.rms_norm(&rows, norm, self.architecture.norm_eps)?;
            Ok::<_, Error>(rows.reshape((tokens, ()))?)
        };
        let query = normed(part(0, heads.query)?, query_norm)?;
        let key = normed(part(heads.query, heads.kv)?, key_norm)?;
        Ok(Tensor::cat(&[query, key, part(heads.query + heads.kv, heads.kv)?], 1)?)
    }
}

/// The draw rows of a batch.
struct Selected(Option<Tensor>);

impl Selected {
    fn new(batch: &Batch) -> Result<Self, Error> {
        let rows = 0..u32::try_from(batch.tokens.len()).unwrap_or(u32::MAX);
        if batch.draw_rows.iter().copied().eq(rows) {
            return Ok(Self(None));
        }
        Ok(Self(Some(Tensor::new(batch.draw_rows.as_slice(), &Device::Cpu)?)))
    }

    /// `rows` [tokens, width] to [draw rows, width].
    fn of(&self, rows: Tensor) -> Result<Tensor, Error> {
        match &self.0 {
            Some(index) => Ok(rows.index_select(index, 0)?),
            None => Ok(rows),
        }
    }
}
