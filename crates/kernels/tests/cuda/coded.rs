//! Weights that stay quantised on a GPU, beside the numbers that they stand for.

use baton_kernels::cuda::{DeviceMatrix, Gpu, ProductWay};
use baton_kernels::{Backend, GpuConfig, Heads, Indices, Layout, SpanLayout};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, DType, Device, Tensor};

use crate::common::Random;
use crate::has_device;

/// What activations are, and how far apart results may be.
pub(crate) const TYPES: [(DType, f32); 2] = [(DType::F16, 0.01), (DType::BF16, 0.06)];

/// One part of a matrix: as a file stores it, and as numbers.
pub(crate) struct Part {
    form: GgmlDType,
    outputs: usize,
    bytes: Vec<u8>,
    weights: Vec<f32>,
}

impl Part {
    pub(crate) fn new(form: GgmlDType, outputs: usize, inputs: usize, seed: u64) -> Self {
        let values = Tensor::from_vec(Random(seed).floats(outputs * inputs), (outputs, inputs), &Device::Cpu).unwrap();
        let bytes = QTensor::quantize(&values, form).unwrap().data().unwrap().into_owned();
        let stored = form.from_data(bytes.clone().into()).dequantize(outputs * inputs).unwrap();
        let CpuStorage::F32(weights) = stored else { panic!("another type") };
        Self { form, outputs, bytes, weights }
    }
}

/// All parts as one matrix on the device.
pub(crate) fn packed(gpu: &Gpu, parts: &[Part], inputs: usize) -> DeviceMatrix {
    let pack = |part: &Part| gpu.pack(part.form, part.outputs, inputs, &part.bytes).unwrap();
    gpu.stack(parts.iter().map(pack).collect()).unwrap()
}

/// A device that keeps quantised weights so.
pub(crate) fn gpu(dtype: DType) -> Gpu {
    let config = GpuConfig { ordinal: 0, dtype, cascade: true, graphs: false, quantised: true, threads: 1 };
    Gpu::open(&config).unwrap()
}

/// How far apart two rows of numbers are, at most, relative to their size.
#[expect(clippy::cast_precision_loss, reason = "rows are short")]
pub(crate) fn apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let size = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
    // `max` would pass over what is not a number.
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / size).fold(0.0, |a, b| if b <= a { a } else { b })
}

/// All products of a matrix with so many rows of `x`, one number after the other.
pub(crate) fn multiplied(x: &[f32], parts: &[Part], inputs: usize) -> Vec<f32> {
    let weights: Vec<&[f32]> = parts.iter().flat_map(|part| part.weights.chunks_exact(inputs)).collect();
    let of_row =
        |x: &[f32]| weights.iter().map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect::<Vec<_>>();
    x.chunks_exact(inputs).flat_map(of_row).collect()
}

#[test]
fn quantised_products_are_those_of_their_numbers() {
    use GgmlDType::{F16, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    if !has_device("quantised_products_are_those_of_their_numbers") {
        return;
    }
    let mut wrong = Vec::new();
    let each = [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K].map(|form| (512, vec![(form, 80)]));
    let mixed = [
        // The inputs end within a tile, the outputs too; parts alike and unlike; one that is not quantised.
        (96, vec![(Q4_0, 40)]),
        (1056, vec![(Q8_0, 24), (Q8_0, 8)]),
        (512, vec![(Q4K, 64), (Q4K, 32), (Q6K, 32)]),
        (256, vec![(Q4K, 48), (F16, 16)]),
        // More than one slice.
        (64, vec![(Q4_1, 16_400)]),
    ];
    for (inputs, forms) in each.into_iter().chain(mixed) {
        let parts: Vec<_> =
            (1..).zip(&forms).map(|(seed, &(form, rows))| Part::new(form, rows, inputs, seed)).collect();
        for (dtype, most) in TYPES {
            let gpu = gpu(dtype);
            let matrix = packed(&gpu, &parts, inputs);
            let ways = [ProductWay::Own, ProductWay::Staged, ProductWay::Library];
            for (rows, way) in ways.into_iter().flat_map(|way| [1, 7, 12, 30, 64, 100, 130].map(|rows| (rows, way))) {
                gpu.prefer(way);
                let x = Random(77).floats(rows * inputs);
                let uploaded = gpu.upload_rows(&x, inputs, dtype).unwrap();
                let expected = multiplied(&x, &parts, inputs);
                let narrow = gpu.read(&gpu.linear(&uploaded, &matrix, None).unwrap()).unwrap();
                let wide = gpu.read(&gpu.logits(&uploaded, &matrix, None).unwrap()).unwrap();
                for (kind, found) in [("its own type", narrow), ("f32", wide)] {
                    let apart = apart(&found, &expected);
                    if apart.is_nan() || apart > most {
                        wrong.push(format!(
                            "{forms:?} of {inputs} inputs, {rows} rows of {dtype:?}, {way:?}, {kind}: {apart}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} products differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn quantised_embeddings_are_their_rows() {
    use GgmlDType::{Q4_1, Q4K, Q6K, Q8_0};
    if !has_device("quantised_embeddings_are_their_rows") {
        return;
    }
    let gpu = gpu(DType::F16);
    let heads = Heads { query: 1, kv: 1, dim: 64 };
    for (inputs, form) in [(96, Q4_1), (576, Q8_0), (256, Q4K), (512, Q6K)] {
        let parts = [Part::new(form, 48, inputs, 5), Part::new(Q8_0, 30, inputs, 6)];
        let table = packed(&gpu, &parts, inputs);
        let tokens: Vec<u32> = (0..33).map(|i| i * 41 % 78).collect();
        let positions: Vec<u32> = (0..33).collect();
        let spans = vec![SpanLayout { first_row: 0, rows: 33, context: 33, blocks: vec![0, 1], shared_blocks: 0 }];
        let layout = Layout { slots: positions.clone(), positions, spans };
        let placed = gpu.place(Indices { tokens: &tokens, layout: &layout, draws: &[], adapters: &[] }, heads).unwrap();
        let mut found = gpu.read(&gpu.embed(&table, 1.0, &placed).unwrap()).unwrap();
        found.truncate(tokens.len() * inputs);
        let rows: Vec<&[f32]> = parts.iter().flat_map(|part| part.weights.chunks_exact(inputs)).collect();
        let expected = tokens.iter().map(|token| rows[*token as usize]).collect::<Vec<_>>().concat();
        let apart = apart(&found, &expected);
        assert!(apart < 0.005, "{form:?} of {inputs}: {apart}");
    }
}
