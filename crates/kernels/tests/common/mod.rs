//! Seeded inputs, and what the kernels should give, computed naively in f64.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot make its inputs fails")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

pub(crate) mod adapters;

use baton_kernels::{AttentionParams, BLOCK, Heads, KvPages, Layout, SpanLayout};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

/// A small counter-based generator (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Between -1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Between 0 and 1.
    pub(crate) fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal: mean 0, deviation `spread`.
    pub(crate) fn normal(&mut self, spread: f32) -> f32 {
        ((0..12).map(|_| self.share()).sum::<f32>() - 6.0) * spread
    }

    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    pub(crate) fn tensor(&mut self, rows: usize, width: usize) -> Tensor {
        Tensor::from_vec(self.floats(rows * width), (rows, width), &Device::Cpu).unwrap()
    }

    /// `count` different numbers below `bound`.
    pub(crate) fn distinct(&mut self, count: usize, bound: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..bound as u32).collect();
        for i in 0..count {
            let j = i + self.below(bound - i);
            all.swap(i, j);
        }
        all.truncate(count);
        all
    }
}

pub(crate) fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn bits(x: &Tensor) -> Vec<u32> {
    values(x).into_iter().map(f32::to_bits).collect()
}

pub(crate) fn row_bits(x: &Tensor, first: usize, rows: usize) -> Vec<u32> {
    bits(&x.narrow(0, first, rows).unwrap().contiguous().unwrap())
}

/// Weights of a form as GGUF bytes, and as the floats that they stand for.
pub(crate) fn weights(random: &mut Random, form: GgmlDType, rows: usize, cols: usize) -> (Vec<u8>, Vec<f32>) {
    let tensor = random.tensor(rows, cols);
    match form {
        GgmlDType::F32 => {
            let floats = values(&tensor);
            (floats.iter().flat_map(|x| x.to_le_bytes()).collect(), floats)
        }
        GgmlDType::F16 | GgmlDType::BF16 => {
            let dtype = if form == GgmlDType::F16 { DType::F16 } else { DType::BF16 };
            let floats = values(&tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap());
            let bytes = floats.iter().flat_map(|&x| match form {
                GgmlDType::F16 => half::f16::from_f32(x).to_le_bytes(),
                _ => half::bf16::from_f32(x).to_le_bytes(),
            });
            (bytes.collect(), floats)
        }
        _ => {
            let quantised = QTensor::quantize(&tensor, form).unwrap();
            let floats = values(&quantised.dequantize(&Device::Cpu).unwrap());
            (quantised.data().unwrap().to_vec(), floats)
        }
    }
}

/// Fails unless `found` is within `tolerance` of `expected`, measured against the largest expected value.
pub(crate) fn assert_near(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-9f64, |scale, x| scale.max(x.abs()));
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs() / scale;
        assert!(error <= tolerance, "{what}: element {index} is {found}, not {expected} ({error:e})");
    }
}

pub(crate) fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// A batch over a paged cache, and what each of its sequences holds.
pub(crate) struct Scene {
    pub(crate) heads: Heads,
    pub(crate) pages: KvPages,
    pub(crate) layout: Layout,
    /// [tokens, query * dim]
    pub(crate) query: Tensor,
    /// Of each span: [context, kv * dim], as the cache holds them.
    pub(crate) keys: Vec<Vec<f32>>,
    pub(crate) values: Vec<Vec<f32>>,
}

pub(crate) struct SceneSpec<'a> {
    pub(crate) heads: Heads,
    pub(crate) dtype: DType,
    /// Rows and context of each span.
    pub(crate) spans: &'a [(usize, usize)],
    /// Leading blocks that all spans share.
    pub(crate) shared: usize,
}

impl Scene {
    /// Writes all keys and values with `rope_write` (without rotation), sequence by sequence.
    pub(crate) fn new(random: &mut Random, kernels: &baton_kernels::Kernels, spec: &SceneSpec<'_>) -> Self {
        let SceneSpec { heads, dtype, spans, shared } = *spec;
        let own: Vec<usize> = spans.iter().map(|(_, context)| context.div_ceil(BLOCK) - shared).collect();
        let used = shared + own.iter().sum::<usize>();
        let count = used + 3;
        let mut free = random.distinct(used, count).into_iter();
        let common: Vec<u32> = free.by_ref().take(shared).collect();
        let pages = blank_pages(count, heads, dtype);
        let rope = baton_kernels::Rope::new(&[], 1 << 16, baton_kernels::RopeStyle::Halves, 1.0);
        let common_kv = random.floats(shared * BLOCK * heads.kv * heads.dim * 2);
        let mut scene = Self {
            heads,
            pages,
            layout: Layout::default(),
            query: random.tensor(spans.iter().map(|(rows, _)| rows).sum::<usize>().max(1), heads.query * heads.dim),
            keys: Vec::new(),
            values: Vec::new(),
        };
        let width = heads.kv * heads.dim;
        for (&(rows, context), own) in spans.iter().zip(own) {
            let blocks: Vec<u32> = common.iter().copied().chain(free.by_ref().take(own)).collect();
            let mut qkv = Vec::new();
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for position in 0..context {
                let kv = if position < shared * BLOCK {
                    common_kv[position * width * 2..][..width * 2].to_vec()
                } else {
                    random.floats(width * 2)
                };
                qkv.extend(std::iter::repeat_n(0.0, heads.query * heads.dim));
                qkv.extend(&kv);
                keys.extend(round(&kv[..width], dtype));
                values.extend(round(&kv[width..], dtype));
            }
            let slot = |position: usize| blocks[position / BLOCK] * BLOCK as u32 + (position % BLOCK) as u32;
            let layout = Layout {
                positions: (0..context as u32).collect(),
                slots: (0..context).map(slot).collect(),
                spans: vec![SpanLayout {
                    first_row: 0,
                    rows: context,
                    context,
                    blocks: blocks.clone(),
                    shared_blocks: 0,
                }],
            };
            let qkv = Tensor::from_vec(qkv, (context, (heads.query + 2 * heads.kv) * heads.dim), &Device::Cpu).unwrap();
            kernels.rope_write(&qkv, heads, &rope, &scene.pages, &layout).unwrap();
            scene.keys.push(keys);
            scene.values.push(values);
            let first_row = scene.layout.positions.len();
            scene.layout.positions.extend((context - rows) as u32..context as u32);
            scene.layout.slots.extend((context - rows..context).map(slot));
            scene.layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks: shared });
        }
        scene
    }

    /// The layout of rows `first..first + rows` of one span alone, as if it were a chunk of its own.
    pub(crate) fn chunk(&self, span: usize, first: usize, rows: usize) -> (Tensor, Layout) {
        let whole = &self.layout.spans[span];
        let start = whole.first_row + first;
        let context = whole.context - whole.rows + first + rows;
        let layout = Layout {
            positions: self.layout.positions[start..start + rows].to_vec(),
            slots: self.layout.slots[start..start + rows].to_vec(),
            spans: vec![SpanLayout { first_row: 0, rows, context, ..whole.clone() }],
        };
        (self.query.narrow(0, start, rows).unwrap(), layout)
    }

    /// What attention should give.
    pub(crate) fn expected(&self, params: &AttentionParams) -> Vec<f64> {
        let Heads { query, kv, dim } = self.heads;
        let q = values(&self.query);
        let mut out = Vec::new();
        for (index, span) in self.layout.spans.iter().enumerate() {
            for row in 0..span.rows {
                let position = span.context - span.rows + row;
                for head in 0..query {
                    let q = &q[((span.first_row + row) * query + head) * dim..][..dim];
                    let at = |position: usize| (position * kv + head / (query / kv)) * dim;
                    let first = params.window.map_or(0, |window| (position + 1).saturating_sub(window));
                    let score = |position: usize| {
                        let key = &self.keys[index][at(position)..][..dim];
                        let dot: f64 = q.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                        let score = dot * f64::from(params.scale);
                        params.softcap.map_or(score, |cap| (score / f64::from(cap)).tanh() * f64::from(cap))
                    };
                    let scores: Vec<f64> = (first..=position).map(score).collect();
                    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    out.extend((0..dim).map(|i| {
                        let weighted = |(offset, weight): (usize, &f64)| {
                            weight * f64::from(self.values[index][at(first + offset) + i])
                        };
                        weights.iter().enumerate().map(weighted).sum::<f64>() / sum
                    }));
                }
            }
        }
        out
    }
}

/// Pages full of values that would be seen if a kernel read what it must not.
pub(crate) fn blank_pages(blocks: usize, heads: Heads, dtype: DType) -> KvPages {
    let shape = (blocks, BLOCK, heads.kv, heads.dim);
    let pages = || (Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap() * 1e4).unwrap().to_dtype(dtype).unwrap();
    KvPages { key: pages(), value: pages() }
}

/// What is left of values in a page.
pub(crate) fn round(x: &[f32], dtype: DType) -> Vec<f32> {
    x.iter()
        .map(|&x| match dtype {
            DType::F16 => half::f16::from_f32(x).to_f32(),
            DType::BF16 => half::bf16::from_f32(x).to_f32(),
            _ => x,
        })
        .collect()
}
