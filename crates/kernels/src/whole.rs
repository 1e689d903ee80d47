//! Attention of a text to itself, every token to all tokens, as encoders have it.
//!
//! It is written once and compiled for the instruction set: no sum is ordered by the compiler, so all sets give the same bits.

use candle_core::Tensor;

use crate::lanes::{compiled, exp, sum8};
use crate::tensor::{matrix_of, output, slice};
use crate::threads::Parts;
use crate::{Heads, KernelError, Kernels, Result};

impl Kernels {
    /// Attention of texts to themselves, every token to all tokens of its own text: `qkv` [tokens, 3 * heads * dim] has the
    /// texts one after the other, of `lengths` tokens each, and in each row queries, keys and values. Gives
    /// [tokens, heads * dim]; scores are divided by the root of `dim`. All heads have keys of their own.
    ///
    /// # Errors
    /// If shapes or types do not fit, the lengths do not cover the rows, or there are fewer heads of keys than of queries.
    pub fn attend_whole(&self, qkv: &Tensor, lengths: &[usize], heads: Heads) -> Result<Tensor> {
        heads.check()?;
        if heads.query != heads.kv {
            let fault = format!("{} heads of queries share {} of keys, which encoders do not", heads.query, heads.kv);
            return Err(KernelError::Parameter(fault));
        }
        let hidden = heads.query * heads.dim;
        let rows = lengths.iter().sum();
        let qkv = matrix_of(qkv, rows, 3 * hidden, "qkv")?;
        let (qkv, layout) = qkv.storage_and_layout();
        let qkv = slice::<f32>(&qkv, layout, "qkv")?;
        let starts = lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(start)
        });
        let texts: Vec<(usize, usize)> = starts.zip(lengths.iter().copied()).collect();
        let mut attended = vec![0.0; rows * hidden];
        let parts = Parts::new(&mut attended);
        self.pool.run(texts.len() * heads.query, &|task| {
            let ((start, length), head) = (texts[task / heads.query], task % heads.query);
            let text = &qkv[start * 3 * hidden..][..length * 3 * hidden];
            let mut result = vec![0.0; length * heads.dim];
            let out = &mut result[..];
            compiled!(self, attend_head(text: &[f32], heads: Heads, head: usize, out: &mut [f32]));
            for (row, result) in result.chunks_exact(heads.dim).enumerate() {
                // SAFETY: each head of each row is in one task.
                let out = unsafe { parts.part((start + row) * hidden + head * heads.dim, heads.dim) };
                out.copy_from_slice(result);
            }
        });
        output(attended, rows, hidden)
    }
}

/// The sum of values, in eight lanes: value `i` in lane `i % 8`.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (whole, rest) = x.as_chunks::<8>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    sum8(&lanes)
}

/// One head of one text: `text` [tokens, 3 * hidden], `out` [tokens, dim].
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "heads are far below 2^24 wide")]
fn attend_head(text: &[f32], heads: Heads, head: usize, out: &mut [f32]) {
    let (dim, hidden) = (heads.dim, heads.query * heads.dim);
    let length = text.len() / (3 * hidden);
    let scale = 1.0 / (dim as f32).sqrt();
    let part = |token: usize, which: usize| &text[token * 3 * hidden + which * hidden + head * dim..][..dim];
    // Keys lie with all tokens of one dimension side by side: a score is summed from the first dimension to the last, many
    // scores at once. [dim, tokens]
    let mut keys = vec![0.0; dim * length];
    for token in 0..length {
        for (of_dim, key) in keys.chunks_exact_mut(length).zip(part(token, 1)) {
            of_dim[token] = *key;
        }
    }
    let mut scores = vec![0.0f32; length];
    for (token, out) in out.chunks_exact_mut(dim).enumerate() {
        scores.fill(0.0);
        for (query, keys) in part(token, 0).iter().zip(keys.chunks_exact(length)) {
            let query = query * scale;
            for (score, key) in scores.iter_mut().zip(keys) {
                *score = query.mul_add(*key, *score);
            }
        }
        let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in &mut scores {
            *score = exp(*score - highest);
        }
        let share = 1.0 / sum(&scores);
        for (other, score) in scores.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(part(other, 2)) {
                *out = score.mul_add(*value, *out);
            }
        }
        for out in out {
            *out *= share;
        }
    }
}
