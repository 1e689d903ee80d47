//! A model that is a folder of safetensors.

use std::fs;
use std::path::Path;

use baton_decoder::{Kernels, UseBackend, with_gpu};
use baton_kernels::random_weight;
use candle_core::DType;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::{Model, NONE, Story, compare, gpu, has_device};

const VOCABULARY: usize = 1003;
const HIDDEN: usize = 256;
const FEED_FORWARD: usize = 320;
const HEAD_DIM: usize = 64;
const LAYERS: usize = 2;

/// Writes a small llama of random weights in a 16-bit type, as people publish models.
fn write_model(folder: &Path, dtype: Dtype) {
    let config = json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "intermediate_size": FEED_FORWARD, "max_position_embeddings": 2048, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": HEAD_DIM, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "rope_theta": 10000.0, "tie_word_embeddings": false
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![
        ("model.embed_tokens".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm".to_owned(), vec![HIDDEN]),
        ("lm_head".to_owned(), vec![VOCABULARY, HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![4 * HEAD_DIM, HIDDEN]),
            ("self_attn.k_proj", vec![2 * HEAD_DIM, HIDDEN]),
            ("self_attn.v_proj", vec![2 * HEAD_DIM, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, 4 * HEAD_DIM]),
            ("mlp.gate_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.up_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FEED_FORWARD]),
        ];
        tensors.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
    }
    let bytes: Vec<Vec<u8>> = (1..).zip(&tensors).map(|(seed, (_, shape))| content(seed, shape, dtype)).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (format!("{name}.weight"), TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Random numbers; around one for norms.
fn content(seed: u32, shape: &[usize], dtype: Dtype) -> Vec<u8> {
    let (mean, columns) = if let [_, columns] = shape { (0.0, *columns) } else { (1.0, 64) };
    let numbers = (0..).take(shape.iter().product()).map(|index| mean + random_weight(seed, index, columns));
    match dtype {
        Dtype::BF16 => numbers.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => numbers.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
    }
}

#[test]
fn a_folder_of_safetensors_has_the_cpus_logits() {
    if !has_device("a_folder_of_safetensors_has_the_cpus_logits") {
        return;
    }
    for (stored, dtype, most) in [(Dtype::F16, DType::F16, 0.004), (Dtype::BF16, DType::BF16, 0.03)] {
        let folder = tempfile::tempdir().unwrap();
        write_model(folder.path(), stored);
        let story = Story { model: Model::Folder(folder.path().to_owned()), decoded: 6, adapters: NONE };
        let expected = story.clone().with(Kernels::new(4));
        let found = with_gpu(&gpu(dtype, true, true), story).unwrap();
        let (difference, same) = compare(&found, &expected, VOCABULARY);
        eprintln!("{stored:?}: differ by {difference:.5}, same best {same:.3}");
        assert!(difference < most, "{stored:?}: {difference}");
    }
}
