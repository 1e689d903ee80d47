//! Measures the kernels on the shapes of a small model: `cargo run --release --example roofline [threads]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement for people")]

use std::time::Instant;

use baton_kernels::{
    Activation, AttentionParams, Heads, Kernels, KvPages, Layout, PackedMatrix, Rope, RopeStyle, SpanLayout,
};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};

/// The best seconds of a call over about 0.2 s.
fn best(mut call: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < 0.2 {
        let start = Instant::now();
        call();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn packed(form: GgmlDType, rows: usize, cols: usize) -> Result<PackedMatrix> {
    let weights = Tensor::randn(0f32, 1f32, (rows, cols), &Device::Cpu)?;
    let bytes = QTensor::quantize(&weights, form)?.data()?.to_vec();
    PackedMatrix::pack(form, rows, cols, &bytes).map_err(candle_core::Error::wrap)
}

fn products(kernels: &Kernels) -> Result<()> {
    for (form, rows, cols) in [
        (GgmlDType::Q4_1, 3072, 576),
        (GgmlDType::Q4_1, 576, 1536),
        (GgmlDType::Q4_0, 3072, 576),
        (GgmlDType::Q8_0, 49152, 576),
        (GgmlDType::F16, 3072, 576),
    ] {
        let weights = packed(form, rows, cols)?;
        for tokens in [1, 4, 16, 64, 256] {
            let x = Tensor::randn(0f32, 1f32, (tokens, cols), &Device::Cpu)?;
            let seconds = best(|| drop(kernels.matmul(&x, &weights)));
            let gops = 2.0 * (tokens * rows * cols) as f64 / seconds / 1e9;
            let bandwidth = weights.bytes() as f64 / seconds / 1e9;
            println!(
                "{form:?} {rows}x{cols} {tokens:4} rows: {:9.1} us {gops:7.1} GOP/s {bandwidth:6.1} GB/s",
                seconds * 1e6
            );
        }
    }
    Ok(())
}

/// `spans` of (rows, context), of which the first `shared` blocks are the same for all.
fn attention(kernels: &Kernels, name: &str, spans: &[(usize, usize)], shared: usize) -> Result<()> {
    let heads = Heads { query: 9, kv: 3, dim: 64 };
    let mut layout = Layout::default();
    let mut next = u32::try_from(shared).map_err(candle_core::Error::wrap)?;
    let common = 0..next;
    for &(rows, context) in spans {
        let own = u32::try_from(context.div_ceil(32) - shared).map_err(candle_core::Error::wrap)?;
        let blocks: Vec<u32> = common.clone().chain(next..next + own).collect();
        next += own;
        let first_row = layout.positions.len();
        for position in context - rows..context {
            layout.positions.push(u32::try_from(position).map_err(candle_core::Error::wrap)?);
            layout
                .slots
                .push(blocks[position / 32] * 32 + u32::try_from(position % 32).map_err(candle_core::Error::wrap)?);
        }
        layout.spans.push(SpanLayout { first_row, rows, context, blocks, shared_blocks: shared });
    }
    let page =
        || Tensor::randn(0f32, 1f32, (next as usize, 32, heads.kv, heads.dim), &Device::Cpu)?.to_dtype(DType::F16);
    let pages = KvPages { key: page()?, value: page()? };
    let tokens = layout.positions.len();
    let query = Tensor::randn(0f32, 1f32, (tokens, heads.query * heads.dim), &Device::Cpu)?;
    let params = AttentionParams { scale: 0.125, softcap: None, window: None };
    let seconds = best(|| drop(kernels.attend(&query, heads, &pages, &layout, &params)));
    let keys: usize = layout.positions.iter().map(|&position| position as usize + 1).sum();
    let flops = 4.0 * (keys * heads.query * heads.dim) as f64;
    println!("attend {name}: {:9.1} us {:7.1} GFLOP/s", seconds * 1e6, flops / seconds / 1e9);
    let qkv = Tensor::randn(0f32, 1f32, (tokens, (heads.query + 2 * heads.kv) * heads.dim), &Device::Cpu)?;
    let rope = Rope::new(&[0.1; 32], 8192, RopeStyle::Interleaved, 1.0);
    let seconds = best(|| drop(kernels.rope_write(&qkv, heads, &rope, &pages, &layout)));
    println!("rope_write, {tokens} rows: {:9.1} us", seconds * 1e6);
    Ok(())
}

fn rows(kernels: &Kernels) -> Result<()> {
    for tokens in [1, 16, 256] {
        let x = Tensor::randn(0f32, 1f32, (tokens, 576), &Device::Cpu)?;
        let weight = Tensor::randn(0f32, 1f32, 576, &Device::Cpu)?;
        let seconds = best(|| drop(kernels.add_rms_norm(&x, &x, &weight, 1e-5)));
        println!("add_rms_norm {tokens} rows: {:9.1} us", seconds * 1e6);
        let x = Tensor::randn(0f32, 1f32, (tokens, 3072), &Device::Cpu)?;
        let seconds = best(|| drop(kernels.gated(&x, Activation::Silu)));
        println!("gated {tokens} rows: {:9.1} us", seconds * 1e6);
    }
    Ok(())
}

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2);
    let kernels = Kernels::new(threads);
    println!("{:?}, {} threads", kernels.isa(), kernels.threads());
    products(&kernels)?;
    rows(&kernels)?;
    attention(&kernels, "1 x 1000", &[(1, 1000)], 0)?;
    attention(&kernels, "16 x 1000, nothing shared", &[(1, 1000); 16], 0)?;
    attention(&kernels, "16 x 1050, 1000 shared", &[(1, 1050); 16], 31)?;
    attention(&kernels, "256 of 1000", &[(256, 1000)], 0)?;
    Ok(())
}
