//! Adapters: mixed batches against merged weights, and what is refused.

use std::error::Error as _;
use std::fmt::Write as _;

use baton_decoder::{Adapter, AdapterFiles, AdapterWeights, Architecture, Decoder, PagedCache};
use baton_kernels::Kernels;
use candle_core::DType;
use expect_test::expect;
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::json;

use crate::support::adapters::{self, Lora, MODULES, stored};
use crate::support::sequences::{Sequence, batch, bits};
use crate::support::tiny::{self, HEAD_DIM, HIDDEN, KV_HEADS, LAYERS, Noise, QUERY_HEADS};
use crate::support::writer::Writer;
use crate::support::{open, reference};

fn load(file: &Writer) -> Decoder {
    Decoder::load(&open(&file.bytes()).unwrap(), Kernels::new(2), &mut |_, _| ()).unwrap()
}

fn all() -> Vec<&'static str> {
    MODULES.iter().map(|(name, ..)| *name).collect()
}

/// What several sequences give in one batch each step: a prompt, then single tokens. [steps][sequences][vocabulary]
fn together(decoder: &Decoder, adapters: &[Option<&Adapter<Kernels>>], prompts: &[Vec<u32>]) -> Vec<Vec<Vec<f32>>> {
    const PROMPT: usize = 37;
    let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 24, DType::F32).unwrap();
    let mut sequences: Vec<_> =
        (0..prompts.len() as u32).map(|index| Sequence::new(&[2 * index, 2 * index + 1])).collect();
    let mut steps = Vec::new();
    for end in PROMPT..=prompts[0].len() {
        let start = if end == PROMPT { 0 } else { end - 1 };
        let mut work: Vec<_> =
            sequences.iter_mut().zip(prompts).map(|(sequence, prompt)| (sequence, &prompt[start..end], true)).collect();
        let logits = decoder.forward_adapted(&batch(&mut work), adapters, &mut cache).unwrap().unwrap();
        steps.push(logits.to_vec2().unwrap());
    }
    steps
}

fn prompts(count: usize) -> Vec<Vec<u32>> {
    let prompt = |seed| {
        let mut noise = Noise(seed);
        (0..40).map(|_| (noise.next() % tiny::VOCABULARY as u64) as u32).collect()
    };
    (0..count as u64).map(prompt).collect()
}

/// The largest difference between two rows, as a share of the largest value.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    let largest = want.iter().map(|x| x.abs()).fold(0.0, f32::max);
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn a_mixed_batch_equals_merged_weights() {
    for (family, interleaved) in [("llama", true), ("qwen2", false)] {
        let file = tiny::model(family);
        let decoder = load(&file);
        let wide = Lora::new(1, 12, 6.0, &all()).with("use_rslora", json!(true));
        let narrow = Lora::new(2, 3, 3.0, &["self_attn.q_proj", "self_attn.v_proj"])
            .with("alpha_pattern", json!({ "v_proj": 1.5 }));
        let mut merged = [file.clone(), file.clone(), file];
        wide.merge(&mut merged[1], interleaved, |_| 6.0 / 12f32.sqrt());
        narrow.merge(&mut merged[2], interleaved, |module| if module.ends_with("v_proj") { 0.5 } else { 1.0 });
        let [wide, narrow] = [wide, narrow].map(|lora| {
            let weights = lora.read(decoder.architecture()).unwrap();
            decoder.adapter(&weights).unwrap()
        });
        let whose = [1, 0, 2, 1, 2];
        let adapters: Vec<_> = whose.iter().map(|whose| [None, Some(&wide), Some(&narrow)][*whose]).collect();
        let prompts = prompts(whose.len());
        let got = together(&decoder, &adapters, &prompts);
        let mut plain = vec![];
        for (sequence, (whose, prompt)) in whose.iter().zip(&prompts).enumerate() {
            let want = reference::logits(&merged[*whose], decoder.architecture(), prompt);
            for (step, rows) in got.iter().enumerate() {
                let off = difference(&rows[sequence], &want[36 + step]);
                assert!(off < 5e-5, "{family}, sequence {sequence}, step {step}: off by {off:e}");
            }
            plain.push(reference::logits(&merged[0], decoder.architecture(), prompt)[39].clone());
        }
        assert!(difference(&plain[0], &got[3][0]) > 0.05 && difference(&plain[2], &got[3][2]) > 0.05, "without effect");
    }
}

/// Holds one batch, a sequence for each adapter, against the weights that each was merged into.
fn assert_merged(file: &Writer, loras: &[(Lora, f32)]) {
    let decoder = load(file);
    let placed: Vec<_> =
        loras.iter().map(|(lora, _)| decoder.adapter(&lora.read(decoder.architecture()).unwrap()).unwrap()).collect();
    let prompts = prompts(loras.len());
    let got = together(&decoder, &placed.iter().map(Some).collect::<Vec<_>>(), &prompts);
    for (sequence, ((lora, factor), prompt)) in loras.iter().zip(&prompts).enumerate() {
        let mut merged = file.clone();
        lora.merge(&mut merged, true, |_| *factor);
        let want = reference::logits(&merged, decoder.architecture(), prompt);
        let plain = reference::logits(file, decoder.architecture(), prompt);
        for (step, rows) in got.iter().enumerate() {
            let off = difference(&rows[sequence], &want[36 + step]);
            assert!(off < 5e-5, "sequence {sequence}, step {step}: off by {off:e}");
        }
        assert!(difference(&plain[39], &want[39]) > 0.01, "sequence {sequence} is without effect");
    }
}

#[test]
fn each_projection_alone_is_adapted() {
    let alone = |(seed, (name, ..)): (u64, &(&str, &str, usize, usize))| (Lora::new(seed, 4, 4.0, &[name]), 1.0);
    assert_merged(&tiny::model("llama"), &(20..).zip(&MODULES).map(alone).collect::<Vec<_>>());
}

#[test]
fn the_largest_rank_is_computed_stabilised_or_not() {
    let (plain, stabilised) = (Lora::new(30, 256, 32.0, &all()), Lora::new(31, 256, 2.0, &all()));
    let stabilised = stabilised.with("use_rslora", json!(true));
    assert_merged(&tiny::model("llama"), &[(plain, 32.0 / 256.0), (stabilised, 2.0 / 16.0)]);
}

#[test]
fn sequences_do_not_notice_others_adapters() {
    let decoder = load(&tiny::model("llama"));
    let made = [3, 4].map(|seed| {
        let weights = AdapterWeights::random(decoder.architecture(), 16, seed, 0.5).unwrap();
        decoder.adapter(&weights).unwrap()
    });
    let adapters = [None, Some(&made[0]), Some(&made[1]), Some(&made[0]), None];
    let prompts = prompts(adapters.len());
    let mixed = together(&decoder, &adapters, &prompts);
    for (sequence, adapter) in adapters.iter().enumerate() {
        let with: &[_] = if adapter.is_some() { &[*adapter] } else { &[] };
        let alone = together(&decoder, with, &prompts[sequence..=sequence]);
        for (mixed, alone) in mixed.iter().zip(&alone) {
            assert_eq!(bits(&mixed[sequence]), bits(&alone[0]), "sequence {sequence}");
        }
    }
    let of = |adapter| together(&decoder, &[adapter], &prompts[..1])[0][0].clone();
    assert!(difference(&of(Some(&made[0])), &of(Some(&made[1]))) > 0.01);
}

/// A llama's GGUF has the rows of queries and keys in another order than the weights that the adapter was trained on.
#[test]
fn queries_and_keys_go_the_way_of_the_file() {
    let straight = tiny::model("qwen2");
    let mut reordered = tiny::model("llama");
    for layer in 0..LAYERS {
        for (part, heads) in [("attn_q", QUERY_HEADS), ("attn_k", KV_HEADS)] {
            let name = format!("blk.{layer}.{part}.weight");
            let tensor = straight.tensors.iter().find(|tensor| tensor.name == name).unwrap();
            let from: Vec<f32> = tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let mut to = from.clone();
            for row in 0..heads * HEAD_DIM {
                to[stored(row) * HIDDEN..][..HIDDEN].copy_from_slice(&from[row * HIDDEN..][..HIDDEN]);
            }
            reordered.floats(&name, &[heads * HEAD_DIM, HIDDEN], &to);
        }
    }
    let lora = Lora::new(5, 8, 16.0, &["self_attn.q_proj", "self_attn.k_proj"]);
    let [straight, reordered] = [straight, reordered].map(|file| {
        let decoder = load(&file);
        let adapter = decoder.adapter(&lora.read(decoder.architecture()).unwrap()).unwrap();
        together(&decoder, &[Some(&adapter)], &prompts(1)).remove(3).remove(0)
    });
    let off = difference(&straight, &reordered);
    assert!(off < 2e-5, "off by {off:e}");
}

#[test]
fn fused_modules_are_their_parts() {
    let architecture = load(&tiny::model("qwen2")).architecture().clone();
    let apart = Lora::new(6, 4, 4.0, &all());
    let mut fused = apart.clone().with("target_modules", json!(["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]));
    let mut apart = apart;
    for layer in 0..LAYERS {
        for (whole, parts) in [
            ("self_attn.qkv_proj", &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"][..]),
            ("mlp.gate_up_proj", &["mlp.gate_proj", "mlp.up_proj"]),
        ] {
            let down = apart.modules[&(layer, parts[0].to_owned())][0].clone();
            let mut rows = vec![];
            for part in parts {
                let key = (layer, (*part).to_owned());
                apart.modules.get_mut(&key).unwrap()[0] = down.clone();
                let [_, (_, _, up)] = fused.modules.remove(&key).unwrap();
                rows.extend(up);
            }
            fused.modules.insert((layer, whole.to_owned()), [down, (rows.len() / 4, 4, rows)]);
        }
    }
    assert_eq!(fused.read(&architecture).unwrap(), apart.read(&architecture).unwrap());
}

#[test]
fn each_type_is_read_as_what_it_says() {
    let architecture = load(&tiny::model("llama")).architecture().clone();
    let mut lora = Lora::new(7, 8, 8.0, &all());
    // Values that all types hold.
    lora.modules.values_mut().flatten().for_each(|(_, _, values)| {
        for value in values {
            *value = half::bf16::from_f32((*value * 64.0).round() / 64.0).to_f32();
        }
    });
    let read = |dtype| AdapterWeights::read(&lora.files(dtype), &architecture);
    let wide = read(Dtype::F32).unwrap();
    assert_eq!(read(Dtype::F16).unwrap(), wide);
    assert_eq!(read(Dtype::BF16).unwrap(), wide);
    assert_eq!(
        wide.bytes(),
        4 * 8 * LAYERS * MODULES.iter().map(|(_, _, rows, columns)| rows + columns).sum::<usize>()
    );
}

/// Why an adapter is refused, with its cause.
fn refusal(config: &str, file: &[u8]) -> String {
    let architecture = load(&tiny::model("llama")).architecture().clone();
    let files = AdapterFiles { config: config.as_bytes().to_vec(), weights: file.to_vec() };
    let error = AdapterWeights::read(&files, &architecture).unwrap_err();
    let adapter = error.source().unwrap();
    adapter.source().map_or_else(|| adapter.to_string(), |cause| format!("{adapter}: {cause}"))
}

fn small() -> Lora {
    Lora::new(8, 4, 4.0, &["self_attn.q_proj", "mlp.down_proj"])
}

#[test]
fn configurations_that_ask_for_more_are_refused() {
    let mut sentences = String::new();
    for (field, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("lora_only")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("r", json!(257)),
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(8)),
        ("rank_pattern", json!({ "^model.*q_proj": 8 })),
        ("rank_pattern", json!({ "down_proj": 2 })),
        ("target_modules", json!(["q_proj", "lm_head"])),
        ("target_modules", json!(["q_proj", "down_proj", "k_proj"])),
    ] {
        write!(sentences, "{field} {value}: ").unwrap();
        let lora = small().with(field, value);
        writeln!(sentences, "{}", refusal(&lora.config.to_string(), &lora.file(Dtype::F32))).unwrap();
    }
    writeln!(sentences, "empty: {}", refusal("", &small().file(Dtype::F32))).unwrap();
    expect![[r#"
        peft_type "IA3": the adapter needs what is not supported: the type `IA3`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        use_dora true: the adapter needs what is not supported: DoRA (`use_dora`); what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        modules_to_save ["lm_head"]: the adapter needs what is not supported: whole modules beside the low-rank matrices (`modules_to_save`); what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        bias "lora_only": the adapter needs what is not supported: a trained bias (`bias` is `lora_only`); what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        init_lora_weights "pissa_niter_16": the adapter needs what is not supported: changed weights of the model itself (`init_lora_weights` is `pissa_niter_16`); what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        r 257: the adapter needs what is not supported: rank 257; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        r 0: the adapter needs what is not supported: rank 0; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        r -1: adapter_config.json is not well formed: invalid value: integer `-1`, expected usize at line 1 column 26
        r 8: the adapter was made for another model: `model.layers.0.self_attn.q_proj.lora_A.weight` has the shape [4, 64], but [8, 64] is needed
        rank_pattern {"^model.*q_proj":8}: the adapter needs what is not supported: a rank or alpha for modules that a pattern describes (`^model.*q_proj`); what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        rank_pattern {"down_proj":2}: the adapter was made for another model: `model.layers.0.mlp.down_proj.lora_A.weight` has the shape [4, 96], but [2, 96] is needed
        target_modules ["q_proj","lm_head"]: the adapter needs what is not supported: an adapted `lm_head`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        target_modules ["q_proj","down_proj","k_proj"]: the adapter is inconsistent: `target_modules` names `k_proj`, but adapter_model.safetensors has nothing for it
        empty: adapter_config.json is not well formed: EOF while parsing a value at line 1 column 0
    "#]].assert_eq(&sentences);
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let mut sentences = String::new();
    let mut check = |what: &str, file: &[u8]| {
        writeln!(sentences, "{what}: {}", refusal(&small().config.to_string(), file)).unwrap();
    };
    let key = (0, "self_attn.q_proj".to_owned());
    let good = small().file(Dtype::F32);
    check("cut off", &good[..good.len() - 1]);
    check("cut off in the header", &good[..100]);
    check("longer than it says", &[&good[..], b"x"].concat());
    check("nothing in it", &adapters::write(&[], Dtype::F32));
    check("another type", &small().file(Dtype::F64));
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let mut lora = small();
        lora.modules.get_mut(&key).unwrap()[1].2[77] = value;
        check(&value.to_string(), &lora.file(Dtype::F32));
        check(&value.to_string(), &lora.file(Dtype::BF16));
    }
    let mut wide = small();
    wide.modules.get_mut(&key).unwrap()[0] = (4, HIDDEN + 1, vec![0.0; 4 * (HIDDEN + 1)]);
    check("of another width", &wide.file(Dtype::F32));
    let half: Vec<_> = small().tensors().into_iter().filter(|(name, ..)| !name.contains("lora_B")).collect();
    check("without B", &adapters::write(&half, Dtype::F32));
    for name in [
        "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.00.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "model.layers.0.self_attn.q_proj.weight",
    ] {
        let mut tensors = small().tensors();
        tensors.push((name.to_owned(), vec![1], vec![0.0]));
        check("more than there should be", &adapters::write(&tensors, Dtype::F32));
    }
    let mut twice = small();
    let (down, up) = ((4, HIDDEN, vec![0.0; 4 * HIDDEN]), (256, 4, vec![0.0; 1024]));
    twice.modules.insert((0, "self_attn.qkv_proj".to_owned()), [down, up]);
    check("twice", &twice.file(Dtype::F32));
    expect![[r#"
        cut off: adapter_model.safetensors is damaged or cut off: incomplete metadata, file not fully covered
        cut off in the header: adapter_model.safetensors is damaged or cut off: invalid header length
        longer than it says: adapter_model.safetensors is damaged or cut off: incomplete metadata, file not fully covered
        nothing in it: the adapter is inconsistent: `target_modules` names `q_proj`, but adapter_model.safetensors has nothing for it
        another type: the adapter needs what is not supported: the type F64 of `model.layers.0.self_attn.q_proj.lora_A.weight`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        NaN: `model.layers.0.self_attn.q_proj.lora_B.weight` holds a value that is not a finite number; the adapter's training may have failed
        NaN: `model.layers.0.self_attn.q_proj.lora_B.weight` holds a value that is not a finite number; the adapter's training may have failed
        -inf: `model.layers.0.self_attn.q_proj.lora_B.weight` holds a value that is not a finite number; the adapter's training may have failed
        -inf: `model.layers.0.self_attn.q_proj.lora_B.weight` holds a value that is not a finite number; the adapter's training may have failed
        of another width: the adapter was made for another model: `model.layers.0.self_attn.q_proj.lora_A.weight` has the shape [4, 65], but [4, 64] is needed
        without B: the adapter is inconsistent: of `model.layers.0.self_attn.q_proj` there is only one of two matrices
        more than there should be: the adapter is inconsistent: `base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight` is of layer 2, but the model has 2
        more than there should be: the adapter needs what is not supported: the tensor `base_model.model.model.layers.00.self_attn.q_proj.lora_A.weight`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        more than there should be: the adapter needs what is not supported: the tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        more than there should be: the adapter needs what is not supported: the tensor `base_model.model.lm_head.lora_A.weight`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        more than there should be: the adapter needs what is not supported: the tensor `base_model.model.model.embed_tokens.lora_embedding_A`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        more than there should be: the adapter needs what is not supported: the tensor `model.layers.0.self_attn.q_proj.weight`; what is: LoRA, rank-stabilised or not, of ranks up to 256 on attention and feed-forward projections
        twice: the adapter is inconsistent: layer 0 has two adapted modules for the same part of `self_attn.qkv_proj`
    "#]].assert_eq(&sentences);
}

proptest! {
    /// Whatever is in the two files, an error is the worst that comes of it.
    #[test]
    fn changed_bytes_do_no_harm(places in prop::collection::vec((0usize..4000, any::<u8>()), 1..8), cut in 0usize..4000) {
        let file = tiny::model("llama");
        let architecture = Architecture::of(&open(&file.bytes()).unwrap()).unwrap();
        let mut files = small().files(Dtype::BF16);
        for (place, byte) in places {
            let of = if place % 2 == 0 { &mut files.config } else { &mut files.weights };
            let place = place / 2 % of.len();
            of[place] = byte;
        }
        if cut % 3 == 0 {
            let len = files.weights.len();
            files.weights.truncate(cut % len);
        }
        if let Ok(weights) = AdapterWeights::read(&files, &architecture) {
            prop_assert!(weights.bytes() > 0);
        }
    }
}

#[test]
fn a_folder_is_read_whole_or_not_at_all() {
    let architecture = load(&tiny::model("llama")).architecture().clone();
    let lora = Lora::new(9, 2, 2.0, &["self_attn.v_proj"]);
    let folder = tempfile::tempdir().unwrap();
    let sentence = || {
        let error = AdapterFiles::open(folder.path(), &architecture).unwrap_err();
        error.source().unwrap().to_string().replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(sentence(), "cannot read `/adapter_config.json`");
    std::fs::write(folder.path().join("adapter_config.json"), lora.config.to_string()).unwrap();
    assert_eq!(sentence(), "cannot read `/adapter_model.safetensors`");
    let weights = folder.path().join("adapter_model.safetensors");
    std::fs::write(&weights, lora.file(Dtype::F32)).unwrap();
    let files = AdapterFiles::open(folder.path(), &architecture).unwrap();
    assert_eq!(AdapterWeights::read(&files, &architecture).unwrap(), lora.read(&architecture).unwrap());
    std::fs::File::create(&weights).unwrap().set_len(1 << 40).unwrap();
    assert!(sentence().contains("has 1099511627776 bytes, but no adapter of this model has more than"));
}
