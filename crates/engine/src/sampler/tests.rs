use std::fmt::Write;

use baton_contract::{Generate, Sampling, SequenceId, StopRules, TokenId};
use baton_testkit::request;
use expect_test::{Expect, expect};

use super::*;

fn draw_with(sampler: &mut Sampler, row: &[f32], request: &Generate, output: &[TokenId]) -> Result<Sample, String> {
    let draw = Draw { sequence: SequenceId(1), request, output, allowed: None };
    sampler.draw(row, &draw).map_err(|error| error.to_string())
}

fn draw(row: &[f32], request: &Generate, output: &[TokenId]) -> Result<Sample, String> {
    draw_with(&mut Sampler::new(), row, request, output)
}

fn sampled(sampling: Sampling) -> Generate {
    Generate { sampling, ..request(&[0]) }
}

fn greedy(sampling: Sampling) -> Generate {
    sampled(Sampling { temperature: 0.0, ..sampling })
}

/// How often each token is drawn over `draws` output positions.
fn counts(row: &[f32], sampling: &Sampling, draws: usize) -> Vec<usize> {
    let (mut sampler, request) = (Sampler::new(), sampled(sampling.clone()));
    let mut counts = vec![0; row.len()];
    // No penalty is on, so that only the length of the output matters.
    let output = vec![0; draws];
    for position in 0..draws {
        let token = draw_with(&mut sampler, row, &request, &output[..position]).unwrap().token;
        counts[index(token)] += 1;
    }
    counts
}

#[test]
fn greedy_takes_the_largest_and_the_lower_id_on_a_tie() {
    let off = Sampling::default();
    let table: [(&[f32], Sampling, &[TokenId], TokenId); 10] = [
        (&[1.0, 3.0, 2.0], off.clone(), &[], 1),
        (&[1.0, 3.0, 3.0], off.clone(), &[], 1),
        (&[-5.0, f32::NEG_INFINITY, -5.0], off.clone(), &[], 0),
        (&[1.0, 3.0, 2.0], Sampling { logit_bias: vec![(1, -1.5)], ..off.clone() }, &[], 2),
        (&[1.0, 3.0, 2.0], Sampling { logit_bias: vec![(0, 2.0)], ..off.clone() }, &[], 0),
        // Token 0 is the prompt: halved when positive, doubled when negative.
        (&[3.0, 2.0, -9.0], Sampling { repetition_penalty: 2.0, ..off.clone() }, &[], 1),
        (&[-3.0, -4.0, -9.0], Sampling { repetition_penalty: 2.0, ..off.clone() }, &[], 1),
        // Presence and frequency look at the output only, the first once, the second for each occurrence.
        (&[3.0, 2.9, 0.0], Sampling { presence_penalty: 2.0, ..off.clone() }, &[], 0),
        (&[3.0, 3.5, 0.0], Sampling { presence_penalty: 0.4, ..off.clone() }, &[1, 1, 1], 1),
        (&[3.0, 3.5, 0.0], Sampling { frequency_penalty: 0.4, ..off }, &[1, 1, 1], 0),
    ];
    for (row, sampling, output, expected) in table {
        let sample = draw(row, &greedy(sampling.clone()), output).unwrap();
        assert_eq!(sample, Sample { token: expected, logprobs: None }, "{row:?} {sampling:?} {output:?}");
    }
}

#[test]
fn end_and_stop_tokens_wait_for_min_tokens() {
    let rules = StopRules { min_tokens: 2, end_tokens: vec![3], stop_tokens: vec![2], ..request(&[0]).stop };
    let row = [0.0, 1.0, 2.0, 3.0];
    let table = [
        (rules.clone(), 1, Ok(1)),
        (rules.clone(), 2, Ok(3)),
        (StopRules { ignore_end: true, ..rules.clone() }, 1, Ok(3)),
        (StopRules { min_tokens: 0, ..rules.clone() }, 0, Ok(3)),
        (StopRules { end_tokens: vec![0, 1, 2, 3, 99], ..rules }, 0, Err(ExecutorError::NothingLeft.to_string())),
    ];
    for (stop, drawn, expected) in table {
        let request = Generate { stop: stop.clone(), sampling: Sampling::greedy(), ..request(&[0]) };
        let token = draw(&row, &request, &vec![0; drawn]).map(|sample| sample.token);
        assert_eq!(token, expected, "{stop:?} after {drawn}");
    }
}

#[test]
fn a_forced_token_is_drawn_whatever_else_is_asked_and_reports_the_models_own_probability() {
    let row: Vec<f32> = [0.1_f32, 0.7, 0.2].iter().map(|p| p.ln()).collect();
    let sampling = Sampling {
        temperature: 1.5,
        top_k: 1,
        presence_penalty: 2.0,
        logit_bias: vec![(2, -50.0)],
        top_logprobs: Some(1),
        ..Sampling::default()
    };
    let stop = StopRules { min_tokens: 9, end_tokens: vec![2], ..request(&[0]).stop };
    let request = Generate { sampling, stop, forced: vec![2, 0], ..request(&[0]) };
    for (output, token, probability) in [(&[][..], 2, 0.2_f32), (&[2], 0, 0.1)] {
        let sample = draw(&row, &request, output).unwrap();
        let logprobs = sample.logprobs.unwrap();
        assert_eq!((sample.token, logprobs.top[0].0), (token, 1));
        assert!((logprobs.logprob - probability.ln()).abs() < 1e-6, "{logprobs:?}");
    }
    // After them it is drawn as usual.
    assert_eq!(draw(&row, &request, &[2, 0]).unwrap().token, 1);
    assert!(draw(&[f32::NAN, 0.0, 0.0], &request, &[]).is_err());
}

#[test]
fn a_row_that_is_not_numbers_is_an_error() {
    for bad in [f32::NAN, f32::INFINITY] {
        let error = draw(&[0.0, bad], &sampled(Sampling::default()), &[]).unwrap_err();
        assert_eq!(error, "the model's output is not a number");
    }
    let masked = [f32::NEG_INFINITY; 2];
    assert!(draw(&masked, &sampled(Sampling::default()), &[]).is_err());
}

#[test]
fn truncation_leaves_exactly_the_tokens_it_should() {
    // Probabilities 0.4, 0.3, 0.2, 0.1, in mixed order; the tie of 0.1 goes to the lower id.
    let row: Vec<f32> = [0.2_f32, 0.4, 0.1, 0.3, 0.1].iter().map(|p| p.ln()).collect();
    let off = Sampling::default();
    let table = [
        (Sampling { top_k: 1, ..off.clone() }, vec![1]),
        (Sampling { top_k: 2, ..off.clone() }, vec![1, 3]),
        (Sampling { top_k: 4, ..off.clone() }, vec![0, 1, 2, 3]),
        (Sampling { top_k: 99, ..off.clone() }, vec![0, 1, 2, 3, 4]),
        (Sampling { top_p: 0.01, ..off.clone() }, vec![1]),
        (Sampling { top_p: 0.5, ..off.clone() }, vec![1, 3]),
        (Sampling { top_p: 0.7, ..off.clone() }, vec![0, 1, 3]),
        (Sampling { top_p: 0.85, ..off.clone() }, vec![0, 1, 2, 3]),
        // Top-p counts over what top-k left: 0.4 of 0.7 is more than half.
        (Sampling { top_k: 2, top_p: 0.5, ..off.clone() }, vec![1]),
        (Sampling { min_p: 0.6, ..off.clone() }, vec![1, 3]),
        (Sampling { min_p: 0.6, top_k: 3, ..off.clone() }, vec![1, 3]),
        (Sampling { min_p: 1.0, ..off.clone() }, vec![1]),
        // Half the temperature squares the probabilities: 0.16, 0.09, 0.04, 0.01, 0.01 of 0.31.
        (Sampling { top_p: 0.5, temperature: 0.5, ..off }, vec![1]),
    ];
    for (sampling, expected) in table {
        let drawn = counts(&row, &sampling, 400);
        let tokens: Vec<usize> = (0..row.len()).filter(|token| drawn[*token] > 0).collect();
        assert_eq!(tokens, expected, "{sampling:?}");
    }
}

#[test]
fn top_p_over_a_flat_vocabulary_needs_most_of_it() {
    let row = vec![0.0; 2000];
    let (mut weights, mut order) = (vec![1.0; 2000], Vec::new());
    let sampling = Sampling { top_p: 0.75, ..Sampling::default() };
    assert_eq!(nucleus::select(&row, &weights, &mut order, 2000, &sampling), 1500);
    assert!(order[..1500].iter().copied().eq(0..1500));
    weights[7] = 1.0;
    assert_eq!(nucleus::select(&row, &weights, &mut order, 100, &sampling), 75);
}

/// Pearson's chi-squared statistic over 20000 draws with a fixed seed. With 7 degrees of freedom it exceeds 24.3 once
/// in a thousand seeds.
#[test]
fn draws_follow_the_distribution() {
    let row: Vec<f32> = (0..8_u8).map(|i| -0.3 * f32::from(i)).collect();
    for sampling in [
        Sampling { seed: 11, ..Sampling::default() },
        Sampling { seed: 12, temperature: 0.7, ..Sampling::default() },
        Sampling { seed: 13, temperature: 2.0, top_p: 0.999, ..Sampling::default() },
    ] {
        let draws = 20_000;
        let weights: Vec<f64> = row.iter().map(|l| f64::from(l / sampling.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let statistic: f64 = counts(&row, &sampling, draws)
            .iter()
            .zip(&weights)
            .map(|(count, weight)| {
                let expected = weight / total * f64::from(u32::try_from(draws).unwrap());
                (f64::from(u32::try_from(*count).unwrap()) - expected).powi(2) / expected
            })
            .sum();
        assert!(statistic < 24.3, "{statistic} {sampling:?}");
    }
}

#[test]
fn a_draw_depends_on_its_own_row_seed_and_position_alone() {
    let row: Vec<f32> = (0..500_u16).map(|i| f32::from(i * 37 % 101) / 20.0).collect();
    let other: Vec<f32> = row.iter().rev().copied().collect();
    let request = sampled(Sampling {
        seed: 5,
        repetition_penalty: 1.3,
        frequency_penalty: 0.5,
        top_k: 40,
        top_logprobs: Some(3),
        ..Sampling::default()
    });
    let neighbour = sampled(Sampling { seed: 6, presence_penalty: 1.0, top_p: 0.9, ..Sampling::default() });
    let mut shared = Sampler::new();
    for position in 0..20 {
        let output = vec![3; position];
        let alone = draw(&row, &request, &output);
        draw_with(&mut shared, &other, &neighbour, &[7, 8]).unwrap();
        assert_eq!(draw_with(&mut shared, &row, &request, &output), alone, "{position}");
    }
}

#[test]
fn logprobs_come_from_the_models_own_distribution() {
    let row: Vec<f32> = [0.2_f32, 0.5, 0.05, 0.25].iter().map(|p| p.ln() + 3.0).collect();
    let sampling = Sampling { logit_bias: vec![(2, 50.0)], top_logprobs: Some(2), ..Sampling::greedy() };
    let show = |sample: Sample| {
        let logprobs = sample.logprobs.unwrap();
        let mut text = format!("{} {:.4}", sample.token, logprobs.logprob);
        for (token, logprob) in logprobs.top {
            write!(text, " | {token} {logprob:.4}").unwrap();
        }
        text
    };
    let check = |sampling: Sampling, expect: Expect| {
        expect.assert_eq(&show(draw(&row, &sampled(sampling), &[]).unwrap()));
    };
    check(sampling.clone(), expect!["2 -2.9957 | 1 -0.6931 | 3 -1.3863"]);
    check(Sampling { top_logprobs: Some(0), ..sampling.clone() }, expect!["2 -2.9957"]);
    check(
        Sampling { top_logprobs: Some(20), ..sampling },
        expect!["2 -2.9957 | 1 -0.6931 | 3 -1.3863 | 0 -1.6094 | 2 -2.9957"],
    );
}

/// Frozen: whoever replays an old record must get the same tokens.
#[test]
fn frozen_draws() {
    let row: Vec<f32> = (0..300_u16).map(|i| f32::from(i * 53 % 127) / 16.0).collect();
    let line = |sampling: Sampling| {
        let request = sampled(sampling);
        let tokens: Vec<String> =
            (0..12).map(|position| draw(&row, &request, &vec![1; position]).unwrap().token.to_string()).collect();
        tokens.join(" ")
    };
    let default = Sampling::default();
    expect!["115 292 7 232 280 134 218 201 79 182 244 194"].assert_eq(&line(default.clone()));
    expect!["134 38 31 170 184 124 115 124 249 52 182 170"]
        .assert_eq(&line(Sampling { seed: u64::MAX, ..default.clone() }));
    expect!["242 194 79 218 79 55 115 146 242 67 91 182"].assert_eq(&line(Sampling {
        seed: 1,
        top_k: 20,
        ..default.clone()
    }));
    expect!["230 206 91 218 91 79 115 115 230 79 91 206"].assert_eq(&line(Sampling {
        seed: 1,
        top_p: 0.3,
        temperature: 0.8,
        ..default.clone()
    }));
    expect!["261 206 91 230 91 55 134 146 249 79 91 194"].assert_eq(&line(Sampling {
        seed: 1,
        min_p: 0.5,
        repetition_penalty: 1.5,
        ..default
    }));
}
