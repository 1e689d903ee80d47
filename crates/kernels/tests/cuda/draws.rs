//! Tokens drawn on a GPU beside the definition.

use baton_kernels::cuda::Gpu;
use baton_kernels::sample::{DrawFault, DrawSpec, Drawn, Draws, Edit, draw_plain, exp};
use baton_kernels::{Backend, GpuConfig};
use candle_core::DType;

use crate::common::Random;
use crate::has_device;

type Outcome = Result<Drawn, DrawFault>;

fn gpu() -> Gpu {
    Gpu::open(&GpuConfig {
        ordinal: 0,
        dtype: DType::BF16,
        cascade: false,
        graphs: false,
        quantised: false,
        threads: 1,
    })
    .unwrap()
}

/// A row of logits: like a model's, or all tied, or of few values, or with much that is excluded.
fn row(random: &mut Random, vocabulary: usize) -> Vec<f32> {
    let spread = [0.05, 1.0, 3.0, 10.0][random.below(4)];
    let kind = random.below(6);
    let mut row: Vec<f32> = (0..vocabulary)
        .map(|_| match kind {
            0 => 0.25,
            1 => [-1.5, -1.0, 0.0, 0.5, 2.0][random.below(5)],
            2 if random.once_in(10) => f32::NEG_INFINITY,
            _ => random.normal(spread),
        })
        .collect();
    if random.once_in(30) {
        row[random.below(vocabulary)] = if random.once_in(2) { f32::NAN } else { f32::INFINITY };
    }
    row
}

fn spec(random: &mut Random, vocabulary: usize) -> DrawSpec {
    let token = u32::try_from(random.below(vocabulary)).unwrap();
    DrawSpec {
        temperature: if random.once_in(4) { 0.0 } else { 0.1 + 1.9 * random.share() },
        top_p: if random.once_in(3) { 1.0 } else { 0.01 + 0.98 * random.share() },
        min_p: if random.once_in(2) { 0.0 } else { 0.3 * random.share() },
        repetition_penalty: if random.once_in(2) { 1.0 } else { 0.7 + random.share() },
        frequency_penalty: random.normal(0.5),
        presence_penalty: random.normal(0.5),
        top_k: if random.once_in(2) { 0 } else { token + 1 },
        forced: random.once_in(12).then_some(token),
        seed: random.next(),
        position: random.next() >> 50,
        logprob: random.once_in(2),
        elsewhere: random.once_in(20),
    }
}

fn edits(random: &mut Random, vocabulary: usize) -> Vec<Edit> {
    let mut token = random.below(4);
    let mut edits = Vec::new();
    while token < vocabulary && edits.len() < 3000 {
        edits.push(Edit {
            bias: random.normal(1.0),
            occurrences: u16::try_from(random.below(3)).unwrap(),
            seen: random.once_in(2),
            masked: random.once_in(4),
            ..Edit::of(u32::try_from(token).unwrap())
        });
        token += 1 + random.below(1 + vocabulary / 50);
    }
    edits
}

/// Whether both are the same: tokens and faults exactly, log-probabilities but for the last bits of a logarithm.
fn same(a: &Outcome, b: &Outcome) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => {
            let logprobs = match (a.logprob, b.logprob) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-5 || a.to_bits() == b.to_bits(),
                (a, b) => a.is_none() && b.is_none(),
            };
            a.token == b.token && logprobs
        }
        _ => a == b,
    }
}

#[test]
fn tokens_are_those_of_the_definition() {
    if !has_device("tokens_are_those_of_the_definition") {
        return;
    }
    let (gpu, mut random) = (gpu(), Random(1));
    let mut wrong = Vec::new();
    for vocabulary in
        [1, 2, 7, 33, 100, 1000, 4095, 4096, 4097, 9001, 49_152, 128_256, 151_936, 262_208, Draws::LONGEST_VOCABULARY]
    {
        let rows = if vocabulary < 10_000 { 40 } else { 12 };
        let mut draws = Draws::new(vocabulary).unwrap();
        let mut logits = Vec::new();
        for _ in 0..rows {
            let edits = if random.once_in(2) { edits(&mut random, vocabulary) } else { Vec::new() };
            let words = vocabulary / 32 + 1;
            let mask: Option<Vec<u32>> = random.once_in(3).then(|| {
                (0..words)
                    .map(|_| if random.once_in(3) { 0 } else { u32::try_from(random.next() >> 32).unwrap() })
                    .collect()
            });
            draws.push(spec(&mut random, vocabulary), &edits, mask.as_deref()).unwrap();
            logits.extend(row(&mut random, vocabulary));
        }
        let expected: Vec<Outcome> =
            logits.chunks(vocabulary).enumerate().map(|(row, logits)| draw_plain(logits, &draws, row, exp)).collect();
        let placed = gpu.upload_rows(&logits, vocabulary, DType::F32).unwrap();
        let found = gpu.draw(&placed, &draws).unwrap();
        assert_eq!(found.len(), rows);
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            if !same(found, expected) {
                wrong.push(format!("{vocabulary} tokens, row {row}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_token_does_not_depend_on_neighbours_or_on_padding() {
    if !has_device("a_token_does_not_depend_on_neighbours_or_on_padding") {
        return;
    }
    let (gpu, mut random) = (gpu(), Random(2));
    let vocabulary = 32_000;
    let specs: Vec<DrawSpec> = (0..64).map(|_| DrawSpec { logprob: true, ..spec(&mut random, vocabulary) }).collect();
    let logits: Vec<f32> = (0..64).flat_map(|_| row(&mut random, vocabulary)).collect();
    let draw = |specs: &[DrawSpec], logits: &[f32]| {
        let mut draws = Draws::new(vocabulary).unwrap();
        for spec in specs {
            draws.push(*spec, &[], None).unwrap();
        }
        gpu.draw(&gpu.upload_rows(logits, vocabulary, DType::F32).unwrap(), &draws).unwrap()
    };
    let together = draw(&specs, &logits);
    assert!(together.iter().filter(|drawn| drawn.is_ok()).count() > 32, "{together:?}");
    for (index, spec) in specs.iter().enumerate() {
        // The rows after it are there, but not drawn from.
        let alone = draw(&[*spec], &logits[index * vocabulary..]);
        assert_eq!(alone, together[index..=index], "row {index}: {spec:?}");
    }
}

#[test]
fn draws_that_do_not_fit_their_logits_are_refused() {
    if !has_device("draws_that_do_not_fit_their_logits_are_refused") {
        return;
    }
    let gpu = gpu();
    let mut draws = Draws::new(8).unwrap();
    assert!(gpu.draw(&gpu.upload_rows(&[0.0; 8], 8, DType::F32).unwrap(), &draws).unwrap().is_empty());
    draws.push(DrawSpec::default(), &[], None).unwrap();
    draws.push(DrawSpec::default(), &[], None).unwrap();
    for (count, width, dtype) in [(8, 8, DType::F32), (32, 16, DType::F32), (16, 8, DType::BF16)] {
        let logits = gpu.upload_rows(&vec![0.0; count], width, dtype).unwrap();
        assert!(gpu.draw(&logits, &draws).is_err(), "{count} numbers in rows of {width}, {dtype:?}");
    }
}
