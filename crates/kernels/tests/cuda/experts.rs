//! Mixtures of experts on a GPU: those that each row should go through, few and many rows of each, quantised and not.

use baton_kernels::cuda::Gpu;
use baton_kernels::{Activation, Backend, Expert, Experts, GpuConfig, Kernels};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use crate::coded::{Part, TYPES, apart, gpu, multiplied, packed};
use crate::common::Random;
use crate::has_device;
use crate::stages::{difference, random_experts};

/// Scores that are far apart, [rows, count]: which of them are the largest does not turn on their last bits.
fn scores(random: &mut Random, rows: usize, count: usize) -> Vec<f32> {
    let ranks = (0..rows).flat_map(|_| random.distinct(count, count));
    ranks.map(|rank| f32::from(u16::try_from(rank).unwrap()) / 8.0).collect()
}

#[test]
fn rows_go_through_the_experts_with_the_largest_scores() {
    const COUNT: usize = 40;
    // More steps of inputs than a block keeps at once, the last of them not whole.
    const WIDTH: usize = 328;
    const ROWS: usize = 90;
    if !has_device("rows_go_through_the_experts_with_the_largest_scores") {
        return;
    }
    let cpu = Kernels::new(2);
    let mut random = Random(3);
    let x = random.floats(ROWS * WIDTH);
    let scores = scores(&mut random, ROWS, COUNT);
    let tensor =
        |values: &[f32], width: usize| Tensor::new(values, &Device::Cpu).unwrap().reshape(((), width)).unwrap();
    for (dtype, largest, mean) in [(DType::F16, 0.02, 0.002), (DType::BF16, 0.16, 0.02)] {
        let config = GpuConfig { ordinal: 0, dtype, cascade: true, graphs: false, quantised: false, threads: 1 };
        let gpu = Gpu::open(&config).unwrap();
        // Some experts with several tiles and some with none; few pairs of each expert, and many.
        for (rows, used, normalised) in [
            (9, 1, true),
            (9, 6, true),
            (9, 6, false),
            (1, COUNT, false),
            (ROWS, 1, true),
            (ROWS, 8, true),
            (ROWS, 12, true),
            (ROWS, COUNT, false),
        ] {
            let (x, scores) = (&x[..rows * WIDTH], &scores[..rows * COUNT]);
            let experts = Experts { all: random_experts(&gpu, COUNT, WIDTH), used, normalised };
            let on_device = gpu
                .experts(
                    &gpu.upload_rows(x, WIDTH, dtype).unwrap(),
                    &gpu.upload_rows(scores, COUNT, DType::F32).unwrap(),
                    &gpu.bundle(experts).unwrap(),
                    Activation::Silu,
                )
                .unwrap();
            let experts = Experts { all: random_experts(&cpu, COUNT, WIDTH), used, normalised };
            let on_host = cpu.mixed(&tensor(x, WIDTH), &tensor(scores, COUNT), &experts, Activation::Silu).unwrap();
            let (worst, average) = difference(&gpu.read(&on_device).unwrap(), &cpu.read(&on_host).unwrap());
            let right = worst < largest && average < mean;
            assert!(right, "{dtype:?}, {rows} rows, {used} of {COUNT}: {worst}, mean {average}");
        }
    }
}

/// One expert's gate, up and down.
type Parts = [Part; 3];

/// What the experts with the largest scores make of each row, by the definition.
fn mixed(x: &[f32], scores: &[f32], experts: &[Parts], used: usize, width: usize) -> Vec<f32> {
    let of_row = |(x, scores): (&[f32], &[f32])| {
        let mut order: Vec<usize> = (0..experts.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let kept: f32 = order[..used].iter().map(|expert| scores[*expert].exp()).sum();
        let mut sum = vec![0.0; width];
        for expert in &order[..used] {
            let [gate, up, down] = &experts[*expert];
            let of = |part: &Part, x: &[f32]| multiplied(x, std::slice::from_ref(part), x.len());
            let inner: Vec<f32> =
                of(gate, x).iter().zip(of(up, x)).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            let weight = scores[*expert].exp() / kept;
            sum.iter_mut().zip(of(down, &inner)).for_each(|(sum, given)| *sum += weight * given);
        }
        sum
    };
    x.chunks_exact(width).zip(scores.chunks_exact(experts.len())).flat_map(of_row).collect()
}

#[test]
fn quantised_experts_are_their_numbers() {
    use GgmlDType::{F16, Q3K, Q4_0, Q4K, Q6K, Q8_0};
    const COUNT: usize = 5;
    const USED: usize = 2;
    if !has_device("quantised_experts_are_their_numbers") {
        return;
    }
    let mut wrong = Vec::new();
    // Forms of gate, up and down; one expert's gate may be of another.
    for (width, feed_forward, forms, odd) in [
        (96, 160, [Q4_0, Q4_0, Q4_0], None),
        (256, 256, [Q4K, Q4K, Q6K], None),
        (256, 256, [Q3K, Q8_0, Q3K], None),
        (256, 256, [Q4K, Q4K, Q8_0], Some(Q6K)),
        (256, 64, [F16, Q4K, Q8_0], None),
    ] {
        let [of_gate, of_up, of_down] = forms;
        let experts: Vec<Parts> = (0..COUNT)
            .map(|expert| {
                let seed = 10 * expert as u64;
                let of_gate = odd.filter(|_| expert == 3).unwrap_or(of_gate);
                [
                    Part::new(of_gate, feed_forward, width, seed),
                    Part::new(of_up, feed_forward, width, seed + 1),
                    Part::new(of_down, width, feed_forward, seed + 2),
                ]
            })
            .collect();
        for (dtype, most) in TYPES {
            let gpu = gpu(dtype);
            let on_device = |parts: &Parts| Expert {
                gate_up: packed(&gpu, &parts[..2], width),
                down: packed(&gpu, &parts[2..], feed_forward),
            };
            let all = Experts { all: experts.iter().map(on_device).collect(), used: USED, normalised: true };
            let all = gpu.bundle(all).unwrap();
            // Few pairs of each expert, and many.
            for rows in [1, 9, 40, 150] {
                let mut random = Random(rows as u64);
                // Small enough for what an expert makes of it to be far from the largest number of 16 bits.
                let x: Vec<f32> = random.floats(rows * width).iter().map(|x| x / 4.0).collect();
                let scores = scores(&mut random, rows, COUNT);
                let found = gpu
                    .experts(
                        &gpu.upload_rows(&x, width, dtype).unwrap(),
                        &gpu.upload_rows(&scores, COUNT, DType::F32).unwrap(),
                        &all,
                        Activation::Silu,
                    )
                    .unwrap();
                let apart = apart(&gpu.read(&found).unwrap(), &mixed(&x, &scores, &experts, USED, width));
                if apart.is_nan() || apart > most {
                    wrong.push(format!(
                        "{forms:?}, {odd:?}, {width} by {feed_forward}, {rows} rows of {dtype:?}: {apart}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} mixtures differ:\n{}", wrong.len(), wrong.join("\n"));
}
