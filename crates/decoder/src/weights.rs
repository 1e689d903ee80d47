//! From a file's tensors to the forms that the forward pass computes with.

use std::collections::BTreeSet;
use std::sync::Arc;

use baton_kernels::PackedMatrix;
use candle_core::{Device, Tensor};

use crate::gguf::{GgufFile, TensorInfo};
use crate::linear::{Linear, PackedLinear};
use crate::{Architecture, Error};

/// Everything of a model that was learned.
pub(crate) struct Weights {
    /// [vocabulary, hidden]
    pub(crate) embedding: Arc<PackedMatrix>,
    pub(crate) layers: Vec<LayerWeights>,
    /// [hidden]
    pub(crate) output_norm: Tensor,
    /// [hidden] to [vocabulary]
    pub(crate) head: Box<dyn Linear>,
    /// [rotated / 2] Divisors of the rotation's frequencies.
    pub(crate) rope_divisors: Option<Vec<f32>>,
}

/// One layer's part.
pub(crate) struct LayerWeights {
    /// [hidden]
    pub(crate) attention_norm: Tensor,
    /// [hidden] to queries, keys and values, one after the other.
    pub(crate) qkv: Box<dyn Linear>,
    /// [head dim] each
    pub(crate) query_key_norms: Option<[Tensor; 2]>,
    /// [query heads * head dim] to [hidden]
    pub(crate) output: Box<dyn Linear>,
    /// [hidden]
    pub(crate) feed_forward_norm: Tensor,
    /// [hidden] to gate and up, one after the other.
    pub(crate) gate_up: Box<dyn Linear>,
    /// [feed-forward] to [hidden]
    pub(crate) down: Box<dyn Linear>,
}

/// Takes tensors out of a file, each by its name and with the shape that the architecture gives it.
struct Source<'a> {
    file: &'a GgufFile,
    taken: BTreeSet<String>,
    done: usize,
    total: usize,
    progress: &'a mut dyn FnMut(usize, usize),
}

impl Weights {
    /// Reads and packs all tensors. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// A tensor is missing, has another shape than the architecture gives it, is stored in a form that cannot be
    /// computed with, or is one that the architecture has no place for.
    pub(crate) fn load(
        architecture: &Architecture,
        file: &GgufFile,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let total = file.tensors().map(|(_, info)| file.bytes(info).len()).sum();
        let mut source = Source { file, taken: BTreeSet::new(), done: 0, total, progress };
        let Architecture { vocabulary, hidden, .. } = *architecture;
        let embedding = Arc::new(source.matrix("token_embd.weight", vocabulary, hidden)?);
        let head = if architecture.tied_head {
            Arc::clone(&embedding)
        } else {
            Arc::new(source.matrix("output.weight", vocabulary, hidden)?)
        };
        let rope_divisors = if architecture.rope.divisors {
            Some(source.floats("rope_freqs.weight", architecture.rope.dim / 2)?)
        } else {
            None
        };
        let layers = (0..architecture.layers).map(|index| LayerWeights::load(architecture, index, &mut source));
        let layers = layers.collect::<Result<_, _>>()?;
        let output_norm = source.vector("output_norm.weight", hidden)?;
        source.finish()?;
        let head = Box::new(PackedLinear { weight: head, bias: None });
        Ok(Self { embedding, layers, output_norm, head, rope_divisors })
    }
}

impl LayerWeights {
    fn load(architecture: &Architecture, index: usize, source: &mut Source<'_>) -> Result<Self, Error> {
        let Architecture { hidden, feed_forward, heads, .. } = *architecture;
        let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
        let name = |part: &str| format!("blk.{index}.{part}");
        let qkv_bias = architecture.qkv_bias;
        let qkv = [("attn_q", query), ("attn_k", kv), ("attn_v", kv)].map(|(part, rows)| (name(part), rows));
        let gate_up = ["ffn_gate", "ffn_up"].map(|part| (name(part), feed_forward));
        Ok(Self {
            attention_norm: source.vector(&name("attn_norm.weight"), hidden)?,
            qkv: source.linear(&qkv, hidden, qkv_bias)?,
            query_key_norms: if architecture.query_key_norm {
                Some([
                    source.vector(&name("attn_q_norm.weight"), heads.dim)?,
                    source.vector(&name("attn_k_norm.weight"), heads.dim)?,
                ])
            } else {
                None
            },
            output: source.linear(&[(name("attn_output"), hidden)], query, architecture.output_bias)?,
            feed_forward_norm: source.vector(&name("ffn_norm.weight"), hidden)?,
            gate_up: source.linear(&gate_up, hidden, false)?,
            down: source.linear(&[(name("ffn_down"), hidden)], feed_forward, false)?,
        })
    }
}

impl Source<'_> {
    /// The tensor of this name, if it has this shape.
    fn take(&mut self, name: &str, dims: &[usize]) -> Result<&TensorInfo, Error> {
        let info = self.file.tensor(name).ok_or_else(|| Error::Missing(format!("tensor `{name}`")))?;
        if info.dims != dims {
            let what = format!("the tensor `{name}` has the shape {:?}, but {dims:?} is needed", info.dims);
            return Err(Error::Inconsistent(what));
        }
        self.taken.insert(name.to_owned());
        self.done += self.file.bytes(info).len();
        (self.progress)(self.done, self.total);
        Ok(info)
    }

    /// Matrices of `(name, rows)` over the same `columns`, one after the other, as one product.
    fn linear(&mut self, parts: &[(String, usize)], columns: usize, bias: bool) -> Result<Box<dyn Linear>, Error> {
        let mut matrices = Vec::with_capacity(parts.len());
        let mut biases = Vec::new();
        for (name, rows) in parts {
            matrices.push(self.matrix(&format!("{name}.weight"), *rows, columns)?);
            if bias {
                biases.extend(self.floats(&format!("{name}.bias"), *rows)?);
            }
        }
        let weight = Arc::new(PackedMatrix::stack(matrices)?);
        let bias = if bias { Some(Tensor::new(biases, &Device::Cpu)?) } else { None };
        Ok(Box::new(PackedLinear { weight, bias }))
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<PackedMatrix, Error> {
        let file = self.file;
        let info = self.take(name, &[rows, columns])?;
        let form = info.form;
        let unsupported = || Error::Unsupported(format!("the form {} of the tensor `{name}`", form.name));
        let form = form.dtype().ok_or_else(unsupported)?;
        let bytes = file.bytes(info);
        let packed = PackedMatrix::pack(form, rows, columns, bytes);
        packed.map_err(|source| Error::Weights { name: name.to_owned(), source })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Tensor, Error> {
        Ok(Tensor::new(self.floats(name, len)?, &Device::Cpu)?)
    }

    fn floats(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let file = self.file;
        let info = self.take(name, &[len])?;
        if info.form.name != "F32" {
            return Err(Error::Unsupported(format!("the form {} of the tensor `{name}`", info.form.name)));
        }
        Ok(file.bytes(info).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// Refuses a file with tensors that nobody took: leaving them out would compute another model.
    fn finish(self) -> Result<(), Error> {
        match self.file.tensors().find(|(name, _)| !self.taken.contains(*name)) {
            Some((name, _)) => Err(Error::Unsupported(format!("the tensor `{name}`"))),
            None => Ok(()),
        }
    }
}
