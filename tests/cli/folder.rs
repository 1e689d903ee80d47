//! A model that is a folder in Hugging Face's layout.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use baton_decoder::ModelFile;
use serde_json::{Map, Value, json};

use super::support::Home;

const HIDDEN: usize = 64;
const HEAD_DIM: usize = 32;

/// Writes a tiny llama of meaningless weights with the default model's tokenizer.
fn write_model(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let tokenizer = ModelFile::open(&baton_testkit::model_path()).unwrap().tokenizer().unwrap();
    let types = tokenizer.token_types.unwrap();
    let mut words = Map::new();
    let mut added = Vec::new();
    for (id, (text, kind)) in tokenizer.tokens.iter().zip(types).enumerate() {
        if kind == 1 {
            words.insert(text.clone(), id.into());
        } else {
            added.push(json!({"id": id, "content": text, "special": true}));
        }
    }
    let text = |id: Option<u32>| tokenizer.tokens[id.unwrap() as usize].clone();
    let write = |name: &str, value: Value| fs::write(folder.join(name), value.to_string()).unwrap();
    write(
        "tokenizer.json",
        json!({
            "added_tokens": added, "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "use_regex": true}]},
            "model": {"type": "BPE", "vocab": words, "merges": tokenizer.merges}
        }),
    );
    write("tokenizer_config.json", json!({"bos_token": text(tokenizer.bos), "eos_token": text(tokenizer.eos)}));
    fs::write(folder.join("chat_template.jinja"), tokenizer.chat_template.unwrap()).unwrap();
    write(
        "config.json",
        json!({
            "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": 1, "intermediate_size": 64,
            "max_position_embeddings": 256, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": HEAD_DIM,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": true
        }),
    );
    fs::write(folder.join("model.safetensors"), weights(tokenizer.tokens.len())).unwrap();
}

/// Safetensors in BF16: the header's length, the header, the numbers.
fn weights(vocabulary: usize) -> Vec<u8> {
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        (layer("input_layernorm"), vec![HIDDEN]),
        (layer("post_attention_layernorm"), vec![HIDDEN]),
        (layer("self_attn.q_proj"), vec![2 * HEAD_DIM, HIDDEN]),
        (layer("self_attn.k_proj"), vec![HEAD_DIM, HIDDEN]),
        (layer("self_attn.v_proj"), vec![HEAD_DIM, HIDDEN]),
        (layer("self_attn.o_proj"), vec![HIDDEN, 2 * HEAD_DIM]),
        (layer("mlp.gate_proj"), vec![64, HIDDEN]),
        (layer("mlp.up_proj"), vec![64, HIDDEN]),
        (layer("mlp.down_proj"), vec![HIDDEN, 64]),
    ];
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, dims) in tensors {
        let start = data.len();
        for index in 0..dims.iter().product::<usize>() {
            // A BF16 between 1/8 and 1/4, of either sign.
            let bits = 0x3e00u16 | u16::try_from(index * 37 % 128).unwrap() | u16::from(index % 3 == 0) << 15;
            data.extend(bits.to_le_bytes());
        }
        header.insert(name, json!({"dtype": "BF16", "shape": dims, "data_offsets": [start, data.len()]}));
    }
    let mut header = Value::Object(header).to_string();
    let padding = header.len().next_multiple_of(8) - header.len();
    write!(header, "{:padding$}", "").unwrap();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

#[test]
fn a_folder_is_taken_as_a_model() {
    let home = Home::new();
    let folder = home.path("Tiny-0.1B");
    write_model(&folder);
    let model = folder.to_str().unwrap();
    let run = home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("tiny-0.1b (blake3 "), "{}", run.stdout);
    // The last digits depend on the order of queries and keys, which is another in GGUF.
    let told = |stdout: &str| {
        let lines = stdout.lines().filter(|line| line.starts_with("perplexity"));
        lines.map(|line| line.split('.').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let expected = told(&run.stdout);
    assert_eq!(expected.len(), 2, "{}", run.stdout);

    // In one GGUF file it is the same model, tokenizer and template included; rounded, it is smaller and none is overwritten.
    let [whole, rounded] = ["whole.gguf", "rounded.gguf"].map(|name| home.path(name).to_str().unwrap().to_owned());
    let run = home.baton(&["quantize", model, &whole]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = home.baton(&["perplexity", "--model", &whole, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(told(&run.stdout), expected);
    let run = home.baton(&["quantize", &whole, &rounded, "--to", "q8_0"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let size = |path: &str| fs::metadata(path).unwrap().len();
    assert!(size(&rounded) * 10 < size(&whole) * 8, "{} of {}", size(&rounded), size(&whole));
    let run = home.baton(&["perplexity", "--model", &rounded, "--tokens", "40", "--threads", "1"]);
    assert!(run.stdout.contains("rounded"), "{}{}", run.stdout, run.stderr);
    // Rounded while it is loaded, it says the same.
    let on_the_way =
        home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1", "--quantize", "q8_0"]);
    let (first, second) = (told(&run.stdout), told(&on_the_way.stdout));
    assert!(first[0] == second[0] && first[0] != expected[0], "{first:?} {second:?} {expected:?}");
    let run = home.baton(&["quantize", model, &rounded, "--to", "q4_0"]);
    assert!(run.code == Some(1) && run.stderr.contains("exists"), "{}", run.stderr);
    let run = home.baton(&["quantize", model, "x.gguf", "--to", "q7"]);
    assert!(run.code == Some(2) && run.stderr.contains("known are f16"), "{}", run.stderr);

    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let run = home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("it has no tokenizer.json"), "{}", run.stderr);
}
