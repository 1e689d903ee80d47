//! Attention over a paged cache, with the heads of SmolLM2-135M.

use std::hint::black_box;

use baton_kernels::{AttentionParams, BLOCK, Heads, Kernels, KvPages, Layout, SpanLayout};
use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, SamplingMode, Throughput};

use crate::roofline::Roofline;

pub(crate) const HEADS: Heads = Heads { query: 9, kv: 3, dim: 64 };

/// Sequences of some rows each over some context, whose leading blocks may be the same for all.
struct Scene {
    name: &'static str,
    sequences: usize,
    rows: usize,
    context: usize,
    shared_blocks: usize,
}

const SCENES: [Scene; 5] = [
    Scene { name: "1 of 1000", sequences: 1, rows: 1, context: 1000, shared_blocks: 0 },
    Scene { name: "16 of 1050, nothing shared", sequences: 16, rows: 1, context: 1050, shared_blocks: 0 },
    Scene { name: "16 of 1050, 992 shared", sequences: 16, rows: 1, context: 1050, shared_blocks: 31 },
    Scene { name: "64 of 1050, 992 shared", sequences: 64, rows: 1, context: 1050, shared_blocks: 31 },
    Scene { name: "256 rows to 1000", sequences: 1, rows: 256, context: 1000, shared_blocks: 0 },
];

pub(crate) fn all(criterion: &mut Criterion<Roofline>, kernels: &Kernels) {
    let params = AttentionParams { scale: 0.125, softcap: None, window: None };
    let mut group = criterion.benchmark_group("attention");
    group.sampling_mode(SamplingMode::Flat);
    for scene in &SCENES {
        let (layout, blocks) = scene.layout();
        let keys: usize = layout.positions.iter().map(|&position| position as usize + 1).sum();
        group.throughput(Throughput::Elements(4 * (keys * HEADS.query * HEADS.dim) as u64));
        group.bench_function(scene.name, |bencher| {
            let pages = pages(blocks);
            let shape = (layout.positions.len(), HEADS.query * HEADS.dim);
            let query = Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap();
            bencher.iter(|| kernels.attend(black_box(&query), HEADS, &pages, &layout, &params).unwrap());
        });
    }
    group.finish();
}

/// Keys and values in f16.
pub(crate) fn pages(blocks: usize) -> KvPages {
    let page = || {
        let floats = Tensor::randn(0f32, 1f32, (blocks, BLOCK, HEADS.kv, HEADS.dim), &Device::Cpu).unwrap();
        floats.to_dtype(DType::F16).unwrap()
    };
    KvPages { key: page(), value: page() }
}

impl Scene {
    /// The layout, and how many blocks it needs.
    fn layout(&self) -> (Layout, usize) {
        let mut layout = Layout::default();
        let mut next = self.shared_blocks;
        let narrow = |number: usize| u32::try_from(number).unwrap();
        for _ in 0..self.sequences {
            let own = self.context.div_ceil(BLOCK) - self.shared_blocks;
            let blocks: Vec<u32> = (0..self.shared_blocks).chain(next..next + own).map(narrow).collect();
            next += own;
            let first_row = layout.positions.len();
            for position in self.context - self.rows..self.context {
                layout.positions.push(narrow(position));
                layout.slots.push(blocks[position / BLOCK] * narrow(BLOCK) + narrow(position % BLOCK));
            }
            layout.spans.push(SpanLayout {
                first_row,
                rows: self.rows,
                context: self.context,
                blocks,
                shared_blocks: self.shared_blocks,
            });
        }
        (layout, next)
    }
}
