//! The engine as its users see it, on a scripted executor and simulated time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapters;
mod constraint;
mod drain;
mod faults;
mod load;
mod queue;
mod replay;
mod score;
mod store;

use baton_contract::{Emission, FinishReason, Generate, TokenId, Usage};
use baton_engine::EngineHandle;
use baton_testkit::{Outcome, Script, Turn, block_on, collect, conductor, engine, prefix, request};

/// More than any test's output can end by chance.
const VOCABULARY: usize = 1000;

/// What a script makes of a request that runs alone and without blocks.
fn expected(script: &Script, request: &Generate) -> Vec<TokenId> {
    let prefix = request.prefix.as_ref().map_or(&[][..], |prefix| &prefix.tokens);
    let mut history = [prefix, &request.prompt].concat();
    for position in 0..request.stop.max_tokens {
        let token = script.next(&Turn { request, history: &history, position });
        if request.stop.ends(token) {
            break;
        }
        history.push(token);
    }
    history.split_off(request.input_len())
}

/// Sends one more request through, so that everything before it has been taken in, and checks that nothing is held.
fn assert_all_returned(engine: &EngineHandle) {
    assert!(collect(engine.submit(request(&[1])).unwrap()).end.is_ok());
    let status = engine.status();
    let blocks = status.scheduler.blocks;
    assert_eq!((status.in_flight, status.scheduler.running, status.scheduler.waiting), (0, 0, 0));
    assert_eq!(blocks.free + blocks.reusable + blocks.pinned, blocks.total, "{blocks:?}");
    assert_eq!(status.counters.broken_invariants, 0);
}

/// A small seeded generator: `SplitMix64`, Steele, Lea and Flood 2014.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn tokens(&mut self, count: u64) -> Vec<TokenId> {
        (0..count).map(|_| TokenId::try_from(self.below(VOCABULARY as u64)).unwrap()).collect()
    }

    /// A request of any of four conductors, three twins or none, and any length that makes blocks run short.
    fn request(&mut self) -> Generate {
        let twin = self.below(4);
        let shared = (twin > 0).then(|| prefix(&format!("twin{twin}"), &[TokenId::try_from(twin).unwrap(); 45]));
        let length = 1 + self.below(90);
        let mut asked = request(&self.tokens(length));
        asked.conductor = conductor(["ada", "bob", "cyd", "dee"][usize::try_from(self.below(4)).unwrap()]);
        asked.prefix = shared;
        asked.stop.max_tokens = usize::try_from(1 + self.below(120)).unwrap();
        asked.stop.end_tokens = vec![0, 1, 2, 3, 4];
        asked
    }
}

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
