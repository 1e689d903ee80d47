//! Every kernel against a naive computation in f64.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

mod common;

use baton_kernels::{
    Activation, AttentionParams, Expert, Experts, Heads, Isa, Kernels, Layout, PackedMatrix, Rope, RopeStyle,
    SpanLayout,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use common::{Random, Scene, SceneSpec, assert_near, blank_pages, values, weights, widen};

fn all_kernels() -> Vec<Kernels> {
    let sets = [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available());
    sets.flat_map(|isa| [1, 3].map(|threads| Kernels::with_isa(isa, threads))).collect()
}

/// Rows rounded to 8 bits with a scale for every 32 values, as quantised products see them.
fn rounded(x: &[f32]) -> Vec<f64> {
    let group = |x: &[f32]| {
        let scale = f64::from(x.iter().fold(0.0f32, |top, x| top.max(x.abs()))) / 127.0;
        x.iter().map(|&x| (f64::from(x) / scale).round() * scale).collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(group).collect()
}

#[test]
fn products_of_every_form() {
    use GgmlDType::{BF16, F16, F32, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let quantised = [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4K, Q5K];
    for form in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F32, F16, BF16, Q2K, Q3K, Q4K, Q5K, Q6K] {
        for (tokens, outputs, inputs) in [(1, 8, 256), (1, 13, 512), (5, 40, 256), (0, 8, 256), (3, 1, 768)] {
            let mut random = Random(7);
            let (bytes, w) = weights(&mut random, form, outputs, inputs);
            let packed = PackedMatrix::pack(form, outputs, inputs, &bytes).unwrap();
            let x = random.tensor(tokens, inputs);
            let x64 = if quantised.contains(&form) { rounded(&values(&x)) } else { widen(&values(&x)) };
            let product = |x: &[f64], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum::<f64>();
            let expected: Vec<f64> =
                x64.chunks(inputs).flat_map(|x| w.chunks(inputs).map(move |w| product(x, w))).collect();
            // Scales and minimums, or weights, are rounded to 11 bits.
            let tolerance = if matches!(form, Q2K | Q3K | Q4K | Q5K | Q6K) { 2e-3 } else { 3e-5 };
            for kernels in all_kernels() {
                let found = kernels.matmul(&x, &packed).unwrap();
                assert_eq!(found.dims(), [tokens, outputs]);
                assert_near(&values(&found), &expected, tolerance, &format!("{form:?} {tokens}x{outputs}x{inputs}"));
            }
        }
    }
}

#[test]
fn rows_are_gathered_exactly() {
    use GgmlDType::{BF16, F16, F32, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
    for form in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F32, F16, BF16] {
        let mut random = Random(9);
        let (bytes, w) = weights(&mut random, form, 21, 64);
        let packed = PackedMatrix::pack(form, 21, 64, &bytes).unwrap();
        let rows = [20, 0, 7, 7];
        let found = Kernels::new(1).gather_rows(&packed, &rows).unwrap();
        let expected: Vec<f32> = rows.iter().flat_map(|&row| w[row as usize * 64..][..64].to_vec()).collect();
        assert_eq!(values(&found), expected, "{form:?}");
    }
}

#[test]
fn a_stack_is_its_parts_side_by_side() {
    let mut random = Random(11);
    let parts = [(GgmlDType::Q4_1, 12), (GgmlDType::Q8_0, 9), (GgmlDType::F16, 3)];
    let pack = |random: &mut Random, (form, rows)| {
        PackedMatrix::pack(form, rows, 64, &weights(random, form, rows, 64).0).unwrap()
    };
    let parts = parts.map(|part| pack(&mut random, part));
    let x = random.tensor(3, 64);
    for kernels in all_kernels() {
        let alone: Vec<Tensor> = parts.iter().map(|part| kernels.matmul(&x, part).unwrap()).collect();
        let stack = PackedMatrix::stack(parts.to_vec()).unwrap();
        assert_eq!(stack.dims(), (24, 64));
        let together = kernels.matmul(&x, &stack).unwrap();
        assert_eq!(values(&together), values(&Tensor::cat(&alone, 1).unwrap()));
        let rows = kernels.gather_rows(&stack, &[0, 12, 23]).unwrap();
        let first = |part: &PackedMatrix, row| kernels.gather_rows(part, &[row]).unwrap();
        let expected = [first(&parts[0], 0), first(&parts[1], 0), first(&parts[2], 2)];
        assert_eq!(values(&rows), values(&Tensor::cat(&expected, 0).unwrap()));
    }
}

#[test]
fn norms_and_gates() {
    for (rows, width) in [(1, 576), (4, 10), (0, 8), (3, 1), (70, 64)] {
        let mut random = Random(13);
        let (x, residual) = (random.tensor(rows, width), random.tensor(rows, width));
        let weight = Tensor::from_vec(random.floats(width), width, &Device::Cpu).unwrap();
        let w = values(&weight);
        let norm = |x: &[f64]| {
            let scale = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-5).sqrt();
            x.iter().zip(&w).map(|(x, w)| x * scale * f64::from(*w)).collect::<Vec<_>>()
        };
        let sum: Vec<f64> = widen(&values(&x)).iter().zip(widen(&values(&residual))).map(|(a, b)| a + b).collect();
        for kernels in all_kernels() {
            let found = kernels.rms_norm(&x, &weight, 1e-5).unwrap();
            let expected: Vec<f64> = widen(&values(&x)).chunks(width).flat_map(norm).collect();
            assert_near(&values(&found), &expected, 1e-6, "rms_norm");
            let (added, normed) = kernels.add_rms_norm(&residual, &x, &weight, 1e-5).unwrap();
            assert_near(&values(&added), &sum, 1e-6, "sum");
            let expected: Vec<f64> = sum.chunks(width).flat_map(norm).collect();
            assert_near(&values(&normed), &expected, 1e-6, "add_rms_norm");
        }
    }
}

#[test]
fn layer_norms_and_caps() {
    for (rows, width) in [(1, 576), (4, 10), (0, 8), (3, 1), (70, 64)] {
        let mut random = Random(14);
        let x = random.tensor(rows, width);
        let weight = Tensor::from_vec(random.floats(width), width, &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(random.floats(width), width, &Device::Cpu).unwrap();
        let (w, b) = (widen(&values(&weight)), widen(&values(&bias)));
        let norm = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64;
            let scale = 1.0 / (variance + 1e-5).sqrt();
            x.iter().zip(w.iter().zip(&b)).map(|(x, (w, b))| (x - mean) * scale * w + b).collect::<Vec<_>>()
        };
        for kernels in all_kernels() {
            let found = kernels.layer_norm(&x, &weight, &bias, 1e-5).unwrap();
            let expected: Vec<f64> = widen(&values(&x)).chunks(width).flat_map(norm).collect();
            assert_near(&values(&found), &expected, 1e-5, "layer_norm");
            let capped: Vec<f64> = widen(&values(&x)).iter().map(|x| (x / 0.3).tanh() * 0.3).collect();
            assert_near(&values(&kernels.capped(&x, 0.3).unwrap()), &capped, 1e-6, "capped");
            let found = kernels.activated(&x, Activation::Silu).unwrap();
            let silu: Vec<f64> = widen(&values(&x)).iter().map(|x| x / (1.0 + (-x).exp())).collect();
            assert_near(&values(&found), &silu, 1e-6, "activated");
        }
    }
    let x = Tensor::zeros((1, 4), DType::F32, &Device::Cpu).unwrap();
    assert!(Kernels::new(1).capped(&x, 0.0).is_err());
}

/// Each row through its experts by itself, in f64.
#[test]
fn experts_are_those_that_the_scores_choose() {
    const EXPERTS: usize = 7;
    let (rows, hidden, width) = (23, 32, 24);
    let mut random = Random(15);
    let (x, scores) = (random.tensor(rows, hidden), random.tensor(rows, EXPERTS));
    let mut matrix = |rows, columns| {
        let floats = random.floats(rows * columns);
        let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
        (floats, PackedMatrix::pack(GgmlDType::F32, rows, columns, &bytes).unwrap())
    };
    let mut plain = Vec::new();
    let mut all = Vec::new();
    for _ in 0..EXPERTS {
        let ((up_floats, gate_up), (down_floats, down)) = (matrix(2 * width, hidden), matrix(hidden, width));
        plain.push((widen(&up_floats), widen(&down_floats)));
        all.push(Expert { gate_up, down });
    }
    let mut experts = Experts { all, used: 3, normalised: true };
    let dot = |weights: &[f64], x: &[f64]| weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let through = |expert: usize, x: &[f64]| -> Vec<f64> {
        let both: Vec<f64> = plain[expert].0.chunks(hidden).map(|weights| dot(weights, x)).collect();
        let inner: Vec<f64> =
            both[..width].iter().zip(&both[width..]).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        plain[expert].1.chunks(width).map(|weights| dot(weights, &inner)).collect()
    };
    for normalised in [true, false] {
        experts.normalised = normalised;
        let mut expected = Vec::new();
        for (x, scores) in widen(&values(&x)).chunks(hidden).zip(widen(&values(&scores)).chunks(EXPERTS)) {
            let mut order: Vec<usize> = (0..EXPERTS).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            let chosen = &order[..3];
            let among: f64 = if normalised {
                chosen.iter().map(|expert| scores[*expert].exp()).sum()
            } else {
                scores.iter().map(|score| score.exp()).sum()
            };
            let mut sum = vec![0.0; hidden];
            for expert in chosen {
                let weight = scores[*expert].exp() / among;
                sum.iter_mut().zip(through(*expert, x)).for_each(|(sum, given)| *sum += weight * given);
            }
            expected.extend(sum);
        }
        for kernels in all_kernels() {
            let found = kernels.mixed(&x, &scores, &experts, Activation::Silu).unwrap();
            assert_near(&values(&found), &expected, 1e-5, "experts");
            // A row has the same bits without the others.
            for row in [0, 11, 22] {
                let own = |of: &Tensor| of.narrow(0, row, 1).unwrap();
                let alone = kernels.mixed(&own(&x), &own(&scores), &experts, Activation::Silu).unwrap();
                assert_eq!(values(&alone), values(&own(&found)));
            }
        }
    }
    experts.used = EXPERTS + 1;
    assert!(Kernels::new(1).mixed(&x, &scores, &experts, Activation::Silu).is_err());
}

#[test]
fn gates() {
    let erf = |x: f64| {
        // The series converges fast enough for |x| < 5.
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    };
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu_tanh =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh());
    let gelu = |x: f64| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
    let table: [(Activation, &dyn Fn(f64) -> f64); 3] =
        [(Activation::Silu, &silu), (Activation::GeluTanh, &gelu_tanh), (Activation::Gelu, &gelu)];
    for (activation, function) in table {
        for (rows, width) in [(1, 1536), (3, 5), (0, 4), (40, 33)] {
            let mut random = Random(17);
            let x = (random.tensor(rows, 2 * width) * 6.0).unwrap();
            let expected: Vec<f64> = widen(&values(&x))
                .chunks(2 * width)
                .flat_map(|row| (0..width).map(|i| function(row[i]) * row[width + i]).collect::<Vec<_>>())
                .collect();
            for kernels in all_kernels() {
                assert_near(&values(&kernels.gated(&x, activation).unwrap()), &expected, 1e-6, "gated");
            }
        }
    }
}

#[test]
fn rotation_and_cache_writes() {
    let heads = Heads { query: 4, kv: 2, dim: 16 };
    for (style, rotated) in [(RopeStyle::Interleaved, 16), (RopeStyle::Halves, 16), (RopeStyle::Halves, 8)] {
        let inverse: Vec<f32> = (0..rotated / 2).map(|i| 10_000f32.powf(-2.0 * i as f32 / rotated as f32)).collect();
        let rope = Rope::new(&inverse, 64, style, 1.0);
        for kernels in all_kernels() {
            let mut random = Random(19);
            let pages = blank_pages(3, heads, DType::F32);
            let qkv = random.tensor(3, 8 * 16);
            let positions = vec![5, 6, 7];
            let spans = vec![SpanLayout { first_row: 0, rows: 3, context: 8, blocks: vec![2], shared_blocks: 0 }];
            let layout = Layout { slots: vec![2 * 32 + 5, 2 * 32 + 6, 2 * 32 + 7], positions, spans };
            let query = kernels.rope_write(&qkv, heads, &rope, &pages, &layout).unwrap();
            let qkv = values(&qkv);
            let rotate = |head: &[f32], position: usize| {
                let mut out = widen(head);
                for (i, frequency) in inverse.iter().enumerate() {
                    let (a, b) = match style {
                        RopeStyle::Interleaved => (2 * i, 2 * i + 1),
                        RopeStyle::Halves => (i, i + inverse.len()),
                    };
                    let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                    let (x, y) = (f64::from(head[a]), f64::from(head[b]));
                    (out[a], out[b]) = (x * cos - y * sin, x * sin + y * cos);
                }
                out
            };
            let rows = |heads: std::ops::Range<usize>| -> Vec<f64> {
                let head = |row: usize, head: usize| &qkv[(row * 8 + head) * 16..][..16];
                (0..3).flat_map(|row| heads.clone().flat_map(move |h| rotate(head(row, h), 5 + row))).collect()
            };
            assert_near(&values(&query), &rows(0..4), 1e-6, "query");
            // A block of keys is [kv heads, dim, BLOCK], one of values [kv heads, BLOCK, dim].
            let (key, value) = (values(&pages.key), values(&pages.value));
            let expected = rows(4..6);
            for row in 0..3 {
                for head in 0..2 {
                    let keys: Vec<f32> = (0..16).map(|i| key[((2 * 2 + head) * 16 + i) * 32 + 5 + row]).collect();
                    assert_near(&keys, &expected[(row * 2 + head) * 16..][..16], 1e-6, "key");
                    let at = ((2 * 2 + head) * 32 + 5 + row) * 16;
                    assert_eq!(value[at..][..16], qkv[(row * 8 + 6 + head) * 16..][..16]);
                }
            }
            let written = key.iter().filter(|&&x| (x - 1e4).abs() > 1.0).count();
            assert_eq!(written, 3 * 2 * 16, "nothing else is touched");
        }
    }
}

/// Rows and context of each span, and the blocks that all share.
type Case = (Heads, DType, &'static [(usize, usize)], usize, AttentionParams);

#[test]
fn attention_over_scattered_blocks() {
    let plain = AttentionParams { scale: 0.125, softcap: None, window: None };
    let table: [Case; 8] = [
        (Heads { query: 9, kv: 3, dim: 64 }, DType::F16, &[(1, 1), (1, 33), (1, 300), (40, 40)], 0, plain),
        (Heads { query: 9, kv: 3, dim: 64 }, DType::F16, &[(17, 150), (1, 129), (64, 257)], 0, plain),
        (Heads { query: 9, kv: 3, dim: 64 }, DType::F16, &[(1, 300), (1, 290), (1, 261), (3, 280), (1, 259)], 8, plain),
        (Heads { query: 2, kv: 2, dim: 80 }, DType::BF16, &[(5, 131), (1, 7)], 0, plain),
        (Heads { query: 8, kv: 1, dim: 256 }, DType::F32, &[(3, 140), (1, 64)], 0, plain),
        (Heads { query: 4, kv: 1, dim: 20 }, DType::F16, &[(3, 140), (1, 64)], 0, plain),
        (
            Heads { query: 4, kv: 2, dim: 32 },
            DType::F16,
            &[(1, 400), (20, 200), (1, 3)],
            0,
            AttentionParams { window: Some(100), ..plain },
        ),
        (
            Heads { query: 4, kv: 2, dim: 32 },
            DType::F32,
            &[(1, 40), (9, 130)],
            1,
            AttentionParams { softcap: Some(2.0), scale: 1.0, window: None },
        ),
    ];
    for (heads, dtype, spans, shared, params) in table {
        for kernels in all_kernels() {
            let scene = Scene::new(&mut Random(23), &kernels, &SceneSpec { heads, dtype, spans, shared });
            let found = kernels.attend(&scene.query, heads, &scene.pages, &scene.layout, &params).unwrap();
            assert_near(&values(&found), &scene.expected(&params), 2e-6, &format!("{heads:?} {spans:?}"));
        }
    }
}

#[test]
fn a_copied_block_reads_the_same() {
    let heads = Heads { query: 2, kv: 1, dim: 32 };
    let kernels = Kernels::new(2);
    let mut scene =
        Scene::new(&mut Random(29), &kernels, &SceneSpec { heads, dtype: DType::F16, spans: &[(2, 50)], shared: 0 });
    let params = AttentionParams { scale: 1.0, softcap: None, window: None };
    let before = kernels.attend(&scene.query, heads, &scene.pages, &scene.layout, &params).unwrap();
    let free = (0..5).find(|block| !scene.layout.spans[0].blocks.contains(block)).unwrap();
    kernels.copy_block(&scene.pages, scene.layout.spans[0].blocks[1], free).unwrap();
    scene.layout.spans[0].blocks[1] = free;
    let after = kernels.attend(&scene.query, heads, &scene.pages, &scene.layout, &params).unwrap();
    assert_eq!(values(&before), values(&after));
}
