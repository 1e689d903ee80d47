//! Every family against golden logits that Transformers computed for the same tiny models (`scripts/golden-logits`).

use std::fs;
use std::path::{Path, PathBuf};

use baton_decoder::{Architecture, Decoder, ModelFile, PagedCache, Recipe, gguf};
use baton_kernels::Kernels;
use candle_core::DType;
use expect_test::expect;
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::adapters::write;
use crate::support::open;
use crate::support::sequences::{Sequence, step};
use crate::support::tiny::Noise;

/// One model and what it gives.
struct Golden {
    name: String,
    config: Value,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    tokens: Vec<u32>,
    after: Vec<usize>,
    /// [after][vocabulary]
    logits: Vec<Vec<f32>>,
}

impl Golden {
    fn read(path: &Path) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let list = |name: &str| json[name].as_array().unwrap().clone();
        let number = |value: &Value| value.as_f64().unwrap() as f32;
        let tensor = |(index, tensor): (usize, &Value)| {
            let shape: Vec<usize> =
                tensor[1].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect();
            let count = shape.iter().product();
            let values = Noise(index as u64 + 1).floats(count, number(&tensor[2]), number(&tensor[3]));
            (tensor[0].as_str().unwrap().to_owned(), shape, values)
        };
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            config: json["config"].clone(),
            tensors: list("tensors").iter().enumerate().map(tensor).collect(),
            tokens: list("tokens").iter().map(|token| token.as_u64().unwrap() as u32).collect(),
            after: list("after").iter().map(|at| at.as_u64().unwrap() as usize).collect(),
            logits: list("logits").iter().map(|row| row.as_array().unwrap().iter().map(number).collect()).collect(),
        }
    }

    fn all() -> Vec<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/decoder/golden");
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|golden| golden.name == name).unwrap()
    }

    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        fs::write(folder.path().join("model.safetensors"), write(&self.tensors, Dtype::F32)).unwrap();
        folder
    }

    fn file(&self) -> ModelFile {
        ModelFile::open(self.folder().path()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The largest difference of all logits, as a share of the largest: a chunk up to each place, so that the last are
    /// single tokens.
    fn off(&self, file: &ModelFile, dtype: DType) -> f32 {
        let decoder: Decoder = Decoder::load(file, Kernels::new(2), &mut |_, _| ())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 8, dtype).unwrap();
        let mut sequence = Sequence::new(&[5, 1]);
        let (mut start, mut off) = (0, 0.0f32);
        for (at, wanted) in self.after.iter().zip(&self.logits) {
            let found = step(&decoder, &mut cache, &mut sequence, &self.tokens[start..=*at]);
            let largest = wanted.iter().map(|x| x.abs()).fold(0.0, f32::max);
            assert_eq!(found.len(), wanted.len());
            assert!(found.iter().all(|x| x.is_finite()), "{}", self.name);
            off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / largest).fold(off, f32::max);
            start = at + 1;
        }
        off
    }
}

/// The model's files as one GGUF file.
fn converted(golden: &Golden, recipe: Option<Recipe>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut done, mut all) = (0, 0);
    let written =
        golden.file().write_gguf(tokenizer(), recipe, 2, &mut bytes, &mut |read, total| (done, all) = (read, total));
    written.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
    assert!(done == all && all > 0, "{}", golden.name);
    bytes
}

/// A tokenizer that is good for nothing but to be there.
fn tokenizer() -> Vec<(String, gguf::Value)> {
    let tokens = (0..64).map(|id| char::from_u32(0x21 + id).unwrap().to_string());
    vec![
        ("tokenizer.ggml.model".to_owned(), gguf::Value::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre".to_owned(), gguf::Value::Text("gpt-2".to_owned())),
        ("tokenizer.ggml.tokens".to_owned(), gguf::Value::Texts(tokens.collect())),
        ("tokenizer.ggml.token_type".to_owned(), gguf::Value::Scalars(vec![1; 64].into())),
        ("tokenizer.ggml.merges".to_owned(), gguf::Value::Texts(["! \"".to_owned()].into_iter().collect())),
        ("tokenizer.ggml.eos_token_id".to_owned(), gguf::Value::Unsigned(63)),
        ("tokenizer.ggml.add_bos_token".to_owned(), gguf::Value::Flag(false)),
    ]
}

/// Written as GGUF, with queries and keys in another order and experts in one tensor, every family is the same model.
#[test]
fn what_is_written_as_gguf_is_the_same_model() {
    for golden in Golden::all() {
        let file = open(&converted(&golden, None)).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        assert!(!file.is_folder());
        let off = golden.off(&file, DType::F32);
        assert!(off < 3e-5, "{} is off by {off:e}", golden.name);
        let (of_file, of_folder) = (Architecture::of(&file).unwrap(), Architecture::of(&golden.file()).unwrap());
        assert_eq!(of_file.variations, of_folder.variations, "{}", golden.name);
    }
}

#[test]
fn rounding_costs_what_it_must() {
    let golden = Golden::named("llama");
    for (name, worst) in [("f16", 2e-3), ("bf16", 2e-2), ("q8_0", 4e-2), ("q5_1", 0.3), ("q4_0", 0.6)] {
        let bytes = converted(&golden, Some(name.parse().unwrap()));
        let file = open(&bytes).unwrap();
        let off = golden.off(&file, DType::F32);
        assert!(off < worst && off > worst / 100.0, "{name} is off by {off:e}");
        let plain: usize = golden.tensors.iter().map(|(.., values)| values.len() * 4).sum();
        assert!(bytes.len() < plain * 2 / 3, "{name}: {} of {plain} bytes", bytes.len());
        // What is rounded already stays as it is.
        let mut again = Vec::new();
        let coarser = "q4_0".parse().unwrap();
        file.write_gguf(Vec::new(), Some(coarser), 1, &mut again, &mut |_, _| ()).unwrap();
        let forms = |file: &ModelFile| file.tensors().map(|(_, info)| info.form.name).collect::<Vec<_>>();
        let again = open(&again).unwrap();
        if name.starts_with('q') {
            assert_eq!(forms(&again), forms(&file), "{name}");
        }
    }
    // Rounded while it is loaded, it is the model that was rounded and written.
    let recipe: Recipe = "q8_0".parse().unwrap();
    let written = open(&converted(&golden, Some(recipe))).unwrap();
    let in_memory = golden.file().rounded(recipe);
    let logits = |file: &ModelFile| {
        let decoder: Decoder = Decoder::load(file, Kernels::new(2), &mut |_, _| ()).unwrap();
        let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 4, DType::F32).unwrap();
        step(&decoder, &mut cache, &mut Sequence::new(&[0, 1]), &golden.tokens)
    };
    let (written, in_memory, plain) = (logits(&written), logits(&in_memory), logits(&golden.file()));
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Queries and keys stand in another order in the file, so the last bits differ.
    assert!(apart(&written, &in_memory) < 1e-3 && apart(&written, &plain) > 1e-3);
    let digest = |file: ModelFile| file.digest(&mut |_, _| ());
    assert_ne!(digest(golden.file().rounded(recipe)), digest(golden.file()));
    // Rows of 64 numbers have no blocks of 256: the next best is taken, and the head is rounded less.
    let file = open(&converted(&golden, Some("q4_k".parse().unwrap()))).unwrap();
    let form = |name: &str| file.tensor(name).unwrap().form.name;
    assert_eq!((form("blk.0.attn_q.weight"), form("blk.0.ffn_down.weight")), ("Q8_0", "F16"));
    assert_eq!((form("output.weight"), form("blk.0.attn_norm.weight")), ("Q8_0", "F32"));
    assert_eq!("q7".parse::<Recipe>().unwrap_err().split(' ').count(), 14);
}

/// Writes every model where `scripts/test-llama-cpp` reads them.
#[test]
#[ignore = "writes files for scripts/test-llama-cpp"]
fn models_for_llama_cpp() {
    #[expect(clippy::disallowed_methods, reason = "the script says where it looks")]
    let folder = std::env::var("BATON_GGUF_FOLDER").expect("BATON_GGUF_FOLDER is not set; run scripts/test-llama-cpp");
    for golden in Golden::all() {
        fs::write(Path::new(&folder).join(format!("{}.gguf", golden.name)), converted(&golden, None)).unwrap();
    }
}

#[test]
fn every_family_gives_the_logits_of_transformers() {
    let all = Golden::all();
    let names: Vec<_> = all.iter().map(|golden| golden.name.as_str()).collect();
    expect![[r#"
        gemma
        gemma2
        gemma3-stretched
        gemma3
        llama-3.1
        llama-linear
        llama-yarn
        llama
        mistral-window
        mixtral
        phi
        phi3-long
        phi3-short
        phi3-window
        qwen2-window
        qwen2
        qwen3-moe-raw
        qwen3-moe
        qwen3-yarn
        qwen3
        smollm3"#]]
    .assert_eq(&names.join("\n"));
    for golden in &all {
        let off = golden.off(&golden.file(), DType::F32);
        assert!(off < 3e-5, "{} is off by {off:e}", golden.name);
    }
}

/// Each is a mistake that some implementation made: the logits must notice it.
#[test]
fn known_mistakes_would_be_noticed() {
    let changed = |name: &str, change: &dyn Fn(&mut Golden)| {
        let mut golden = Golden::named(name);
        change(&mut golden);
        golden.off(&golden.file(), DType::F32)
    };
    let set = |field: &'static str, value: Value| move |golden: &mut Golden| golden.config[field] = value.clone();
    let cases: Vec<(&str, &str, Box<dyn Fn(&mut Golden)>)> = vec![
        ("mistral-window", "a window one too wide", Box::new(set("sliding_window", json!(10)))),
        ("mistral-window", "a window one too narrow", Box::new(set("sliding_window", json!(8)))),
        ("phi3-window", "no window", Box::new(set("sliding_window", json!(null)))),
        ("qwen2-window", "windows in all layers", Box::new(set("max_window_layers", json!(0)))),
        ("gemma2", "scores scaled by the head", Box::new(set("query_pre_attn_scalar", json!(32)))),
        ("gemma2", "scores not capped", Box::new(set("attn_logit_softcapping", json!(null)))),
        ("gemma2", "logits not capped", Box::new(set("final_logit_softcapping", json!(null)))),
        ("gemma3", "one rotation for all layers", Box::new(set("rope_local_base_freq", json!(1_000_000.0)))),
        ("gemma3", "scores scaled by the head", Box::new(set("query_pre_attn_scalar", json!(32)))),
        (
            "gemma3-stretched",
            "nothing stretched",
            Box::new(|golden| {
                golden.config["rope_parameters"]["full_attention"]["factor"] = json!(1.0);
            }),
        ),
        ("smollm3", "all layers rotated", Box::new(set("no_rope_layers", json!([1, 1, 1, 1])))),
        ("qwen3-moe", "weights that do not add up to one", Box::new(set("norm_topk_prob", json!(false)))),
        ("qwen3-moe", "one expert too many", Box::new(set("num_experts_per_tok", json!(3)))),
        ("mixtral", "one expert too few", Box::new(set("num_experts_per_tok", json!(1)))),
        ("phi", "heads rotated whole", Box::new(set("partial_rotary_factor", json!(1.0)))),
        (
            "phi3-long",
            "the divisors for short contexts",
            Box::new(|golden| {
                let long = golden.config["rope_scaling"]["short_factor"].clone();
                golden.config["rope_scaling"]["long_factor"] = long;
            }),
        ),
        (
            "llama-yarn",
            "plain interpolation",
            Box::new(|golden| {
                golden.config["rope_scaling"]["rope_type"] = json!("linear");
            }),
        ),
        (
            "qwen3-yarn",
            "the usual magnitude",
            Box::new(|golden| {
                golden.config["rope_scaling"]["attention_factor"] = json!(null);
            }),
        ),
        ("llama-3.1", "nothing stretched", Box::new(set("rope_scaling", json!(null)))),
    ];
    for (name, mistake, change) in cases {
        let off = changed(name, &change);
        assert!(off > 1e-3, "{name} with {mistake} is off by {off:e} only");
    }
}

/// In half precision keys and values are rounded, and what comes of it stays near.
#[test]
fn a_cache_in_half_precision_stays_near() {
    for golden in Golden::all() {
        let off = golden.off(&golden.file(), DType::F16);
        assert!(off < 2e-2, "{} is off by {off:e}", golden.name);
    }
}

/// A model that also sees is read for its text: under another name, with its description inside, beside tensors of no use.
#[test]
fn the_text_part_of_a_model_that_also_sees_is_read() {
    let golden = Golden::named("gemma3");
    let alone = golden.file();
    for (prefix, strip) in [("language_model.", ""), ("model.language_model.", "model.")] {
        let mut inner = golden.config.clone();
        // Such descriptions leave out what is usual.
        inner.as_object_mut().unwrap().remove("tie_word_embeddings");
        let mut tensors = golden.tensors.clone();
        for (name, ..) in &mut tensors {
            *name = format!("{prefix}{}", name.strip_prefix(strip).unwrap());
        }
        tensors.push(("vision_tower.patch.weight".to_owned(), vec![2], vec![0.5, 0.5]));
        tensors.push(("multi_modal_projector.weight".to_owned(), vec![2], vec![0.5, 0.5]));
        let config = json!({"model_type": "gemma3", "text_config": inner, "vision_config": {"hidden_size": 3}});
        let seeing = Golden { config, tensors, ..Golden::named("gemma3") };
        let file = seeing.file();
        assert_eq!(Architecture::of(&file).unwrap(), Architecture::of(&alone).unwrap());
        assert!(seeing.off(&file, DType::F32) < 3e-5);
    }
}
