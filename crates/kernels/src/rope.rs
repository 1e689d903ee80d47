//! Rotary position embedding, and the write into the cache that follows it.

use candle_core::Tensor;

use crate::pages::WritePages;
use crate::tensor::{matrix_of, output, slice};
use crate::threads::Parts;
use crate::{Heads, KernelError, Kernels, KvPages, Layout, Result};

/// Which two elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours: 0 and 1, 2 and 3, … as the weights of Llama in GGUF want it.
    Interleaved,
    /// Halves: 0 and `n / 2`, 1 and `n / 2 + 1`, … of the `n` rotated elements (GPT-NeoX).
    Halves,
}

/// Cosines and sines of every position.
#[derive(Clone, Debug)]
pub struct Rope {
    /// [positions, pairs]
    cos: Vec<f32>,
    /// [positions, pairs]
    sin: Vec<f32>,
    pairs: usize,
    positions: usize,
    style: RopeStyle,
}

impl Rope {
    /// Tables for `positions` positions. Pair `i` turns by `inverse_frequencies[i]` radians a position; the first
    /// `2 * inverse_frequencies.len()` elements of a head are rotated and the others left alone, so that no frequencies mean
    /// no rotation. `magnitude` scales the rotated elements (1, unless the model stretches its context by `YaRN`).
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "positions are below 2^24")]
    pub fn new(inverse_frequencies: &[f32], positions: usize, style: RopeStyle, magnitude: f32) -> Self {
        // The angle is rounded to f32 as the models' trainers do; its cosine is not rounded twice.
        let angles = (0..positions).flat_map(|position| {
            inverse_frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency))
        });
        let (cos, sin) = angles.map(|a| (a.cos() as f32 * magnitude, a.sin() as f32 * magnitude)).unzip();
        Self { cos, sin, pairs: inverse_frequencies.len(), positions, style }
    }

    /// Positions that the tables reach.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Rotated pairs of each head.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Which two elements are a pair.
    pub fn style(&self) -> RopeStyle {
        self.style
    }

    /// Cosine and sine of each position's pairs, [positions, pairs].
    pub fn turns(&self) -> impl Iterator<Item = (f32, f32)> {
        self.cos.iter().copied().zip(self.sin.iter().copied())
    }

    fn check(&self, heads: Heads, layout: &Layout) -> Result<()> {
        if 2 * self.pairs > heads.dim {
            return Err(KernelError::Parameter(format!(
                "{} elements are to be rotated, but a head has {}",
                2 * self.pairs,
                heads.dim
            )));
        }
        match layout.positions.iter().find(|&&position| position as usize >= self.positions) {
            Some(&index) => Err(KernelError::Range { what: "position", index: index as usize, count: self.positions }),
            None => Ok(()),
        }
    }

    /// Rotates each head of `row` [heads * dim] in place.
    fn rotate(&self, row: &mut [f32], dim: usize, position: usize) {
        let cos = &self.cos[position * self.pairs..][..self.pairs];
        let sin = &self.sin[position * self.pairs..][..self.pairs];
        for head in row.chunks_exact_mut(dim) {
            match self.style {
                RopeStyle::Interleaved => {
                    for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                        (pair[0], pair[1]) = turn(pair[0], pair[1], *cos, *sin);
                    }
                }
                RopeStyle::Halves => {
                    let (first, second) = head.split_at_mut(self.pairs);
                    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                        (*a, *b) = turn(*a, *b, *cos, *sin);
                    }
                }
            }
        }
    }
}

fn turn(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (a * cos - b * sin, a * sin + b * cos)
}

impl Kernels {
    /// Splits `qkv` [tokens, (query + 2 * kv) * dim], rotates queries and keys, writes keys and values to their slots and
    /// returns the queries [tokens, query * dim].
    ///
    /// # Errors
    /// If shapes, types, slots or positions do not fit.
    pub fn rope_write(
        &self,
        qkv: &Tensor,
        heads: Heads,
        rope: &Rope,
        pages: &KvPages,
        layout: &Layout,
    ) -> Result<Tensor> {
        heads.check()?;
        let tokens = layout.positions.len();
        let width = heads.qkv_width();
        let qkv = matrix_of(qkv, tokens, width, "qkv")?;
        let blocks = pages.check(heads)?;
        layout.check(tokens, blocks)?;
        rope.check(heads, layout)?;
        let (q_width, kv_width) = (heads.query * heads.dim, heads.kv * heads.dim);

        let write = WritePages {
            slots: &layout.slots,
            heads,
            keys: true,
            row: |index: usize, qkv: &[f32], key: &mut [f32]| {
                key.copy_from_slice(&qkv[q_width..][..kv_width]);
                rope.rotate(key, heads.dim, layout.positions[index] as usize);
            },
        };
        pages.key.inplace_op2(&qkv, &write)?;
        let write = WritePages {
            slots: &layout.slots,
            heads,
            keys: false,
            row: |_, qkv: &[f32], value: &mut [f32]| value.copy_from_slice(&qkv[q_width + kv_width..]),
        };
        pages.value.inplace_op2(&qkv, &write)?;

        let (qkv, qkv_layout) = qkv.storage_and_layout();
        let qkv = slice::<f32>(&qkv, qkv_layout, "qkv")?;
        let mut query = vec![0.0; tokens * q_width];
        let parts = Parts::new(&mut query);
        self.rows(tokens, q_width, &|first, rows| {
            for row in first..first + rows {
                // SAFETY: each row is in one tile.
                let query = unsafe { parts.part(row * q_width, q_width) };
                query.copy_from_slice(&qkv[row * width..][..q_width]);
                rope.rotate(query, heads.dim, layout.positions[row] as usize);
            }
        });
        output(query, tokens, q_width)
    }
}
