//! From a file's tensors to the forms that the forward pass computes with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ScopedJoinHandle};

use baton_kernels::{Backend, Expert, Experts, Norm};
use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;

use crate::architecture::{Architecture, Divisors, ExpertSpec, Variations};
use crate::gguf::Form;
use crate::linear::{Linear, PlainLinear};
use crate::recipe::rounded;
use crate::{Error, ModelFile};

/// Everything of a model that was learned.
pub(crate) struct Weights<B: Backend> {
    /// [vocabulary, hidden]
    pub(crate) embedding: Arc<B::Matrix>,
    pub(crate) layers: Vec<LayerWeights<B>>,
    /// Of rows [hidden].
    pub(crate) output_norm: Norm<B::Vector>,
    /// [vocabulary, hidden]
    pub(crate) head: Arc<B::Matrix>,
    /// [vocabulary]
    pub(crate) head_bias: Option<B::Vector>,
    /// [rotated / 2] Divisors of the rotation's frequencies.
    pub(crate) rope_divisors: Option<Vec<f32>>,
}

/// One layer's part.
pub(crate) struct LayerWeights<B: Backend> {
    /// Of rows [hidden].
    pub(crate) attention_norm: Norm<B::Vector>,
    /// [hidden] to queries, keys and values, one after the other.
    pub(crate) qkv: Box<dyn Linear<B>>,
    /// [head dim] each
    pub(crate) query_key_norms: Option<[B::Vector; 2]>,
    /// [query heads * head dim] to [hidden]
    pub(crate) output: Box<dyn Linear<B>>,
    /// Of what attention gives, [hidden].
    pub(crate) attention_update_norm: Option<Norm<B::Vector>>,
    /// Of rows [hidden]; absent if the feed-forward part reads what attention reads.
    pub(crate) feed_forward_norm: Option<Norm<B::Vector>>,
    pub(crate) feed_forward: FeedForward<B>,
    /// Of what the feed-forward part gives, [hidden].
    pub(crate) feed_forward_update_norm: Option<Norm<B::Vector>>,
}

/// What follows attention in a layer, [hidden] to [hidden].
pub(crate) enum FeedForward<B: Backend> {
    /// One for all tokens.
    Dense {
        /// [hidden] to gate and up, one after the other, or to up alone where there is no gate.
        up: Box<dyn Linear<B>>,
        /// [feed-forward] to [hidden]
        down: Box<dyn Linear<B>>,
    },
    /// Each token goes through some of many.
    Routed {
        /// [experts, hidden]
        router: B::Matrix,
        experts: B::Experts,
    },
}

/// Everything outside the layers.
struct OuterWeights<B: Backend> {
    embedding: Arc<B::Matrix>,
    head: Arc<B::Matrix>,
    head_bias: Option<B::Vector>,
    output_norm: Norm<B::Vector>,
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
    /// Weights that mean nothing, of the architecture's shapes: RMS norms that change nothing, no biases, and random
    /// matrices.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn random(architecture: &Architecture, seed: u32, backend: &B) -> Result<Self, Error> {
        let Architecture { vocabulary, hidden, feed_forward, heads, .. } = *architecture;
        let Variations { experts, update_norms, gateless, .. } = architecture.variations;
        let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
        let mut seeds = seed.wrapping_mul(1 << 16)..;
        let mut expert_seeds = seed.wrapping_mul(1 << 16).wrapping_add(1 << 10)..;
        let mut matrix = |rows, columns| -> Result<Arc<B::Matrix>, Error> {
            Ok(Arc::new(backend.random(rows, columns, seeds.next().unwrap_or(seed))?))
        };
        let ones = |len: usize| backend.vector(&vec![1.0; len]);
        let norm = || Ok::<_, Error>(Norm::Rms { weight: ones(hidden)?, eps: architecture.norm_eps });
        let head_norms = || Ok::<_, Error>([ones(heads.dim)?, ones(heads.dim)?]);
        let embedding = matrix(vocabulary, hidden)?;
        let head = if architecture.tied_head { Arc::clone(&embedding) } else { matrix(vocabulary, hidden)? };
        let mut linear = |rows, columns| -> Result<Box<dyn Linear<B>>, Error> {
            Ok(Box::new(PlainLinear { weight: matrix(rows, columns)?, bias: None }))
        };
        let mut layer = |_| -> Result<_, Error> {
            let (qkv, output) = (linear(query + 2 * kv, hidden)?, linear(hidden, query)?);
            let feed_forward = match experts {
                None => FeedForward::Dense {
                    up: linear(if gateless { feed_forward } else { 2 * feed_forward }, hidden)?,
                    down: linear(hidden, feed_forward)?,
                },
                Some(ExpertSpec { count, used, normalised }) => {
                    let mut matrix = |rows, columns| backend.random(rows, columns, expert_seeds.next().unwrap_or(seed));
                    let router = matrix(count, hidden)?;
                    let mut expert = |_| -> Result<_, Error> {
                        Ok(Expert { gate_up: matrix(2 * feed_forward, hidden)?, down: matrix(hidden, feed_forward)? })
                    };
                    let all = (0..count).map(&mut expert).collect::<Result<_, _>>()?;
                    FeedForward::Routed { router, experts: backend.bundle(Experts { all, used, normalised })? }
                }
            };
            Ok(LayerWeights {
                attention_norm: norm()?,
                qkv,
                query_key_norms: architecture.query_key_norm.then(head_norms).transpose()?,
                output,
                attention_update_norm: update_norms.then(norm).transpose()?,
                feed_forward_norm: Some(norm()?),
                feed_forward,
                feed_forward_update_norm: update_norms.then(norm).transpose()?,
            })
        };
        let layers = (0..architecture.layers).map(&mut layer).collect::<Result<_, _>>()?;
        Ok(Self { embedding, layers, output_norm: norm()?, head, head_bias: None, rope_divisors: None })
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
        let OuterWeights { embedding, head, head_bias, output_norm, rope_divisors } = outer;
        Ok(Self { embedding, layers, output_norm, head, head_bias, rope_divisors })
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
        let bias = architecture.variations.head_bias.then(|| source.vector("output.bias", vocabulary));
        // Of two sets of divisors, the model's context has use for one.
        for other in [Divisors::Short, Divisors::Long].into_iter().filter(|other| *other != rope.divisors) {
            other.tensor().into_iter().for_each(|name| source.report(name));
        }
        let divisors = rope.divisors.tensor().map(|name| source.floats(name, rope.dim / 2));
        Ok(Self {
            embedding,
            head,
            head_bias: bias.transpose()?,
            output_norm: source.norm("output_norm", architecture)?,
            rope_divisors: divisors.transpose()?,
        })
    }
}

impl<B: Backend> LayerWeights<B> {
    fn load(architecture: &Architecture, index: usize, source: &Source<'_, B>) -> Result<Self, Error> {
        let Architecture { hidden, heads, .. } = *architecture;
        let Variations { update_norms, parallel, .. } = architecture.variations;
        let (query, kv) = (heads.query * heads.dim, heads.kv * heads.dim);
        let name = |part: &str| format!("blk.{index}.{part}");
        let qkv = if source.has(&name("attn_qkv.weight")) {
            vec![(name("attn_qkv"), query + 2 * kv)]
        } else {
            [("attn_q", query), ("attn_k", kv), ("attn_v", kv)].map(|(part, rows)| (name(part), rows)).to_vec()
        };
        let update_norm = |part: &str| update_norms.then(|| source.norm(&name(part), architecture)).transpose();
        Ok(Self {
            attention_norm: source.norm(&name("attn_norm"), architecture)?,
            qkv: source.linear(&qkv, hidden, architecture.qkv_bias)?,
            query_key_norms: if architecture.query_key_norm {
                Some([
                    source.vector(&name("attn_q_norm.weight"), heads.dim)?,
                    source.vector(&name("attn_k_norm.weight"), heads.dim)?,
                ])
            } else {
                None
            },
            output: source.linear(&[(name("attn_output"), hidden)], query, architecture.output_bias)?,
            attention_update_norm: update_norm("post_attention_norm")?,
            feed_forward_norm: if parallel { None } else { Some(source.norm(&name("ffn_norm"), architecture)?) },
            feed_forward: FeedForward::load(architecture, index, source)?,
            feed_forward_update_norm: update_norm("post_ffw_norm")?,
        })
    }
}

impl<B: Backend> FeedForward<B> {
    fn load(architecture: &Architecture, index: usize, source: &Source<'_, B>) -> Result<Self, Error> {
        let Architecture { hidden, feed_forward, .. } = *architecture;
        let Variations { gateless, feed_forward_bias: bias, experts, .. } = architecture.variations;
        let name = |part: &str| format!("blk.{index}.{part}");
        if let Some(experts) = experts {
            let router = source.matrix(&name("ffn_gate_inp.weight"), experts.count, hidden)?;
            let of_expert = |expert| {
                let [gate, up, down] = ["ffn_gate", "ffn_up", "ffn_down"].map(name);
                let gate = source.expert(&gate, expert, experts.count, [feed_forward, hidden])?;
                let up = source.expert(&up, expert, experts.count, [feed_forward, hidden])?;
                let down = source.expert(&down, expert, experts.count, [hidden, feed_forward])?;
                Ok(Expert { gate_up: source.backend.stack(vec![gate, up])?, down })
            };
            let all = (0..experts.count).map(of_expert).collect::<Result<_, Error>>()?;
            let experts = Experts { all, used: experts.used, normalised: experts.normalised };
            return Ok(Self::Routed { router, experts: source.backend.bundle(experts)? });
        }
        let up = if gateless {
            vec![(name("ffn_up"), feed_forward)]
        } else if source.has(&name("ffn_gate.weight")) {
            ["ffn_gate", "ffn_up"].map(|part| (name(part), feed_forward)).to_vec()
        } else {
            // Both in one, the gate first.
            vec![(name("ffn_up"), 2 * feed_forward)]
        };
        Ok(Self::Dense {
            up: source.linear(&up, hidden, bias)?,
            down: source.linear(&[(name("ffn_down"), hidden)], feed_forward, bias)?,
        })
    }
}

impl<B: Backend> Source<'_, B> {
    fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

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
        let packed = self.pack(name, form, [rows, columns], bytes)?;
        self.report(name);
        Ok(packed)
    }

    /// The matrix of one of `count` experts, which are a tensor each, `name.expert`, or all in one, `name_exps`.
    fn expert(&self, name: &str, expert: usize, count: usize, shape: [usize; 2]) -> Result<B::Matrix, Error> {
        let own = format!("{name}.{expert}.weight");
        if self.has(&own) {
            return self.matrix(&own, shape[0], shape[1]);
        }
        let all = format!("{name}_exps.weight");
        let (form, bytes) = self.tensor(&all, &[count, shape[0], shape[1]])?;
        let size = bytes.len() / count;
        let matrix = self.pack(&all, form, shape, &bytes[expert * size..][..size])?;
        if expert + 1 == count {
            self.report(&all);
        }
        Ok(matrix)
    }

    fn pack(&self, name: &str, form: Form, [rows, columns]: [usize; 2], bytes: &[u8]) -> Result<B::Matrix, Error> {
        let dtype = form.dtype().ok_or_else(|| unsupported(form, name))?;
        let wanted = self.file.tensor(name).map_or(form, |info| self.file.loaded_form(name, info));
        let packed = match self.keep {
            Keep::Stored if wanted == form => self.backend.pack(dtype, rows, columns, bytes),
            Keep::Stored => {
                let floats = form.floats(bytes).ok_or_else(|| unsupported(form, name))?;
                // Tensors are rounded side by side already.
                let bytes = rounded(&floats, columns, wanted, 1)?;
                let dtype = wanted.dtype().ok_or_else(|| unsupported(wanted, name))?;
                self.backend.pack(dtype, rows, columns, &bytes)
            }
            Keep::Widened => self.backend.pack(GgmlDType::F32, rows, columns, &widened(dtype, columns, bytes)?),
        };
        packed.map_err(|source| Error::Weights { name: name.to_owned(), source })
    }

    /// The norm of rows of the model's width whose tensors begin with `name`.
    fn norm(&self, name: &str, architecture: &Architecture) -> Result<Norm<B::Vector>, Error> {
        let Architecture { hidden, norm_eps: eps, .. } = *architecture;
        let weight = self.vector(&format!("{name}.weight"), hidden)?;
        if architecture.variations.layer_norm {
            return Ok(Norm::Layer { weight, bias: self.vector(&format!("{name}.bias"), hidden)?, eps });
        }
        Ok(Norm::Rms { weight, eps })
    }

    fn vector(&self, name: &str, len: usize) -> Result<B::Vector, Error> {
        Ok(self.backend.vector(&self.floats(name, len)?)?)
    }

    fn floats(&self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let (form, bytes) = self.tensor(name, &[len])?;
        let values = form.floats(bytes).ok_or_else(|| unsupported(form, name))?;
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
