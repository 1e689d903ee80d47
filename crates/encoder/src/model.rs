//! The forward pass: one ragged batch, no padding.

use std::path::Path;

use baton_contract::{Digest, Digester, TokenId};
use baton_kernels::{Heads, KernelError, Kernels, PackedMatrix};
use candle_core::{Device, Tensor};

use crate::files::{WEIGHTS, Weights, needed, optional, vector};
use crate::{Architecture, Encode, EncoderCard, Error, Pooling, Words};

/// A BERT encoder with its weights.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    kernels: Kernels,
    /// [vocabulary, hidden]
    words: PackedMatrix,
    /// What the place of a token adds, the kind of its segment included. [positions, hidden]
    places: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Queries, keys and values. [3 * hidden, hidden]
    qkv: Linear,
    attended: Linear,
    attention_norm: Norm,
    /// [inner, hidden]
    widen: Linear,
    /// [hidden, inner]
    narrow: Linear,
    norm: Norm,
}

#[derive(Debug)]
struct Linear {
    weight: PackedMatrix,
    bias: Tensor,
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Model {
    /// Reads a folder, to be computed on `threads` threads. The card's id is `id`.
    ///
    /// # Errors
    /// A file cannot be read, is damaged or contradicts another, or the model is of a kind that is not computed here.
    pub fn open(folder: &Path, id: &str, threads: usize) -> Result<(Self, EncoderCard), Error> {
        let architecture = Architecture::read(folder)?;
        let words = Words::read(folder, architecture.max_tokens)?;
        let bytes = needed(folder, WEIGHTS)?;
        let card = EncoderCard {
            id: id.to_owned(),
            digest: digest(folder, architecture.pooling, &bytes)?,
            dimensions: architecture.hidden,
            words,
        };
        Ok((Self::read(architecture, &Weights::read(&bytes)?, Kernels::new(threads))?, card))
    }

    fn read(architecture: Architecture, weights: &Weights<'_>, kernels: Kernels) -> Result<Self, Error> {
        let Architecture { hidden, inner, vocabulary, positions, segments, .. } = architecture;
        let norm = |name: &str| {
            let part = |part: &str| weights.vector(&format!("{name}.{part}"), hidden);
            Ok::<_, Error>(Norm { weight: part("weight")?, bias: part("bias")? })
        };
        let linear = |name: &str, rows: usize, cols: usize| {
            let weight = weights.matrix(&format!("{name}.weight"), rows, cols)?;
            Ok::<_, Error>(Linear { weight, bias: weights.vector(&format!("{name}.bias"), rows)? })
        };
        let layer = |number: usize| {
            let name = |part: &str| format!("encoder.layer.{number}.{part}");
            let heads = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
            let parts = heads.iter().map(|part| weights.matrix(&format!("{part}.weight"), hidden, hidden));
            let biases = heads.iter().map(|part| weights.values(&format!("{part}.bias"), hidden));
            Ok::<_, Error>(Layer {
                qkv: Linear {
                    weight: PackedMatrix::stack(parts.collect::<Result<_, _>>()?)?,
                    bias: vector(biases.collect::<Result<Vec<_>, _>>()?.concat())?,
                },
                attended: linear(&name("attention.output.dense"), hidden, hidden)?,
                attention_norm: norm(&name("attention.output.LayerNorm"))?,
                widen: linear(&name("intermediate.dense"), inner, hidden)?,
                narrow: linear(&name("output.dense"), hidden, inner)?,
                norm: norm(&name("output.LayerNorm"))?,
            })
        };
        let places = weights.matrix("embeddings.position_embeddings.weight", positions, hidden)?;
        let every: Vec<u32> = (0..u32::try_from(positions).unwrap_or(u32::MAX)).collect();
        let places = kernels.gather_rows(&places, &every)?;
        let segment = weights.matrix("embeddings.token_type_embeddings.weight", segments, hidden)?;
        let places = places.broadcast_add(&kernels.gather_rows(&segment, &[0])?).map_err(KernelError::from)?;
        Ok(Self {
            words: weights.matrix("embeddings.word_embeddings.weight", vocabulary, hidden)?,
            places: values(&places)?,
            norm: norm("embeddings.LayerNorm")?,
            layers: (0..architecture.layers).map(layer).collect::<Result<_, _>>()?,
            architecture,
            kernels,
        })
    }

    /// The vectors of texts as tokens, in their order: [texts, hidden]. No text may be empty or longer than the positions.
    fn forward(&self, texts: &[&[TokenId]]) -> Result<Vec<Vec<f32>>, KernelError> {
        let Architecture { hidden, heads, eps, activation, positions, .. } = self.architecture;
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        if let Some(wrong) = lengths.iter().find(|length| !(1..=positions).contains(*length)) {
            return Err(KernelError::Range { what: "length of a text", index: *wrong, count: positions + 1 });
        }
        let add_norm = |x: &Tensor, residual: &Tensor, norm: &Norm| {
            self.kernels.layer_norm(&(x + residual)?, &norm.weight, &norm.bias, eps)
        };
        let linear = |x: &Tensor, of: &Linear| -> Result<Tensor, KernelError> {
            Ok(self.kernels.matmul(x, &of.weight)?.broadcast_add(&of.bias)?)
        };
        let heads = Heads { query: heads, kv: heads, dim: hidden / heads };
        let x = self.kernels.gather_rows(&self.words, &texts.concat())?;
        let places: Vec<f32> = lengths.iter().flat_map(|length| &self.places[..length * hidden]).copied().collect();
        let places = Tensor::from_vec(places, x.dims(), &Device::Cpu)?;
        let mut x = add_norm(&x, &places, &self.norm)?;
        for layer in &self.layers {
            let attended = self.kernels.attend_whole(&linear(&x, &layer.qkv)?, &lengths, heads)?;
            x = add_norm(&linear(&attended, &layer.attended)?, &x, &layer.attention_norm)?;
            let inner = self.kernels.activated(&linear(&x, &layer.widen)?, activation)?;
            x = add_norm(&linear(&inner, &layer.narrow)?, &x, &layer.norm)?;
        }
        let rows = values(&x)?;
        let mut start = 0;
        let pool = |length: &usize| {
            let text = &rows[start * hidden..][..length * hidden];
            start += length;
            self.pooled(text)
        };
        Ok(lengths.iter().map(pool).collect())
    }

    /// The vector of one text; `rows` [tokens, hidden] are its tokens'.
    #[expect(clippy::cast_precision_loss, reason = "texts are far shorter than 2^24 tokens")]
    #[expect(clippy::cast_possible_truncation, reason = "vectors are given in f32")]
    fn pooled(&self, rows: &[f32]) -> Vec<f32> {
        let hidden = self.architecture.hidden;
        let mut pooled = rows[..hidden].to_vec();
        if self.architecture.pooling == Pooling::Mean {
            for row in rows.chunks_exact(hidden).skip(1) {
                pooled.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let tokens = (rows.len() / hidden) as f32;
            for x in &mut pooled {
                *x /= tokens;
            }
        }
        if self.architecture.unit {
            let length = pooled.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
            for x in &mut pooled {
                *x = (f64::from(*x) / length) as f32;
            }
        }
        pooled
    }
}

impl Encode for Model {
    fn encode(&mut self, texts: &[&[TokenId]]) -> Result<Vec<Vec<f32>>, String> {
        let vectors = self.forward(texts).map_err(|error| error.to_string())?;
        if vectors.iter().flatten().all(|x| x.is_finite()) {
            Ok(vectors)
        } else {
            Err("the model gives numbers that are not finite; its weights may be damaged".to_owned())
        }
    }
}

fn values(x: &Tensor) -> Result<Vec<f32>, KernelError> {
    Ok(x.flatten_all()?.to_vec1()?)
}

/// Files that a vector depends on beside the weights.
const DEPENDS: [&str; 6] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
];

/// Identifies everything that a vector depends on beside the text: weights, tokens, and how they are used.
fn digest(folder: &Path, pooling: Pooling, weights: &[u8]) -> Result<Digest, Error> {
    let mut digester = Digester::new("baton encoder v1");
    for name in DEPENDS {
        let bytes = optional(folder, name)?;
        digester.field(name.as_bytes()).field(bytes.as_deref().unwrap_or_default());
    }
    let pooling: &[u8] = match pooling {
        Pooling::Mean => b"mean",
        Pooling::First => b"first",
    };
    Ok(digester.field(pooling).field(weights).finish())
}
