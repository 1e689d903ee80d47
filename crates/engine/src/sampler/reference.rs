//! The sampler against its definition, written down without any care for speed.

use baton_contract::{Generate, Sampling, SequenceId, StopRules, TokenId};
use baton_decoder::sample::draw_plain;
use baton_testkit::request;
use proptest::prelude::*;

use super::{DeviceDraws, Sampler, index, more_probable, philox};
use crate::{Allowed, Draw};

fn reference(row: &[f32], draw: &Draw<'_>) -> Option<TokenId> {
    let Sampling { temperature, top_p, top_k, min_p, seed, .. } = draw.request.sampling;
    let open = |token| draw.allowed.is_none_or(|allowed| allowed.tokens().unwrap().contains(token));
    let logit = |token, logit| if open(token) { adjusted(token, logit, draw) } else { f32::NEG_INFINITY };
    let logits: Vec<f32> = (0..).zip(row).map(|(token, value)| logit(token, *value)).collect();
    let mut order: Vec<TokenId> = (0..).take(row.len()).collect();
    order.sort_by(more_probable(&logits));
    let best = order[0];
    if logits[index(best)] == f32::NEG_INFINITY {
        return None;
    }
    if temperature == 0.0 {
        return Some(best);
    }
    let weight = |token: TokenId| ((logits[index(token)] - logits[index(best)]) / temperature).exp();
    let sum = |tokens: &[TokenId]| tokens.iter().map(|token| f64::from(weight(*token))).sum::<f64>();
    let all: Vec<TokenId> = (0..).take(row.len()).collect();
    let mut total = sum(&all);
    if top_k > 0 && index(top_k) < order.len() {
        order.truncate(index(top_k));
        total = sum(&order);
    }
    if top_p < 1.0 {
        let needed = (1..order.len()).find(|count| sum(&order[..*count]) >= f64::from(top_p) * total);
        order.truncate(needed.unwrap_or(order.len()));
    }
    order.retain(|token| weight(*token) >= min_p);
    order.sort_unstable();
    let target = philox::uniform(seed, draw.output.len() as u64) * sum(&order);
    (1..=order.len()).find(|count| sum(&order[..*count]) > target).map(|count| order[count - 1])
}

fn adjusted(token: TokenId, logit: f32, draw: &Draw<'_>) -> f32 {
    let Generate { sampling, stop, prompt, .. } = draw.request;
    let bias = sampling.logit_bias.iter().find(|(biased, _)| *biased == token).map_or(0.0, |(_, bias)| *bias);
    let mut logit = logit + bias;
    if prompt.contains(&token) || draw.output.contains(&token) {
        let penalty = sampling.repetition_penalty;
        logit = if logit > 0.0 { logit / penalty } else { logit * penalty };
    }
    let occurrences = draw.output.iter().filter(|drawn| **drawn == token).count();
    if occurrences > 0 {
        let occurrences = f32::from(u16::try_from(occurrences).unwrap());
        logit -= sampling.frequency_penalty * occurrences + sampling.presence_penalty;
    }
    if draw.output.len() < stop.min_tokens && stop.ends(token) { f32::NEG_INFINITY } else { logit }
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let shape = (
        prop_oneof![Just(0.0_f32), Just(1.0), 0.1_f32..2.0],
        prop_oneof![Just(1.0_f32), 0.01_f32..1.0],
        prop_oneof![Just(0_u32), 1_u32..100],
        prop_oneof![Just(0.0_f32), 0.0_f32..=1.0],
    );
    let penalties =
        (prop_oneof![Just(1.0_f32), 0.5_f32..2.0], -2.0_f32..2.0, prop_oneof![Just(0.0_f32), -2.0_f32..2.0]);
    let bias = proptest::collection::btree_map(0_u32..150, -20.0_f32..20.0, 0..4);
    (shape, penalties, bias, any::<u64>()).prop_map(|(shape, penalties, bias, seed)| Sampling {
        temperature: shape.0,
        top_p: shape.1,
        top_k: shape.2,
        min_p: shape.3,
        repetition_penalty: penalties.0,
        presence_penalty: penalties.1,
        frequency_penalty: penalties.2,
        logit_bias: bias.into_iter().collect(),
        seed,
        top_logprobs: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_sampler_follows_its_definition(
        // Halves make ties common.
        row in proptest::collection::vec(prop_oneof![9 => (-12_i8..12).prop_map(|x| f32::from(x) / 2.0), 1 => Just(f32::NEG_INFINITY)], 1..150),
        sampling in sampling(),
        prompt in proptest::collection::vec(0_u32..150, 1..10),
        output in proptest::collection::vec(0_u32..20, 0..12),
        ends in (proptest::collection::vec(0_u32..150, 0..3), proptest::collection::vec(0_u32..20, 0..3)),
        min_tokens in 0_usize..15,
        ignore_end: bool,
        allowed in proptest::option::of(proptest::collection::vec(0_u32..200, 0..120)),
    ) {
        let stop = StopRules { max_tokens: 20, min_tokens, end_tokens: ends.0, stop_tokens: ends.1, ignore_end };
        let request = Generate { sampling, stop, ..request(&prompt) };
        let allowed = allowed.map(|tokens| Allowed::known(Ok(tokens.into_iter().collect())));
        let draw = Draw { sequence: SequenceId(1), request: &request, output: &output, allowed: allowed.as_ref() };
        let token = Sampler::new().draw(&row, &draw).ok().map(|sample| sample.token);
        prop_assert_eq!(token, reference(&row, &draw));
        let mut device = DeviceDraws::new(row.len()).unwrap();
        device.pack(&[draw]);
        let on_device = draw_plain(&row, device.packed(), 0, f32::exp).ok().map(|drawn| drawn.token);
        prop_assert_eq!(on_device, token, "the definition of a draw on a device");
    }
}
