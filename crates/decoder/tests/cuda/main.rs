//! Whole decoders of random weights on a GPU, beside the same on the CPU.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests of small numbers")]

#[path = "../../../kernels/tests/common/device.rs"]
mod device;
mod families;
mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use baton_decoder::{
    Adapter, AdapterWeights, Architecture, BLOCK, Backend, Batch, Decoder, GpuConfig, Heads, Kernels, ModelFile,
    PagedCache, RopeSpec, RopeStyle, SpanLayout, UseBackend, Variations, with_gpu,
};
use candle_core::DType;
use device::has_device;

fn architectures() -> [Architecture; 2] {
    let one = Architecture {
        family: "llama".to_owned(),
        vocabulary: 1003,
        max_context: 2048,
        hidden: 576,
        layers: 4,
        heads: Heads { query: 9, kv: 3, dim: 64 },
        feed_forward: 1536,
        norm_eps: 1e-5,
        attention_scale: 0.125,
        rope: RopeSpec::new(10_000.0, 64, RopeStyle::Interleaved),
        qkv_bias: false,
        output_bias: false,
        query_key_norm: false,
        tied_head: true,
        variations: Variations::default(),
    };
    let rope = RopeSpec { base: 1_000_000.0, dim: 128, style: RopeStyle::Halves, ..one.rope };
    let heads = Heads { query: 8, kv: 2, dim: 128 };
    let other = Architecture {
        family: "qwen3".to_owned(),
        heads,
        hidden: 512,
        rope,
        query_key_norm: true,
        tied_head: false,
        attention_scale: 128f32.powf(-0.5),
        ..one.clone()
    };
    [one, other]
}

/// Where a decoder comes from, of a vocabulary of 1003 tokens.
#[derive(Clone)]
enum Model {
    Random(Box<Architecture>),
    Folder(PathBuf),
}

/// A pack that four sequences share, a prompt of their own for each, and tokens that are decoded together.
#[derive(Clone)]
struct Story {
    model: Model,
    decoded: usize,
    /// [sequences] Rank and seed of each one's adapter. The pack is computed without.
    adapters: [Option<(usize, u32)>; SEQUENCES],
}

const PACK: usize = 320;
const OWN: usize = 37;
const SEQUENCES: usize = 4;

impl Story {
    fn extend(batch: &mut Batch, sequence: usize, positions: std::ops::Range<usize>, draws: bool) {
        let of = |block: usize| if block < PACK / BLOCK { block } else { 64 + sequence * 16 + block };
        let blocks: Vec<u32> = (0..positions.end.div_ceil(BLOCK)).map(|block| of(block) as u32).collect();
        let (first_row, rows) = (batch.tokens.len(), positions.len());
        for position in positions.clone() {
            let whose = if position < PACK { 0 } else { sequence };
            batch.tokens.push(((position * 37 + whose * 101) % 1003) as u32);
            batch.layout.positions.push(position as u32);
            batch.layout.slots.push(blocks[position / BLOCK] * BLOCK as u32 + (position % BLOCK) as u32);
        }
        let shared_blocks = (PACK / BLOCK).min(blocks.len());
        batch.layout.spans.push(SpanLayout { first_row, rows, context: positions.end, blocks, shared_blocks });
        if draws {
            batch.draw_rows.push((batch.tokens.len() - 1) as u32);
        }
    }
}

impl UseBackend for Story {
    /// Logits of every step, [sequences * vocabulary] each.
    type Output = Vec<Vec<f32>>;

    fn with<B: Backend>(self, backend: B) -> Self::Output {
        let decoder = match self.model {
            Model::Random(architecture) => Decoder::random(*architecture, 5, backend).unwrap(),
            Model::Folder(path) => Decoder::load(&ModelFile::open(&path).unwrap(), backend, &mut |_, _| ()).unwrap(),
        };
        let dtype = decoder.kernels().pages_dtype(DType::F16);
        let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 192, dtype).unwrap();
        let mut pack = Batch::default();
        Self::extend(&mut pack, 0, 0..PACK, false);
        assert!(decoder.forward(&pack, &mut cache).unwrap().is_none());
        let wanted: BTreeSet<_> = self.adapters.iter().flatten().copied().collect();
        let made: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(rank, seed)| {
                let weights = AdapterWeights::random(decoder.architecture(), rank, seed, 0.25).unwrap();
                ((rank, seed), decoder.adapter(&weights).unwrap())
            })
            .collect();
        let adapters: Vec<_> = self.adapters.iter().map(|one| one.map(|one| &made[&one])).collect();
        let alone = (0..self.decoded).map(|step| PACK + OWN + step..PACK + OWN + step + 1);
        let steps = std::iter::once(PACK..PACK + OWN).chain(alone);
        let mut all = Vec::new();
        for positions in steps {
            let mut batch = Batch::default();
            for sequence in 0..SEQUENCES {
                Self::extend(&mut batch, sequence, positions.clone(), true);
            }
            let logits = decoder.forward_adapted(&batch, &adapters, &mut cache).unwrap().unwrap();
            all.push(decoder.read(&logits, SEQUENCES).unwrap());
        }
        all
    }
}

fn gpu(dtype: DType, cascade: bool, graphs: bool) -> GpuConfig {
    GpuConfig { ordinal: 0, dtype, cascade, graphs, quantised: false, threads: 1 }
}

/// The mean difference, relative to the size of what is compared, and the share of rows with the same best token.
fn compare(a: &[Vec<f32>], b: &[Vec<f32>], vocabulary: usize) -> (f32, f32) {
    assert_eq!(a.len(), b.len());
    let (mut sum, mut size, mut same, mut rows) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.chunks(vocabulary).zip(b.chunks(vocabulary)) {
            sum += a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>();
            size += b.iter().map(|b| b.abs()).sum::<f32>();
            let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|best| best.0);
            same += f32::from(u8::from(best(a) == best(b)));
            rows += 1.0;
        }
    }
    (sum / size, same / rows)
}

/// Without adapters, and with several of different ranks.
const NONE: [Option<(usize, u32)>; SEQUENCES] = [None; SEQUENCES];
const MIXED: [Option<(usize, u32)>; SEQUENCES] = [Some((16, 1)), None, Some((72, 2)), Some((16, 1))];

#[test]
fn logits_are_the_cpus() {
    if !has_device("logits_are_the_cpus") {
        return;
    }
    for architecture in architectures() {
        for adapters in [NONE, MIXED] {
            let story = Story { model: Model::Random(Box::new(architecture.clone())), decoded: 24, adapters };
            let expected = story.clone().with(Kernels::new(4));
            for (dtype, most) in [(DType::F16, 0.004), (DType::BF16, 0.03)] {
                for cascade in [true, false] {
                    let found = with_gpu(&gpu(dtype, cascade, true), story.clone()).unwrap();
                    let (difference, same) = compare(&found, &expected, architecture.vocabulary);
                    let what = format!("{} {dtype:?} cascade {cascade} {adapters:?}", architecture.family);
                    eprintln!("{what}: differ by {difference:.5}, same best {same:.3}");
                    assert!(difference < most, "{what}: {difference}");
                }
            }
        }
    }
}

#[test]
fn recorded_steps_give_what_they_recorded() {
    if !has_device("recorded_steps_give_what_they_recorded") {
        return;
    }
    for architecture in architectures() {
        for adapters in [NONE, MIXED] {
            let story = Story { model: Model::Random(Box::new(architecture.clone())), decoded: 40, adapters };
            let recorded = with_gpu(&gpu(DType::F16, true, true), story.clone()).unwrap();
            let started = with_gpu(&gpu(DType::F16, true, false), story).unwrap();
            let (difference, same) = compare(&recorded, &started, architecture.vocabulary);
            assert!(difference < 0.002 && same > 0.99, "{}: {difference}, same best {same}", architecture.family);
        }
    }
}

/// Steps of one recorded kind with other adapters, and of other kinds in between.
struct Swaps;

impl UseBackend for Swaps {
    type Output = ();

    fn with<B: Backend>(self, backend: B) {
        let [architecture, _] = architectures();
        let decoder = Decoder::random(architecture, 5, backend).unwrap();
        let dtype = decoder.kernels().pages_dtype(DType::F16);
        let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 192, dtype).unwrap();
        let make = |seed| {
            let weights = AdapterWeights::random(decoder.architecture(), 16, seed, 0.25).unwrap();
            decoder.adapter(&weights).unwrap()
        };
        let (one, other) = (make(1), make(2));
        let mut step = |adapters: [Option<&Adapter<B>>; SEQUENCES]| {
            let mut batch = Batch::default();
            for sequence in 0..SEQUENCES {
                // The first of a sequence: nothing was written before it.
                Story::extend(&mut batch, sequence, 0..1, true);
                *batch.layout.spans.last_mut().unwrap() = SpanLayout {
                    first_row: sequence,
                    rows: 1,
                    context: 1,
                    blocks: vec![sequence as u32],
                    shared_blocks: 0,
                };
                batch.layout.slots[sequence] = (sequence * BLOCK) as u32;
            }
            let logits = decoder.forward_adapted(&batch, &adapters, &mut cache).unwrap().unwrap();
            let all = decoder.read(&logits, SEQUENCES).unwrap();
            all.chunks(1003).map(|row| row.iter().map(|x| x.to_bits()).collect()).collect::<Vec<Vec<u32>>>()
        };
        let (none, ones, others) = (step([None; 4]), step([Some(&one); 4]), step([Some(&other); 4]));
        assert!(none[0] != ones[0] && ones[0] != others[0]);
        for _ in 0..3 {
            let mixed = step([Some(&one), None, Some(&other), Some(&one)]);
            assert_eq!([&mixed[0], &mixed[1], &mixed[2], &mixed[3]], [&ones[0], &none[1], &others[2], &ones[3]]);
            assert_eq!(step([Some(&other); 4]), others);
            assert_eq!(step([None; 4]), none);
        }
        drop(one);
        let again = make(1);
        assert_eq!(step([Some(&again); 4]), ones, "as another adapter of the same matrices, at another place");
    }
}

#[test]
fn adapters_change_from_step_to_step() {
    if !has_device("adapters_change_from_step_to_step") {
        return;
    }
    Swaps.with(Kernels::new(2));
    for graphs in [true, false] {
        with_gpu(&gpu(DType::BF16, true, graphs), Swaps).unwrap();
    }
}
