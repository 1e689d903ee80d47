//! Attention to the whole text, and what goes with it: against a naive computation in f64, the same bits on every machine,
//! refusals in words.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

mod common;

use baton_kernels::{Activation, Heads, Isa, Kernels};
use candle_core::Tensor;
use common::{Random, assert_near, bits, row_bits, values, widen};
use proptest::prelude::*;

const HEADS: Heads = Heads { query: 3, kv: 3, dim: 12 };

fn all_kernels() -> Vec<Kernels> {
    let sets = [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available());
    sets.flat_map(|isa| [1, 3].map(|threads| Kernels::with_isa(isa, threads))).collect()
}

fn vector(random: &mut Random, width: usize) -> Tensor {
    random.tensor(1, width).flatten_all().expect("a row is a vector")
}

#[test]
fn every_token_sees_its_whole_text_and_no_other() {
    let (lengths, hidden) = ([5, 1, 0, 17], HEADS.query * HEADS.dim);
    let qkv = Random(11).tensor(lengths.iter().sum(), 3 * hidden);
    let rows: Vec<Vec<f64>> = widen(&values(&qkv)).chunks(3 * hidden).map(<[f64]>::to_vec).collect();
    let (mut expected, mut start) = (Vec::new(), 0);
    for length in lengths {
        let text = &rows[start..start + length];
        for row in text {
            for head in 0..HEADS.query {
                let at = |row: &[f64], which: usize| row[which * hidden + head * HEADS.dim..][..HEADS.dim].to_vec();
                let score = |other: &Vec<f64>| {
                    let dot: f64 = at(row, 0).iter().zip(at(other, 1)).map(|(q, k)| q * k).sum();
                    (dot / (HEADS.dim as f64).sqrt()).exp()
                };
                let total: f64 = text.iter().map(score).sum();
                let value = |i: usize| text.iter().map(|other| score(other) / total * at(other, 2)[i]).sum::<f64>();
                expected.extend((0..HEADS.dim).map(value));
            }
        }
        start += length;
    }
    for kernels in all_kernels() {
        let found = kernels.attend_whole(&qkv, &lengths, HEADS).unwrap();
        assert_near(&values(&found), &expected, 1e-5, "attention");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// With any neighbours, threads and instructions.
    #[test]
    fn a_text_has_the_same_bits_alone(seed: u64, lengths in prop::collection::vec(1usize..40, 1..6)) {
        let mut random = Random(seed);
        let (rows, hidden) = (lengths.iter().sum(), HEADS.query * HEADS.dim);
        let qkv = random.tensor(rows, 3 * hidden);
        let (weight, bias) = (vector(&mut random, 3 * hidden), vector(&mut random, 3 * hidden));
        let plain = Kernels::with_isa(Isa::Plain, 1);
        let attended = plain.attend_whole(&qkv, &lengths, HEADS).unwrap();
        let normed = plain.layer_norm(&qkv, &weight, &bias, 1e-5).unwrap();
        let activated = plain.activated(&qkv, Activation::Gelu).unwrap();
        for kernels in all_kernels() {
            prop_assert_eq!(bits(&kernels.attend_whole(&qkv, &lengths, HEADS).unwrap()), bits(&attended));
            let mut start = 0;
            for &length in &lengths {
                let text = qkv.narrow(0, start, length).unwrap();
                let alone = kernels.attend_whole(&text, &[length], HEADS).unwrap();
                prop_assert_eq!(bits(&alone), row_bits(&attended, start, length));
                let alone = kernels.layer_norm(&text, &weight, &bias, 1e-5).unwrap();
                prop_assert_eq!(bits(&alone), row_bits(&normed, start, length));
                let alone = kernels.activated(&text, Activation::Gelu).unwrap();
                prop_assert_eq!(bits(&alone), row_bits(&activated, start, length));
                start += length;
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (kernels, mut random) = (Kernels::new(1), Random(1));
    let (x, shared) = (random.tensor(4, 8), Heads { query: 4, kv: 2, dim: 1 });
    let said = [
        kernels.attend_whole(&x, &[4], HEADS),
        kernels.attend_whole(&random.tensor(4, 108), &[5], HEADS),
        kernels.attend_whole(&x, &[4], shared),
        kernels.attend_whole(&x, &[4], Heads { query: 0, kv: 0, dim: 8 }),
    ];
    let said: Vec<_> = said.into_iter().map(|outcome| outcome.expect_err("a refusal").to_string()).collect();
    assert_eq!(
        said,
        [
            "qkv has shape [4, 8], but [4, 108] is needed",
            "qkv has shape [4, 108], but [5, 108] is needed",
            "4 heads of queries share 2 of keys, which encoders do not",
            "0 query heads over 0 key heads of 8 elements is no attention layer",
        ]
    );
}
