//! Folders of safetensors beside the GGUF files of the same models.

use std::fs;
use std::path::Path;

use baton_decoder::{Decoder, ModelFile, PagedCache};
use baton_kernels::Kernels;
use candle_core::DType;
use expect_test::expect;
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::adapters::{stored, write};
use crate::support::open;
use crate::support::sequences::{Sequence, batch};
use crate::support::tiny::{self, CONTEXT, FEED_FORWARD, HEAD_DIM, HIDDEN, KV_HEADS, LAYERS, QUERY_HEADS};
use crate::support::writer::Writer;

/// GGUF's names of the parts of a layer, and those of Transformers.
const PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A model's tensors as Transformers would store them: with its names, and with llama's queries and keys as trained.
fn tensors(file: &Writer, interleaved: bool) -> Tensors {
    let rename = |name: &str| match name {
        "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
        "output_norm.weight" => "model.norm.weight".to_owned(),
        "output.weight" => "lm_head.weight".to_owned(),
        _ => {
            let [_, layer, part, kind] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
            let (_, part) = PARTS.iter().find(|(gguf, _)| *gguf == part).unwrap();
            format!("model.layers.{layer}.{part}.{kind}")
        }
    };
    let convert = |tensor: &crate::support::writer::Stored| {
        let values: Vec<f32> = tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let turned = interleaved && ["attn_q.", "attn_k."].iter().any(|part| tensor.name.contains(part));
        let (rows, columns) = (tensor.dims[0], tensor.dims.get(1).copied().unwrap_or(1));
        let row = |row: usize| if turned { stored(row) } else { row };
        let values = (0..rows).flat_map(|index| values[row(index) * columns..][..columns].to_vec()).collect();
        (rename(&tensor.name), tensor.dims.clone(), values)
    };
    file.tensors.iter().map(convert).collect()
}

fn description(kind: &str, tied: bool) -> Value {
    json!({
        "model_type": kind, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "intermediate_size": FEED_FORWARD,
        "max_position_embeddings": CONTEXT, "num_attention_heads": QUERY_HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM, "rms_norm_eps": 1e-5f32, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": tied, "use_sliding_window": false, "sliding_window": null
    })
}

fn folder(description: &Value, files: &[(&str, &Tensors)], dtype: Dtype) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), description.to_string()).unwrap();
    for (name, tensors) in files {
        fs::write(folder.path().join(name), write(tensors, dtype)).unwrap();
    }
    folder
}

/// The last logits of a prompt.
fn logits(file: &ModelFile) -> Vec<f32> {
    let decoder: Decoder = Decoder::load(file, Kernels::new(2), &mut |_, _| ()).unwrap();
    let mut cache = PagedCache::new(decoder.kernels(), decoder.architecture(), 4, DType::F32).unwrap();
    let prompt: Vec<u32> = (0..50).map(|i| i * 31 % 96).collect();
    let mut sequence = Sequence::new(&[0, 1]);
    let found = decoder.forward(&batch(&mut [(&mut sequence, &prompt, true)]), &mut cache).unwrap().unwrap();
    found.to_vec2::<f32>().unwrap().remove(0)
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().map(|x| x.abs()).fold(0.0, f32::max);
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn a_folder_is_the_model_that_its_gguf_file_is() {
    for (kind, family, tied) in
        [("llama", "llama", true), ("mistral", "llama", false), ("qwen2", "qwen2", true), ("qwen3", "qwen3", false)]
    {
        let mut file = tiny::model(family);
        if family == "qwen2" {
            tiny::add_biases(&mut file, false);
        }
        if family == "qwen3" {
            tiny::add_query_key_norms(&mut file);
        }
        if !tied {
            tiny::add_head(&mut file);
        }
        let expected = logits(&open(&file.bytes()).unwrap());
        let tensors = tensors(&file, family == "llama");
        let whole = folder(&description(kind, tied), &[("model.safetensors", &tensors)], Dtype::F32);
        let opened = ModelFile::open(whole.path()).unwrap();
        assert!(opened.is_folder());
        let found = logits(&opened);
        assert!(difference(&found, &expected) < 1e-5, "{kind}");
        // Sums run over the same numbers in the same order, whatever the files.
        let (front, back) = tensors.split_at(tensors.len() / 2);
        let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let sharded =
            folder(&description(kind, tied), &[(names[0], &front.to_vec()), (names[1], &back.to_vec())], Dtype::F32);
        let place = |(part, name): (usize, &String)| (name.clone(), json!(names[part]));
        let map: serde_json::Map<_, _> =
            front.iter().map(|one| (0, &one.0)).chain(back.iter().map(|one| (1, &one.0))).map(place).collect();
        fs::write(sharded.path().join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
        let sharded = ModelFile::open(sharded.path()).unwrap();
        assert_eq!(logits(&sharded), found, "{kind}");
        assert_ne!(sharded.digest(&mut |_, _| ()), opened.digest(&mut |_, _| ()), "files count, not only numbers");
        for (dtype, bound) in [(Dtype::F16, 0.01), (Dtype::BF16, 0.08)] {
            let narrow = folder(&description(kind, tied), &[("model.safetensors", &tensors)], dtype);
            let narrow = logits(&ModelFile::open(narrow.path()).unwrap());
            assert!(difference(&narrow, &expected) < bound, "{kind} {dtype:?} {}", difference(&narrow, &expected));
        }
    }
}

#[test]
fn stretched_frequencies_are_those_of_the_description() {
    let file = tiny::model("llama");
    let tensors = tensors(&file, true);
    let mut stretched = description("llama", true);
    stretched["rope_scaling"] = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64
    });
    let plain = folder(&description("llama", true), &[("model.safetensors", &tensors)], Dtype::F32);
    let folder = folder(&stretched, &[("model.safetensors", &tensors)], Dtype::F32);
    let opened = ModelFile::open(folder.path()).unwrap();
    let info = opened.tensor("rope_freqs.weight").unwrap();
    let divisors: Vec<f32> = opened.bytes(info).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let mut gguf = file.clone();
    gguf.floats("rope_freqs.weight", &[divisors.len()], &divisors);
    let (found, expected) = (logits(&opened), logits(&open(&gguf.bytes()).unwrap()));
    assert!(difference(&found, &expected) < 1e-5);
    assert!(difference(&found, &logits(&ModelFile::open(plain.path()).unwrap())) > 1e-3, "they change something");
}

#[test]
fn what_cannot_be_used_is_named() {
    let tensors = tensors(&tiny::model("llama"), true);
    let good = description("llama", true);
    let mut said = Vec::new();
    let mut say = |what: &str, change: &dyn Fn(&Path)| {
        let folder = folder(&good, &[("model.safetensors", &tensors)], Dtype::F32);
        change(folder.path());
        let opened = ModelFile::open(folder.path());
        let loaded = opened.and_then(|file| Decoder::<Kernels>::load(&file, Kernels::new(1), &mut |_, _| ()));
        let text = loaded.map_or_else(|error| error.to_string(), |_| "taken".to_owned());
        said.push(format!("{what}: {}", text.replace(&folder.path().display().to_string(), "…")));
    };
    let weights = "model.safetensors";
    let index = "model.safetensors.index.json";
    say("nothing changed", &|_| ());
    say("no description", &|folder| fs::remove_file(folder.join("config.json")).unwrap());
    say("no weights", &|folder| fs::remove_file(folder.join(weights)).unwrap());
    say("a description that is none", &|folder| fs::write(folder.join("config.json"), "[1]").unwrap());
    say("weights cut off", &|folder| {
        let bytes = fs::read(folder.join(weights)).unwrap();
        fs::write(folder.join(weights), &bytes[..bytes.len() - 1]).unwrap();
    });
    say("weights of nothing", &|folder| fs::write(folder.join(weights), [0xff; 20]).unwrap());
    say("a list without places", &|folder| fs::write(folder.join(index), "{}").unwrap());
    say("a list that leads outside", &|folder| {
        fs::write(folder.join(index), json!({"weight_map": {"a": "../secret.safetensors"}}).to_string()).unwrap();
    });
    say("a tensor too many", &|folder| {
        let more = [tensors.clone(), vec![("model.vision.weight".to_owned(), vec![2], vec![0.0, 1.0])]].concat();
        fs::write(folder.join(weights), write(&more, Dtype::F32)).unwrap();
    });
    say("a tensor too few", &|folder| fs::write(folder.join(weights), write(&tensors[1..], Dtype::F32)).unwrap());
    say("another form", &|folder| fs::write(folder.join(weights), write(&tensors, Dtype::F64)).unwrap());
    expect![[r#"
        nothing changed: taken
        no description: cannot read the model file `…/config.json`
        no weights: cannot read the model file `…/model.safetensors`
        a description that is none: `config.json` cannot be used: it is not a JSON object
        weights cut off: `model.safetensors` cannot be used: it is damaged or cut off (incomplete metadata, file not fully covered)
        weights of nothing: `model.safetensors` cannot be used: it is damaged or cut off (header too large)
        a list without places: `model.safetensors.index.json` cannot be used: it has no `weight_map`
        a list that leads outside: `model.safetensors.index.json` cannot be used: `../secret.safetensors` is not a file name
        a tensor too many: the tensor `model.vision.weight` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        a tensor too few: the model file has no tensor `token_embd.weight`; it may be damaged or made by an unfinished conversion
        another form: the form F64 of the tensor `model.embed_tokens.weight` in `model.safetensors` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32"#]].assert_eq(&said.join("\n"));
}
