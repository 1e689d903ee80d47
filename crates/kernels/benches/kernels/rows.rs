//! Kernels that go over rows: norms, gates, rotation. Bytes are those read and written.

use std::hint::black_box;

use baton_kernels::{Activation, BLOCK, Kernels, Layout, Rope, RopeStyle, SpanLayout};
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::attention::{HEADS, pages};
use crate::roofline::Roofline;

const ROWS: [usize; 3] = [1, 16, 256];
const HIDDEN: usize = 576;
const FEED_FORWARD: usize = 1536;

pub(crate) fn all(criterion: &mut Criterion<Roofline>, kernels: &Kernels) {
    let weight = random(1, HIDDEN).squeeze(0).unwrap();
    each(criterion, "rms_norm", 2 * HIDDEN, |rows| {
        let x = random(rows, HIDDEN);
        let weight = &weight;
        move || drop(kernels.rms_norm(black_box(&x), weight, 1e-5).unwrap())
    });
    each(criterion, "add_rms_norm", 4 * HIDDEN, |rows| {
        let (x, residual) = (random(rows, HIDDEN), random(rows, HIDDEN));
        let weight = &weight;
        move || drop(kernels.add_rms_norm(&residual, black_box(&x), weight, 1e-5).unwrap())
    });
    each(criterion, "gated", 3 * FEED_FORWARD, |rows| {
        let x = random(rows, 2 * FEED_FORWARD);
        move || drop(kernels.gated(black_box(&x), Activation::Silu).unwrap())
    });
    let rope = Rope::new(&[0.1; HEADS.dim / 2], 8192, RopeStyle::Interleaved, 1.0);
    let (query, key_value) = (HEADS.query * HEADS.dim, 2 * HEADS.kv * HEADS.dim);
    // Keys and values are written as halves.
    each(criterion, "rope_write", 2 * query + key_value + key_value / 2, |rows| {
        let qkv = random(rows, query + key_value);
        let (pages, layout) = (pages(rows.div_ceil(BLOCK)), one_sequence(rows));
        let rope = &rope;
        move || drop(kernels.rope_write(black_box(&qkv), HEADS, rope, &pages, &layout).unwrap())
    });
}

/// Measures what `make` makes for each number of rows; a row moves `floats` floats.
fn each<F: FnMut()>(criterion: &mut Criterion<Roofline>, name: &str, floats: usize, make: impl Fn(usize) -> F) {
    let mut group = criterion.benchmark_group(format!("rows/{name}"));
    for rows in ROWS {
        group.throughput(Throughput::Bytes((rows * floats * size_of::<f32>()) as u64));
        group.bench_with_input(BenchmarkId::from_parameter(rows), &rows, |bencher, &rows| bencher.iter(make(rows)));
    }
    group.finish();
}

fn random(rows: usize, width: usize) -> Tensor {
    Tensor::randn(0f32, 1f32, (rows, width), &Device::Cpu).unwrap()
}

fn one_sequence(rows: usize) -> Layout {
    let positions: Vec<u32> = (0..u32::try_from(rows).unwrap()).collect();
    let blocks = (0..u32::try_from(rows.div_ceil(BLOCK)).unwrap()).collect();
    let span = SpanLayout { first_row: 0, rows, context: rows, blocks, shared_blocks: 0 };
    Layout { slots: positions.clone(), positions, spans: vec![span] }
}
