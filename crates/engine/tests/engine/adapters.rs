//! Adapters of many sequences at once, on a small decoder of random weights.

use std::sync::Arc;

use baton_contract::{Adapter, Digest, Digester, Generate, Prefix, TokenId};
use baton_decoder::{AdapterWeights, Architecture, Decoder, Heads, PagedCache, RopeSpec, RopeStyle, Variations};
use baton_engine::{Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle};
use baton_kernels::Kernels;
use baton_scheduler::SchedulerConfig;
use baton_testkit::{Outcome, collect, limits, request};
use candle_core::DType;

fn architecture() -> Architecture {
    Architecture {
        family: "llama".to_owned(),
        vocabulary: 500,
        max_context: 512,
        hidden: 64,
        layers: 2,
        heads: Heads { query: 4, kv: 2, dim: 32 },
        feed_forward: 96,
        norm_eps: 1e-5,
        attention_scale: 0.2,
        rope: RopeSpec::new(10_000.0, 32, RopeStyle::Halves),
        qkv_bias: false,
        output_bias: false,
        query_key_norm: false,
        tied_head: false,
        variations: Variations::default(),
    }
}

fn engine(scheduler: SchedulerConfig, adapter_memory: usize) -> EngineHandle {
    let scheduler = SchedulerConfig { max_context: 512, ..scheduler };
    let config = EngineConfig { scheduler, vocabulary: 500, clock: Clock::system() };
    Engine::start(config, move || {
        let decoder = Decoder::random(architecture(), 3, Kernels::new(2)).unwrap();
        let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), scheduler.blocks, DType::F16).unwrap();
        Ok(Box::new(DecoderExecutor::new(decoder, cache).with_adapter_memory(adapter_memory)) as _)
    })
    .unwrap()
}

/// Version `number` of a twin's adapter.
fn version(number: u8) -> Adapter {
    let weights = AdapterWeights::random(&architecture(), 8, u32::from(number), 0.5).unwrap();
    Adapter::new(Digest::of(&[number]), Arc::new(weights))
}

fn tokens(seed: u32, count: u32) -> Vec<TokenId> {
    (0..count).map(|at| (seed * 31 + at * 7) % 500).collect()
}

/// The same words for everybody, by the same conductor; every other time behind a pack's prefix.
fn cue(number: usize, adapter: Option<&Adapter>) -> Generate {
    let prefix = (number % 2 == 1).then(|| {
        let mut digester = Digester::new("test prefix");
        if let Some(adapter) = adapter {
            digester.field(adapter.digest().as_bytes());
        }
        let (digest, label) = (digester.finish(), "twin".to_owned());
        Arc::new(Prefix { digest, label, tokens: tokens(1, 70), adapter: adapter.cloned() })
    });
    let mut asked = Generate { prefix, adapter: adapter.cloned(), ..request(&tokens(2, 50)) };
    asked.stop.max_tokens = 12;
    asked.sampling.top_logprobs = Some(1);
    asked
}

/// Tokens and log-probabilities of a cue on an engine of its own.
fn alone(asked: Generate) -> Outcome {
    collect(engine(limits(), usize::MAX).submit(asked).unwrap())
}

fn assert_same(found: &Outcome, alone: &Outcome, what: &str) {
    assert_eq!(found.tokens.len(), 12, "{what}: {:?}", found.end);
    assert_eq!((&found.tokens, &found.logprobs), (&alone.tokens, &alone.logprobs), "{what}");
}

#[test]
fn a_version_that_is_swapped_under_load_is_never_mixed_with_another() {
    let small = SchedulerConfig { blocks: 24, token_budget: 40, ..limits() };
    let expected: Vec<Vec<Outcome>> = (0..4u8)
        .map(|number| {
            let adapter = (number > 0).then(|| version(number));
            (0..2).map(|kind| alone(cue(kind, adapter.as_ref()))).collect()
        })
        .collect();
    assert!((1..4).all(|number| expected[number][0].tokens != expected[0][0].tokens), "without effect");
    for (scheduler, adapter_memory) in [(limits(), usize::MAX), (limits(), 0), (small, 0)] {
        let engine = engine(scheduler, adapter_memory);
        let mut streams = Vec::new();
        for number in 1..4 {
            // Read anew, as after each publication. What was submitted keeps the version that it began with: this one is
            // dropped while the sequences run.
            let current = version(number);
            for kind in 0..6 {
                streams.push((number, kind % 2, engine.submit(cue(kind, Some(&current))).unwrap()));
                streams.push((0, kind % 2, engine.submit(cue(kind, None)).unwrap()));
            }
        }
        for (number, kind, stream) in streams {
            let what = format!("version {number}, kind {kind}, {adapter_memory} bytes");
            assert_same(&collect(stream), &expected[usize::from(number)][kind], &what);
        }
    }
}

#[test]
fn what_one_adapter_has_read_is_not_reused_for_another() {
    let engine = engine(limits(), usize::MAX);
    let cached = |adapter: Option<&Adapter>| collect(engine.submit(cue(0, adapter)).unwrap()).end.unwrap().1.cached;
    let (one, other) = (version(1), version(2));
    assert_eq!([cached(None), cached(Some(&one)), cached(Some(&other))], [0, 0, 0]);
    assert_eq!([cached(None), cached(Some(&version(1))), cached(Some(&other))], [32, 32, 32]);
}

#[test]
fn a_prefix_of_another_adapter_is_refused_and_foreign_weights_end_nothing_else() {
    let engine = engine(limits(), usize::MAX);
    let mixed = Generate { adapter: Some(version(2)), ..cue(1, Some(&version(1))) };
    let refusal = engine.submit(mixed).unwrap_err().to_string();
    assert!(refusal.contains("the prefix is not of the adapter"), "{refusal}");
    let foreign = Adapter::new(Digest::of(b"foreign"), Arc::new("no weights"));
    assert!(collect(engine.submit(cue(0, Some(&foreign))).unwrap()).end.is_err());
    assert!(collect(engine.submit(cue(0, None)).unwrap()).end.is_ok(), "the engine goes on");
}

#[test]
fn hundreds_of_adapters_take_turns_in_the_memory_of_a_few() {
    let versions: Vec<Adapter> = (0..200).map(version).collect();
    let bytes = versions[0].weights::<AdapterWeights>().unwrap().bytes();
    let (roomy, tight) = (engine(limits(), usize::MAX), engine(limits(), 5 * bytes));
    let outcomes = |engine: &EngineHandle, at_once: usize| {
        let mut outcomes = Vec::new();
        for wave in versions.chunks(at_once) {
            let streams: Vec<_> = wave.iter().map(|version| engine.submit(cue(0, Some(version))).unwrap()).collect();
            outcomes.extend(streams.into_iter().map(collect));
        }
        outcomes
    };
    let expected = outcomes(&roomy, 1);
    for (number, (found, expected)) in outcomes(&tight, 40).iter().zip(&expected).enumerate() {
        assert_same(found, expected, &format!("version {number}"));
    }
    let mut different: Vec<&[TokenId]> = expected.iter().map(|outcome| &outcome.tokens[..]).collect();
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 100, "adapters without effect: {}", different.len());
}

#[test]
fn nobody_keeps_the_weights_of_an_adapter_that_nobody_asks_for() {
    let engine = engine(limits(), 0);
    let expected = alone(cue(1, Some(&version(1))));
    let weights = Arc::new(AdapterWeights::random(&architecture(), 8, 1, 0.5).unwrap());
    let alive = Arc::downgrade(&weights);
    let twins = Adapter::new(Digest::of(&[1]), weights);
    let asked = || engine.submit(cue(1, Some(&twins))).unwrap();
    // One that leaves amid the pack's tokens, and one that is answered.
    drop(asked());
    assert_same(&collect(asked()), &expected, "the first");
    assert!(alive.upgrade().is_some(), "its twin is served");
    drop(twins);
    // What comes after it has been taken up by the engine.
    assert!(collect(engine.submit(cue(0, None)).unwrap()).end.is_ok());
    assert!(alive.upgrade().is_none(), "its twin was withdrawn");
    // The pack's tokens are still there for a twin that has the same adapter again.
    let again = collect(engine.submit(cue(1, Some(&version(1)))).unwrap());
    assert_same(&again, &expected, "the second");
    assert!(again.end.unwrap().1.cached >= 64);
}
