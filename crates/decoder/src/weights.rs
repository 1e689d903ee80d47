//! From a file's tensors to the forms that the forward pass computes with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};

use baton_kernels::Backend;
use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use crate::ModelFile;
use crate::gguf::Form;
use crate::linear::{Linear, PlainLinear};
use crate::{Architecture, Error};

/// Everything of a model that was learned.
pub(crate) struct Weights<B: Backend> {
    /// [vocabulary, hidden]
    pub(crate) embedding: Arc<B::Matrix>,
    pub(crate) layers: Vec<LayerWeights<B>>,
    /// [hidden]
    pub(crate) output_norm: B::Vector,
    /// [vocabulary, hidden]
    pub(crate) head: Arc<B::Matrix>,
    /// [rotated / 2] Divisors of the rotation's frequencies.
    pub(crate) rope_divisors: Option<Vec<f32>>,
}

/// One layer's part.
pub(crate) struct LayerWeights<B: Backend> {
    /// [hidden]
    pub(crate) attention_norm: B::Vector,
    /// [hidden] to queries, keys and values, one after the other.
    pub(crate) qkv: Box<dyn Linear<B>>,
    /// [head dim] each
    pub(crate) query_key_norms: Option<[B::Vector; 2]>,
    /// [query heads * head dim] to [hidden]
    pub(crate) output: Box<dyn Linear<B>>,
    /// [hidden]
    pub(crate) feed_forward_norm: B::Vector,
    /// [hidden] to gate and up, one after the other.
    pub(crate) gate_up: Box<dyn Linear<B>>,
    /// [feed-forward] to [hidden]
    pub(crate) down: Box<dyn Linear<B>>,
}

/// Everything outside the layers.
struct OuterWeights<B: Backend> {
    embedding: Arc<B::Matrix>,
    head: Arc<B::Matrix>,
    output_norm: B::Vector,
    rope_divisors: Option<Vec<f32>>,
}

/// How matrices are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// As they are stored, or what the kernels make of that.
    Stored,
    /// As the f32 values that the stored form stands for.
    Widened,
}

/// Takes tensors out of a file, each by its name and with the shape that the architecture gives it.
struct Source<'a, B> {
    file: &'a ModelFile,
    backend: &'a B,
    keep: Keep,
    /// Told the name of every tensor that was used.
    used: Sender<String>,
}

impl<B> Clone for Source<'_, B> {
    fn clone(&self) -> Self {
        Self { used: self.used.clone(), ..*self }
    }
}

impl<B: Backend> Weights<B> {
    /// Weights that mean nothing, of the architecture's shapes: norms that change nothing, no biases, and random matrices.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn random(architecture: &Architecture, seed: u32, backend: &B) -> Result<Self, Error> {
        let Architecture { vocabulary, hidden, feed_forward, heads, .. } = *architecture;
        let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
        let mut seeds = seed.wrapping_mul(1 << 16)..;
        let mut matrix = |rows, columns| -> Result<Arc<B::Matrix>, Error> {
            Ok(Arc::new(backend.random(rows, columns, seeds.next().unwrap_or(seed))?))
        };
        let ones = |len: usize| backend.vector(&vec![1.0; len]);
        let head_norms = || Ok::<_, Error>([ones(heads.dim)?, ones(heads.dim)?]);
        let embedding = matrix(vocabulary, hidden)?;
        let head = if architecture.tied_head { Arc::clone(&embedding) } else { matrix(vocabulary, hidden)? };
        let mut linear = |rows, columns| -> Result<Box<dyn Linear<B>>, Error> {
            Ok(Box::new(PlainLinear { weight: matrix(rows, columns)?, bias: None }))
        };
        let mut layer = |_| -> Result<_, Error> {
            Ok(LayerWeights {
                attention_norm: ones(hidden)?,
                qkv: linear(query + 2 * kv, hidden)?,
                query_key_norms: architecture.query_key_norm.then(head_norms).transpose()?,
                output: linear(hidden, query)?,
                feed_forward_norm: ones(hidden)?,
                gate_up: linear(2 * feed_forward, hidden)?,
                down: linear(hidden, feed_forward)?,
            })
        };
        let layers = (0..architecture.layers).map(&mut layer).collect::<Result<_, _>>()?;
        Ok(Self { embedding, layers, output_norm: ones(hidden)?, head, rope_divisors: None })
    }

    /// Reads and packs all tensors on the backend's threads. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// A tensor is missing, has another shape than the architecture gives it, is stored in a form that cannot be
    /// computed with, or is one that the architecture has no place for.
    pub(crate) fn load(
        architecture: &Architecture,
        file: &ModelFile,
        keep: Keep,
        backend: &B,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, Error> {
        let (used, names) = channel();
        let threads = backend.threads();
        let source = Source { file, backend, keep, used };
        let (outer, mut workers) = thread::scope(|scope| {
            let layers = |worker: usize| {
                let source = source.clone();
                scope.spawn(move || {
                    let own = (worker..architecture.layers).step_by(threads);
                    own.map(|index| LayerWeights::load(architecture, index, &source)).collect::<Result<Vec<_>, _>>()
                })
            };
            let workers: Vec<_> = (0..threads).map(layers).collect();
            let outer = scope.spawn(move || OuterWeights::load(architecture, &source));
            let unused = follow(file, names, progress);
            let outer = joined(outer)?;
            let workers = workers.into_iter().map(|worker| Ok(joined(worker)?.into_iter()));
            let workers = workers.collect::<Result<Vec<_>, Error>>()?;
            // To leave a tensor out would be to compute another model.
            match unused.first() {
                Some(name) => Err(Error::Unsupported(format!("the tensor `{name}`"))),
                None => Ok((outer, workers)),
            }
        })?;
        let layers = (0..architecture.layers).filter_map(|index| workers[index % threads].next()).collect();
        let OuterWeights { embedding, head, output_norm, rope_divisors } = outer;
        Ok(Self { embedding, layers, output_norm, head, rope_divisors })
    }
}

/// Reports progress until nobody sends names any more, and returns those that were not sent.
fn follow<'a>(
    file: &'a ModelFile,
    names: Receiver<String>,
    progress: &mut dyn FnMut(usize, usize),
) -> BTreeSet<&'a str> {
    let mut unused: BTreeSet<_> = file.tensors().map(|(name, _)| name).collect();
    let total = file.tensors().map(|(_, info)| file.bytes(info).len()).sum();
    let mut done = 0;
    for name in names {
        unused.remove(name.as_str());
        done += file.tensor(&name).map_or(0, |info| file.bytes(info).len());
        progress(done, total);
    }
    unused
}

/// What a thread returned; its panic goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl<B: Backend> OuterWeights<B> {
    fn load(architecture: &Architecture, source: &Source<'_, B>) -> Result<Self, Error> {
        let Architecture { vocabulary, hidden, rope, tied_head, .. } = *architecture;
        let embedding = Arc::new(source.matrix("token_embd.weight", vocabulary, hidden)?);
        let head = if tied_head {
            Arc::clone(&embedding)
        } else {
            Arc::new(source.matrix("output.weight", vocabulary, hidden)?)
        };
        let divisors = rope.divisors.then(|| source.floats("rope_freqs.weight", rope.dim / 2));
        Ok(Self {
            embedding,
            head,
            output_norm: source.vector("output_norm.weight", hidden)?,
            rope_divisors: divisors.transpose()?,
        })
    }
}

impl<B: Backend> LayerWeights<B> {
    fn load(architecture: &Architecture, index: usize, source: &Source<'_, B>) -> Result<Self, Error> {
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

impl<B: Backend> Source<'_, B> {
    /// Form and bytes of the tensor of this name, if it has this shape.
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<(Form, &[u8]), Error> {
        let info = self.file.tensor(name).ok_or_else(|| Error::Missing(format!("tensor `{name}`")))?;
        if info.dims != dims {
            let what = format!("the tensor `{name}` has the shape {:?}, but {dims:?} is needed", info.dims);
            return Err(Error::Inconsistent(what));
        }
        Ok((info.form, self.file.bytes(info)))
    }

    /// Matrices of `(name, rows)` over the same `columns`, one after the other, as one product.
    fn linear(&self, parts: &[(String, usize)], columns: usize, bias: bool) -> Result<Box<dyn Linear<B>>, Error> {
        let mut matrices = Vec::with_capacity(parts.len());
        let mut biases = Vec::new();
        for (name, rows) in parts {
            matrices.push(self.matrix(&format!("{name}.weight"), *rows, columns)?);
            if bias {
                biases.extend(self.floats(&format!("{name}.bias"), *rows)?);
            }
        }
        let weight = Arc::new(self.backend.stack(matrices)?);
        let bias = if bias { Some(self.backend.vector(&biases)?) } else { None };
        Ok(Box::new(PlainLinear::<B> { weight, bias }))
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<B::Matrix, Error> {
        let (form, bytes) = self.tensor(name, &[rows, columns])?;
        let dtype = form.dtype().ok_or_else(|| unsupported(form, name))?;
        let packed = match self.keep {
            Keep::Stored => self.backend.pack(dtype, rows, columns, bytes),
            Keep::Widened => self.backend.pack(GgmlDType::F32, rows, columns, &widened(dtype, columns, bytes)?),
        };
        let packed = packed.map_err(|source| Error::Weights { name: name.to_owned(), source })?;
        self.report(name);
        Ok(packed)
    }

    fn vector(&self, name: &str, len: usize) -> Result<B::Vector, Error> {
        Ok(self.backend.vector(&self.floats(name, len)?)?)
    }

    fn floats(&self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let (form, bytes) = self.tensor(name, &[len])?;
        let values = match form.name {
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            "BF16" => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => return Err(unsupported(form, name)),
        };
        self.report(name);
        Ok(values)
    }

    fn report(&self, name: &str) {
        // Nobody listens once loading has failed elsewhere.
        let _ = self.used.send(name.to_owned());
    }
}

/// The rows of a matrix as bytes of f32.
fn widened(dtype: GgmlDType, columns: usize, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let row_bytes = columns / dtype.block_size() * dtype.type_size();
    let mut floats = Vec::with_capacity(bytes.len() / row_bytes.max(1) * columns * size_of::<f32>());
    for row in bytes.chunks_exact(row_bytes.max(1)) {
        // A copy, because the library needs its blocks aligned.
        if let CpuStorage::F32(values) = dtype.from_data(row.to_vec().into()).dequantize(columns)? {
            floats.extend(values.into_iter().flat_map(f32::to_le_bytes));
        }
    }
    Ok(floats)
}

fn unsupported(form: Form, name: &str) -> Error {
    Error::Unsupported(format!("the form {} of the tensor `{name}`", form.name))
}
