//! The engine as its users see it, on a scripted executor and simulated time.

use baton_contract::{Emission, FinishReason, Generate, Usage};
use baton_testkit::{Outcome, Script, block_on, collect, engine, prefix, request};

/// More than any test's output can end by chance.
const VOCABULARY: usize = 1000;

#[test]
fn a_request_is_streamed_to_its_end() {
    let (engine, _) = engine(Script::replies(VOCABULARY, |input| input.iter().rev().copied().collect()));
    let table =
        [(vec![1, 2, 3], vec![3, 2, 1], FinishReason::Stop, 4), (vec![4; 9], vec![4; 8], FinishReason::Length, 8)];
    for (prompt, tokens, reason, output) in table {
        let mut asked = request(&prompt);
        asked.stop.end_tokens = vec![999];
        let usage = Usage { input: prompt.len(), cached: 0, output };
        assert_eq!(
            collect(engine.submit(asked).unwrap()),
            Outcome { tokens, logprobs: Vec::new(), end: Ok((reason, usage)) }
        );
    }
}

#[test]
fn several_are_submitted_at_once_and_stay_in_order() {
    let (engine, _) = engine(Script::replies(VOCABULARY, <[u32]>::to_vec));
    let asked = (1..=5).map(|token| request(&[token; 8])).collect();
    let streams = engine.submit_all(asked).unwrap();
    for (token, stream) in (1..=5).zip(streams) {
        assert_eq!(collect(stream).tokens, [token; 8]);
    }
    assert!(engine.submit_all(Vec::new()).unwrap().is_empty());
}

#[test]
fn a_twins_prefix_is_computed_once_and_its_tokens_are_seen_by_all() {
    let (engine, _) = engine(Script::replies(VOCABULARY, <[u32]>::to_vec));
    let shared = prefix("ux", &[7; 70]);
    let asked = (0..10).map(|i| Generate { prefix: Some(shared.clone()), ..request(&[i]) }).collect();
    for (i, stream) in engine.submit_all(asked).unwrap().into_iter().enumerate() {
        let outcome = collect(stream);
        assert_eq!(outcome.tokens, [7; 8]);
        // The first one to need it pays for it.
        let cached = if i == 0 { 0 } else { 70 };
        assert_eq!(outcome.end.unwrap().1, Usage { input: 71, cached, output: 8 });
    }
    let status = engine.status();
    assert_eq!(status.scheduler.prefixes_computed["ux"], 1);
    assert_eq!(status.counters.prompt_tokens, 70 + 10);
    assert_eq!(status.counters.generated_tokens, 80);
}

#[test]
fn log_probabilities_come_with_their_token() {
    let (engine, _) = engine(Script::hashed(VOCABULARY));
    let mut asked = request(&[1]);
    asked.sampling.top_logprobs = Some(2);
    let mut stream = engine.submit(asked).unwrap();
    let mut seen = 0;
    while let Some(emission) = block_on(stream.next()) {
        if let Emission::Token { token, logprobs } = emission {
            let logprobs = logprobs.unwrap();
            assert_eq!((logprobs.top[0].0, logprobs.top.len()), (token, 2));
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}
