//! Products of activations and weights, on the shapes of a small model and of one of 8 thousand million weights.

use std::cell::LazyCell;
use std::hint::black_box;

use baton_kernels::{Kernels, PackedMatrix};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use crate::roofline::Roofline;

/// Outputs and inputs: gate and up, down and head of SmolLM2-135M; gate and up and down of Llama 3 8B.
const SHAPES: [(usize, usize); 5] = [(3072, 576), (576, 1536), (49_152, 576), (28_672, 4096), (4096, 14_336)];
const ROWS: [usize; 5] = [1, 4, 16, 64, 256];
/// Rows that are quantised; the others repeat them, which no kernel notices.
const SAMPLE: usize = 64;

pub(crate) fn quantised(criterion: &mut Criterion<Roofline>, kernels: &Kernels) {
    for form in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_1, GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::Q6K] {
        products(criterion, kernels, form);
    }
}

pub(crate) fn floats(criterion: &mut Criterion<Roofline>, kernels: &Kernels) {
    for form in [GgmlDType::F16, GgmlDType::BF16, GgmlDType::F32] {
        products(criterion, kernels, form);
    }
}

fn products(criterion: &mut Criterion<Roofline>, kernels: &Kernels, form: GgmlDType) {
    for (outputs, inputs) in SHAPES {
        if !inputs.is_multiple_of(form.block_size()) {
            continue;
        }
        let mut group = criterion.benchmark_group(format!("products/{form:?} {outputs}x{inputs}"));
        // Calls of many rows take long: all samples may be of one length.
        group.sampling_mode(SamplingMode::Flat);
        // Large ones are made only if they are asked for.
        let weights = LazyCell::new(|| packed(form, outputs, inputs));
        for rows in ROWS {
            let elements = 2 * (rows * outputs * inputs) as u64;
            let bytes = (outputs * inputs / form.block_size() * form.type_size()) as u64;
            group.throughput(Throughput::ElementsAndBytes { elements, bytes });
            group.bench_with_input(BenchmarkId::from_parameter(rows), &rows, |bencher, &rows| {
                let x = Tensor::randn(0f32, 1f32, (rows, inputs), &Device::Cpu).unwrap();
                let weights = &*weights;
                bencher.iter(|| kernels.matmul(black_box(&x), weights).unwrap());
            });
        }
        group.finish();
    }
}

fn packed(form: GgmlDType, outputs: usize, inputs: usize) -> PackedMatrix {
    let sample = Tensor::randn(0f32, 1f32, (SAMPLE, inputs), &Device::Cpu).unwrap();
    let bytes = QTensor::quantize(&sample, form).unwrap().data().unwrap().to_vec();
    PackedMatrix::pack(form, outputs, inputs, &bytes.repeat(outputs / SAMPLE)).unwrap()
}
