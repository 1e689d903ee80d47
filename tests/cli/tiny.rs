//! A model that is small enough for any machine.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use baton_decoder::ModelFile;
use serde_json::{Map, Value, json};

/// Numbers of each token inside the model.
pub(super) const HIDDEN: usize = 64;

/// How large a model is.
pub(super) struct Sizes {
    /// Elements of a head.
    pub(super) head_dim: usize,
    /// Most tokens of a sequence.
    pub(super) context: usize,
    /// Most tokens that it knows: the first ones of the default model's.
    pub(super) vocabulary: usize,
}

/// Writes a llama of one layer with the default model's tokenizer, and weights that `number` gives as BF16 for a tensor's
/// name and an index in it.
pub(super) fn write(folder: &Path, sizes: &Sizes, number: impl Fn(&str, usize) -> u16) {
    fs::create_dir_all(folder).unwrap();
    let Sizes { head_dim, context, vocabulary } = *sizes;
    let mut tokenizer = ModelFile::open(&baton_testkit::model_path()).unwrap().tokenizer().unwrap();
    tokenizer.tokens.truncate(vocabulary);
    let known: HashSet<&str> = tokenizer.tokens.iter().map(String::as_str).collect();
    tokenizer.merges.retain(|merge| known.contains(merge.replace(' ', "").as_str()));
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
            "max_position_embeddings": context, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": head_dim,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": true
        }),
    );
    fs::write(folder.join("model.safetensors"), weights((tokenizer.tokens.len(), head_dim), number)).unwrap();
}

/// Safetensors in BF16: the header's length, the header, the numbers.
fn weights((vocabulary, head_dim): (usize, usize), number: impl Fn(&str, usize) -> u16) -> Vec<u8> {
    let layer = |part: &str| format!("model.layers.0.{part}.weight");
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        (layer("input_layernorm"), vec![HIDDEN]),
        (layer("post_attention_layernorm"), vec![HIDDEN]),
        (layer("self_attn.q_proj"), vec![2 * head_dim, HIDDEN]),
        (layer("self_attn.k_proj"), vec![head_dim, HIDDEN]),
        (layer("self_attn.v_proj"), vec![head_dim, HIDDEN]),
        (layer("self_attn.o_proj"), vec![HIDDEN, 2 * head_dim]),
        (layer("mlp.gate_proj"), vec![64, HIDDEN]),
        (layer("mlp.up_proj"), vec![64, HIDDEN]),
        (layer("mlp.down_proj"), vec![HIDDEN, 64]),
    ];
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, dims) in tensors {
        let start = data.len();
        for index in 0..dims.iter().product::<usize>() {
            data.extend(number(&name, index).to_le_bytes());
        }
        header.insert(name, json!({"dtype": "BF16", "shape": dims, "data_offsets": [start, data.len()]}));
    }
    let mut header = Value::Object(header).to_string();
    let padding = header.len().next_multiple_of(8) - header.len();
    write!(header, "{:padding$}", "").unwrap();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}
