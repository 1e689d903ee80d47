//! The engine on the real model.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kept;
mod score;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use baton_contract::{Generate, Sampling, TokenId};
use baton_decoder::{Decoder, ModelFile, PagedCache};
use baton_engine::{
    Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle, PrefixStore, SchedulerConfig, StoreConfig,
};
use baton_kernels::Kernels;
use baton_testkit::{Outcome, collect, conductor, limits, model_path, prefix, request};
use candle_core::DType;

/// An engine on the default model.
fn engine(scheduler: SchedulerConfig) -> EngineHandle {
    engine_in(None, scheduler)
}

/// The same, with prefixes kept in a folder, if there is one.
fn engine_in(folder: Option<&Path>, scheduler: SchedulerConfig) -> EngineHandle {
    engine_with(folder, 0, scheduler)
}

/// The same, with so many bytes of them in memory, too.
fn engine_with(folder: Option<&Path>, memory: usize, scheduler: SchedulerConfig) -> EngineHandle {
    let scheduler = SchedulerConfig { keep_prefixes: folder.is_some(), ..scheduler };
    let kept =
        |folder: &Path| StoreConfig { folder: folder.into(), limit: 1 << 30, memory, now: Arc::new(SystemTime::now) };
    let store = folder.map(kept).map(PrefixStore::new);
    let path = model_path();
    let file = ModelFile::open(&path).unwrap();
    let decoder = Decoder::load(&file, Kernels::new(2), &mut |_, _| {}).unwrap();
    let vocabulary = decoder.architecture().vocabulary;
    let config = EngineConfig { scheduler, vocabulary, clock: Clock::system() };
    let start = move || {
        let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), scheduler.blocks, DType::F16).unwrap();
        Ok(Box::new(DecoderExecutor::new(decoder, cache).with_store(store)) as _)
    };
    Engine::start(config, start).unwrap()
}

/// Sixteen requests of different kinds: with and without a twin, greedy and sampled, short and long.
fn requests() -> Vec<Generate> {
    let token = |seed: u32| seed.wrapping_mul(2_654_435_761) >> 17;
    let tokens = |seed: u32, count: u32| (0..count).map(|i| token(seed * 1000 + i + 1)).collect::<Vec<TokenId>>();
    (0..16)
        .map(|i| {
            let shared = if i % 3 > 0 { 70 } else { 0 };
            // Each crosses into a new block soon, so that all want one at about the same time.
            let mut asked = request(&tokens(i, 24 + i % 4 + if i % 5 == 0 { 32 } else { 0 } - shared % 32));
            asked.conductor = conductor(&format!("conductor{}", i % 5));
            asked.prefix = (shared > 0).then(|| prefix("twin", &tokens(100 + i % 3, shared)));
            asked.stop.max_tokens = 10;
            if i % 2 == 0 {
                let (seed, temperature) = (u64::from(i), 0.9);
                asked.sampling = Sampling { seed, temperature, top_p: 0.95, ..Sampling::default() };
            }
            asked.sampling.top_logprobs = Some(2);
            asked
        })
        .collect()
}

/// What each request gives when nothing else runs, on a cold cache for the first of each twin.
static ALONE: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
    let engine = engine(limits());
    requests().into_iter().map(|asked| collect(engine.submit(asked).unwrap())).collect()
});

/// Log-probabilities of the tokens go with them: they show differences long before the tokens do.
fn assert_same_as_alone(engine: EngineHandle) -> EngineHandle {
    let streams = engine.submit_all(requests()).unwrap();
    for (i, (stream, alone)) in streams.into_iter().zip(ALONE.iter()).enumerate() {
        let together = collect(stream);
        assert_eq!(together.tokens.len(), 10, "{:?}", together.end);
        assert_eq!((together.tokens, together.logprobs), (alone.tokens.clone(), alone.logprobs.clone()), "request {i}");
    }
    engine
}

/// Small chunks, and so few blocks that sequences are preempted and prefixes evicted.
const SMALL: SchedulerConfig = SchedulerConfig {
    blocks: 6,
    token_budget: 24,
    max_sequences: 16,
    max_waiting: 64,
    max_context: 4096,
    keep_prefixes: false,
};

#[test]
fn a_request_gets_the_same_tokens_alone_and_among_fifteen_others() {
    let engine = assert_same_as_alone(engine(limits()));
    assert_eq!(engine.status().scheduler.prefixes_computed["twin"], 2);
}

#[test]
fn a_request_gets_the_same_tokens_in_small_chunks_and_after_a_preemption() {
    let engine = assert_same_as_alone(engine(SMALL));
    assert!(engine.status().scheduler.preemptions > 0, "blocks were not short");
}
