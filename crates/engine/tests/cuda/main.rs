//! The engine on a GPU, beside the same on the CPU, on a small decoder of random weights.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../kernels/tests/common/device.rs"]
mod device;
mod faults;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baton_contract::{Adapter, Digest, Digester, Generate, Prefix, Sampling, TokenId};
use baton_decoder::{
    AdapterWeights, Architecture, Backend, Decoder, GpuConfig, Heads, Kernels, PagedCache, RopeSpec, RopeStyle,
    UseBackend, Variations, with_gpu,
};
use baton_engine::{
    Clock, DecoderExecutor, Engine, EngineConfig, EngineHandle, Executor, ExecutorError, PrefixStore, SchedulerConfig,
    StoreConfig,
};
use baton_testkit::{block_on, collect, conductor, limits, request};
use candle_core::DType;
use device::has_device;

const VOCABULARY: u32 = 500;

fn architecture() -> Architecture {
    Architecture {
        family: "llama".to_owned(),
        vocabulary: VOCABULARY as usize,
        max_context: 512,
        hidden: 128,
        layers: 3,
        heads: Heads { query: 4, kv: 2, dim: 64 },
        feed_forward: 192,
        norm_eps: 1e-5,
        attention_scale: 0.125,
        rope: RopeSpec::new(10_000.0, 64, RopeStyle::Halves),
        qkv_bias: false,
        output_bias: false,
        query_key_norm: false,
        tied_head: false,
        variations: Variations::default(),
    }
}

/// What computes, and how.
struct Start {
    scheduler: SchedulerConfig,
    store: Option<PrefixStore>,
}

impl UseBackend for Start {
    type Output = Result<Box<dyn Executor>, ExecutorError>;

    fn with<B: Backend>(self, backend: B) -> Self::Output {
        let failed = |error: baton_decoder::Error| ExecutorError::Load(Box::new(error));
        let decoder = Decoder::random(architecture(), 3, backend).map_err(failed)?;
        let dtype = decoder.kernels().pages_dtype(DType::F16);
        let cache = PagedCache::new(decoder.kernels(), decoder.architecture(), self.scheduler.blocks, dtype);
        let executor = DecoderExecutor::new(decoder, cache.map_err(failed)?).warm(self.scheduler.max_sequences, 64)?;
        Ok(Box::new(executor.with_store(self.store)))
    }
}

/// The first GPU.
fn gpu() -> GpuConfig {
    GpuConfig { ordinal: 0, dtype: DType::F16, cascade: true, graphs: true, quantised: false, threads: 1 }
}

/// Where prefixes are kept: a folder, and so many bytes of memory.
type Kept<'a> = Option<(&'a Path, usize)>;

fn engine(on_device: bool, scheduler: SchedulerConfig, kept: Kept<'_>) -> EngineHandle {
    let scheduler = SchedulerConfig { max_context: 512, keep_prefixes: kept.is_some(), ..scheduler };
    let store = kept.map(|(folder, memory)| {
        let now = Arc::new(SystemTime::now);
        PrefixStore::new(StoreConfig { folder: folder.to_owned(), limit: 1 << 30, memory, now })
    });
    let config = EngineConfig { scheduler, vocabulary: VOCABULARY as usize, clock: Clock::system() };
    let start = Start { scheduler, store };
    let build = move || {
        if on_device { with_gpu(&gpu(), start).unwrap() } else { start.with(Kernels::new(2)) }
    };
    Engine::start(config, build).unwrap()
}

fn tokens(seed: u32, count: u32) -> Vec<TokenId> {
    (0..count).map(|at| (seed * 131 + at * at * 7 + at) % VOCABULARY).collect()
}

/// Version `number` of a twin's adapter.
fn version(number: u8) -> Adapter {
    let weights = AdapterWeights::random(&architecture(), 8, u32::from(number), 0.5).unwrap();
    Adapter::new(Digest::of(&[number]), Arc::new(weights))
}

/// The pack of twin `number`, which has an adapter if the number is odd.
fn pack(number: u8) -> (Arc<Prefix>, Option<Adapter>) {
    let adapter = (number % 2 == 1).then(|| version(number));
    let mut digester = Digester::new("test prefix");
    digester.field(&[number]);
    let tokens = tokens(u32::from(number), 70 + 3 * u32::from(number));
    let prefix = Prefix { digest: digester.finish(), label: format!("twin{number}"), tokens, adapter: adapter.clone() };
    (Arc::new(prefix), adapter)
}

/// Given answers of four twins and of the model itself, by five conductors.
fn given() -> Vec<Generate> {
    (0..20u8)
        .map(|number| {
            let (prefix, adapter) =
                if number % 5 == 4 { (None, None) } else { Some(pack(number % 5)).map(|(a, b)| (Some(a), b)).unwrap() };
            let prompt = tokens(40 + u32::from(number), 20 + u32::from(number));
            let conductor = conductor(&format!("conductor{}", number % 3));
            Generate::score((conductor, 1), (prefix, adapter), prompt, tokens(90 + u32::from(number), 5))
        })
        .collect()
}

fn scores(engine: &EngineHandle, at_once: usize) -> Vec<f64> {
    block_on(engine.score(given(), at_once)).unwrap().into_iter().map(|score| score.logprob).collect()
}

fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() < 0.03,
            "{what}, answer {index}: {found} on the device, {expected} on the CPU"
        );
    }
}

/// So few blocks that one twin's pack is evicted for the next one's, again and again.
const SMALL: SchedulerConfig = SchedulerConfig {
    blocks: 12,
    token_budget: 40,
    max_sequences: 8,
    max_waiting: 64,
    max_context: 512,
    keep_prefixes: false,
};

#[test]
fn answers_score_as_on_the_cpu_however_their_packs_came_into_the_cache() {
    if !has_device("answers_score_as_on_the_cpu_however_their_packs_came_into_the_cache") {
        return;
    }
    let expected = scores(&engine(false, limits(), None), 8);
    assert!(expected.iter().all(|score| score.is_finite() && *score < 0.0));
    assert_near(&scores(&engine(true, limits(), None), 8), &expected, "with room");
    assert_near(&scores(&engine(true, SMALL, None), 8), &expected, "computed again and again");
    let folder = tempfile::tempdir().unwrap();
    for (memory, what) in [(64 << 20, "from memory"), (0, "from files"), (300 << 10, "from either")] {
        let engine = engine(true, SMALL, Some((folder.path(), memory)));
        for at_once in [8, 2] {
            assert_near(&scores(&engine, at_once), &expected, what);
        }
        let status = engine.status();
        let sum = |counts: &std::collections::BTreeMap<String, u64>| counts.values().sum::<u64>();
        let (restored, found) = (sum(&status.scheduler.prefixes_restored), sum(&status.counters.prefixes_from_memory));
        assert!(restored > 4, "{what}: {restored} restored");
        // Where some fit, which ones depends on who was served first.
        let plausible = if memory > 1 << 20 { restored..=restored } else { 0..=restored * u64::from(memory > 0) };
        assert!(plausible.contains(&found), "{what}: {found} of {restored}");
        assert!(status.counters.prefixes_damaged.is_empty() && status.counters.failed == 0);
        block_on(engine.drain(Duration::ZERO));
    }
}

#[test]
fn sampled_answers_come_again_and_cancelled_ones_give_everything_back() {
    if !has_device("sampled_answers_come_again_and_cancelled_ones_give_everything_back") {
        return;
    }
    let asked = |number: u8| {
        let (prefix, adapter) = pack(number % 4);
        let sampling = Sampling { seed: u64::from(number), temperature: 0.8, top_p: 0.9, ..Sampling::default() };
        let mut asked = Generate { prefix: Some(prefix), adapter, sampling, ..request(&tokens(7, 33)) };
        asked.stop.max_tokens = 9;
        asked.sampling.top_logprobs = number.is_multiple_of(3).then_some(2);
        asked
    };
    // One after the other, so that each is computed among as many rows.
    let all = |engine: &EngineHandle| -> Vec<Vec<TokenId>> {
        (0..8).map(|number| collect(engine.submit(asked(number)).unwrap()).tokens).collect()
    };
    let engine = engine(true, limits(), None);
    let first = all(&engine);
    assert!(first.iter().all(|tokens| tokens.len() == 9));
    assert_eq!(all(&engine), first);
    let mut streams = engine.submit_all((0..16).map(asked).collect()).unwrap();
    // Every other one goes away.
    let mut number = 0;
    streams.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    for stream in streams {
        assert_eq!(collect(stream).tokens.len(), 9);
    }
    block_on(engine.drain(Duration::from_mins(1)));
    let blocks = engine.status().scheduler.blocks;
    assert_eq!(blocks.free + blocks.pinned + blocks.reusable, blocks.total, "{blocks:?}");
    assert_eq!(engine.status().counters.broken_invariants, 0);
}
