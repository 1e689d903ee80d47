//! The same row has the same bits alone or among others, in chunks or whole, with any number of threads and any
//! instruction set.

mod common;

use baton_kernels::{
    Activation, AttentionParams, BLOCK, Heads, Isa, Kernels, Layout, PackedMatrix, Rope, RopeStyle, SpanLayout,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use common::{Random, Scene, SceneSpec, bits, blank_pages, row_bits, weights};
use proptest::prelude::*;

const FORMS: [GgmlDType; 8] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
];

/// Every instruction set of this machine, on one thread and several.
fn all_kernels() -> Vec<Kernels> {
    let sets = [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available());
    sets.flat_map(|isa| [1, 2, 3].map(|threads| Kernels::with_isa(isa, threads))).collect()
}

fn plain() -> Kernels {
    Kernels::with_isa(Isa::Plain, 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products(seed: u64, form in 0..FORMS.len(), rows in 0usize..20, outputs in 1usize..60, groups in 1usize..8) {
        let mut random = Random(seed);
        let inputs = groups * 32;
        let (bytes, _) = weights(&mut random, FORMS[form], outputs, inputs);
        let packed = PackedMatrix::pack(FORMS[form], outputs, inputs, &bytes).unwrap();
        let x = random.tensor(rows, inputs);
        let expected = bits(&plain().matmul(&x, &packed).unwrap());
        for kernels in all_kernels() {
            prop_assert_eq!(&bits(&kernels.matmul(&x, &packed).unwrap()), &expected);
            for row in 0..rows {
                let alone = kernels.matmul(&x.narrow(0, row, 1).unwrap(), &packed).unwrap();
                prop_assert_eq!(&bits(&alone), &expected[row * outputs..][..outputs]);
            }
        }
    }

    /// More rows and outputs than one task takes.
    #[test]
    fn large_products(seed: u64, form in 0..FORMS.len(), rows in 120usize..300, outputs in 100usize..400) {
        let mut random = Random(seed);
        let (bytes, _) = weights(&mut random, FORMS[form], outputs, 64);
        let packed = PackedMatrix::pack(FORMS[form], outputs, 64, &bytes).unwrap();
        let x = random.tensor(rows, 64);
        let expected = bits(&plain().matmul(&x, &packed).unwrap());
        for kernels in [1, 3].map(Kernels::new) {
            prop_assert_eq!(&bits(&kernels.matmul(&x, &packed).unwrap()), &expected);
        }
    }

    #[test]
    fn norms_and_gates(seed: u64, rows in 0usize..6, width in 1usize..80, magnitude in -20i32..20) {
        let mut random = Random(seed);
        let scale = 2f64.powi(magnitude);
        let (x, residual) = ((random.tensor(rows, 2 * width) * scale).unwrap(), random.tensor(rows, 2 * width));
        let weight = Tensor::from_vec(random.floats(2 * width), 2 * width, &Device::Cpu).unwrap();
        let all = |kernels: &Kernels, x: &Tensor, residual: &Tensor| {
            let (sum, normed) = kernels.add_rms_norm(residual, x, &weight, 1e-6).unwrap();
            let gates = [Activation::Silu, Activation::GeluTanh, Activation::Gelu];
            let gated = gates.map(|activation| kernels.gated(x, activation).unwrap());
            let normed_x = kernels.rms_norm(x, &weight, 1e-6).unwrap();
            [&[sum, normed, normed_x], &gated[..]].concat()
        };
        let expected = all(&plain(), &x, &residual);
        for kernels in all_kernels() {
            for (found, expected) in all(&kernels, &x, &residual).iter().zip(&expected) {
                prop_assert_eq!(bits(found), bits(expected));
            }
            for row in 0..rows {
                let (x, residual) = (x.narrow(0, row, 1).unwrap(), residual.narrow(0, row, 1).unwrap());
                for (found, expected) in all(&kernels, &x, &residual).iter().zip(&expected) {
                    prop_assert_eq!(bits(found), row_bits(expected, row, 1));
                }
            }
        }
    }

    #[test]
    fn attention(
        seed: u64,
        shape in 0usize..6,
        spans in prop::collection::vec((1usize..40, 0usize..300), 1..6),
        narrow: bool,
        shared in prop::option::of(1usize..10),
        window in prop::option::of(1usize..200),
        softcap in prop::option::of(0.5f32..30.0),
    ) {
        let (heads, dtype) = [
            (Heads { query: 9, kv: 3, dim: 64 }, DType::F16),
            (Heads { query: 2, kv: 2, dim: 40 }, DType::F16),
            (Heads { query: 8, kv: 1, dim: 96 }, DType::BF16),
            (Heads { query: 4, kv: 2, dim: 24 }, DType::F32),
            (Heads { query: 3, kv: 1, dim: 20 }, DType::F16),
            (Heads { query: 1, kv: 1, dim: 128 }, DType::F16),
        ][shape];
        let shared = shared.unwrap_or(0);
        let spans: Vec<(usize, usize)> = spans
            .into_iter()
            .map(|(rows, before)| if narrow { (rows.div_ceil(16), before) } else { (rows, before) })
            .map(|(rows, before)| (rows, rows + before + shared * BLOCK))
            .collect();
        let params = AttentionParams { scale: 0.3, softcap, window };
        let scene = Scene::new(&mut Random(seed), &plain(), &SceneSpec { heads, dtype, spans: &spans, shared });
        let expected = plain().attend(&scene.query, heads, &scene.pages, &scene.layout, &params).unwrap();
        for kernels in all_kernels() {
            let found = kernels.attend(&scene.query, heads, &scene.pages, &scene.layout, &params).unwrap();
            prop_assert_eq!(bits(&found), bits(&expected));
            let mut random = Random(seed);
            for (index, span) in scene.layout.spans.iter().enumerate() {
                // A chunk of its rows alone, as an earlier step would have computed it.
                let first = random.below(span.rows);
                let rows = 1 + random.below(span.rows - first);
                let (query, layout) = scene.chunk(index, first, rows);
                let found = kernels.attend(&query, heads, &scene.pages, &layout, &params).unwrap();
                prop_assert_eq!(bits(&found), row_bits(&expected, span.first_row + first, rows));
            }
        }
    }

    #[test]
    fn rotation_and_writes(seed: u64, rows in 1usize..40, start in 0usize..60, halves: bool, shape in 0usize..3) {
        let mut random = Random(seed);
        let (dim, dtype) = [(64, DType::F16), (20, DType::BF16), (32, DType::F32)][shape];
        let heads = Heads { query: 4, kv: 2, dim };
        let style = if halves { RopeStyle::Halves } else { RopeStyle::Interleaved };
        let inverse: Vec<f32> = (0..dim / 2).map(|_| random.float()).collect();
        let rope = Rope::new(&inverse, 128, style, 1.0);
        let qkv = random.tensor(rows, (4 + 2 * 2) * dim);
        let blocks = random.distinct(4, 6);
        let layout = |first: usize, rows: usize| {
            let positions = start + first..start + first + rows;
            let slot = |position: usize| blocks[position / BLOCK] * 32 + u32::try_from(position % BLOCK).unwrap();
            Layout {
                slots: positions.clone().map(slot).collect(),
                spans: vec![SpanLayout {
                    first_row: 0,
                    rows,
                    context: positions.end,
                    blocks: blocks.clone(),
                    shared_blocks: 0,
                }],
                positions: positions.map(|position| u32::try_from(position).unwrap()).collect(),
            }
        };
        let floats = |x: &Tensor| bits(&x.to_dtype(DType::F32).unwrap());
        let pages = blank_pages(6, heads, dtype);
        let expected = plain().rope_write(&qkv, heads, &rope, &pages, &layout(0, rows)).unwrap();
        for kernels in all_kernels() {
            let found_pages = blank_pages(6, heads, dtype);
            for row in 0..rows {
                let qkv = qkv.narrow(0, row, 1).unwrap();
                let found = kernels.rope_write(&qkv, heads, &rope, &found_pages, &layout(row, 1)).unwrap();
                prop_assert_eq!(bits(&found), row_bits(&expected, row, 1));
            }
            prop_assert_eq!(floats(&found_pages.key), floats(&pages.key));
            prop_assert_eq!(floats(&found_pages.value), floats(&pages.value));
            let found_pages = blank_pages(6, heads, dtype);
            let found = kernels.rope_write(&qkv, heads, &rope, &found_pages, &layout(0, rows)).unwrap();
            prop_assert_eq!(bits(&found), bits(&expected));
            prop_assert_eq!(floats(&found_pages.key), floats(&pages.key));
            prop_assert_eq!(floats(&found_pages.value), floats(&pages.value));
        }
    }
}

#[test]
fn many_rows_and_panels() {
    for form in [GgmlDType::Q4_1, GgmlDType::Q8_0] {
        let mut random = Random(31);
        let (bytes, _) = weights(&mut random, form, 1000, 576);
        let packed = PackedMatrix::pack(form, 1000, 576, &bytes).unwrap();
        let x = random.tensor(131, 576);
        let expected = bits(&plain().matmul(&x, &packed).unwrap());
        for threads in [1, 2, 5] {
            assert_eq!(bits(&Kernels::new(threads).matmul(&x, &packed).unwrap()), expected);
        }
    }
}

#[test]
fn a_value_that_is_not_finite_spoils_its_own_row_only() {
    let mut random = Random(37);
    let (bytes, _) = weights(&mut random, GgmlDType::Q4_1, 16, 64);
    let packed = PackedMatrix::pack(GgmlDType::Q4_1, 16, 64, &bytes).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = random.floats(3 * 64);
        let clean = Tensor::from_vec(x.clone(), (3, 64), &Device::Cpu).unwrap();
        x[64 + 7] = bad;
        let dirty = Tensor::from_vec(x, (3, 64), &Device::Cpu).unwrap();
        for kernels in all_kernels() {
            let (clean, dirty) = (kernels.matmul(&clean, &packed).unwrap(), kernels.matmul(&dirty, &packed).unwrap());
            assert_eq!(row_bits(&clean, 0, 1), row_bits(&dirty, 0, 1));
            assert_eq!(row_bits(&clean, 2, 1), row_bits(&dirty, 2, 1));
            assert!(row_bits(&dirty, 1, 1).into_iter().all(|bits| f32::from_bits(bits).is_nan()));
        }
    }
}
