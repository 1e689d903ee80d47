//! A model of a few numbers, in a folder that a test can spoil.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use baton_encoder::{Encode, EncoderCard, Error, Model};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

const HIDDEN: usize = 8;
const INNER: usize = 16;
const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##c", "!"];
const POSITIONS: usize = 12;

/// Writes the model into a folder; `form` is how its weights are stored, which are the same in every form.
pub(crate) fn write(folder: &Path, form: Dtype) {
    let config = json!({
        "model_type": "bert", "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "vocab_size": WORDS.len(),
        "hidden_act": "gelu", "layer_norm_eps": 1e-12
    });
    let vocabulary: BTreeMap<_, _> = WORDS.iter().zip(0..).collect();
    let tokenizer = json!({
        "model": {"type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100},
        "normalizer": {"type": "BertNormalizer", "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}
    });
    let modules = json!([
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    ]);
    let pooling = json!({"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": true});
    fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    for (name, value) in [
        ("config.json", config),
        ("tokenizer.json", tokenizer),
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
    ] {
        fs::write(folder.join(name), value.to_string()).unwrap();
    }
    fs::write(folder.join("model.safetensors"), weights(form)).unwrap();
}

fn weights(form: Dtype) -> Vec<u8> {
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![WORDS.len(), HIDDEN]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![POSITIONS, HIDDEN]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, HIDDEN]),
    ];
    let mut linear = |name: &str, rows: usize, cols: usize| {
        shapes.push((format!("encoder.layer.0.{name}.weight"), vec![rows, cols]));
        shapes.push((format!("encoder.layer.0.{name}.bias"), vec![rows]));
    };
    for part in ["query", "key", "value"] {
        linear(&format!("attention.self.{part}"), HIDDEN, HIDDEN);
    }
    linear("attention.output.dense", HIDDEN, HIDDEN);
    linear("intermediate.dense", INNER, HIDDEN);
    linear("output.dense", HIDDEN, INNER);
    for norm in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
        for part in ["weight", "bias"] {
            shapes.push((format!("{norm}.LayerNorm.{part}"), vec![HIDDEN]));
        }
    }
    let mut state = 1u32;
    let tensors: Vec<_> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let bytes: Vec<u8> = (0..count)
                .flat_map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Eighths: exact in every form.
                    bytes(f32::from(i8::try_from(state >> 28).unwrap() - 8) / 8.0, form)
                })
                .collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| (name, TensorView::new(form, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn bytes(value: f32, form: Dtype) -> Vec<u8> {
    match form {
        Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32);
    folder
}

pub(crate) fn open(folder: &Path) -> Result<(Model, EncoderCard), Error> {
    Model::open(folder, "tiny", 1)
}

/// Changes a JSON file.
pub(crate) fn edit(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(name);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn vector(folder: &Path, text: &str) -> Vec<f32> {
    let (mut model, card) = open(folder).unwrap();
    model.encode(&[&card.words.tokens(text).unwrap()]).unwrap().remove(0)
}

#[test]
fn the_same_weights_are_the_same_model_in_every_form() {
    let (wide, half, brain) = (folder(), folder(), folder());
    write(half.path(), Dtype::F16);
    write(brain.path(), Dtype::BF16);
    let expected = vector(wide.path(), "ac b!");
    assert_eq!(expected.len(), HIDDEN);
    assert_eq!(vector(half.path(), "ac b!"), expected);
    assert_eq!(vector(brain.path(), "ac b!"), expected);
}

#[test]
fn a_text_is_the_mean_of_its_tokens_or_the_first_of_them() {
    let (folder, text) = (folder(), "a b");
    let first = vector(folder.path(), text);
    edit(folder.path(), "1_Pooling/config.json", |json| {
        *json = json!({"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true});
    });
    let mean = vector(folder.path(), text);
    assert_ne!(mean, first);
    // Of one token, the mean is the first.
    let (mut model, _) = open(folder.path()).unwrap();
    let of_one = model.encode(&[&[4]]).unwrap();
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    let unit = vector(folder.path(), text);
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    for (unit, mean) in unit.iter().zip(&mean) {
        assert!((unit - mean / length).abs() < 1e-6);
    }
    edit(folder.path(), "1_Pooling/config.json", |json| *json = json!({"pooling_mode_cls_token": true}));
    write(folder.path(), Dtype::F32);
    let (mut model, _) = open(folder.path()).unwrap();
    assert_eq!(model.encode(&[&[4]]).unwrap(), of_one);
}

#[test]
fn a_digest_tells_models_apart() {
    let folder = folder();
    let digest = |folder: &Path| open(folder).unwrap().1.digest;
    let before = digest(folder.path());
    assert_eq!(digest(folder.path()), before);
    edit(folder.path(), "1_Pooling/config.json", |json| *json = json!({"pooling_mode_mean_tokens": true}));
    let pooled = digest(folder.path());
    edit(folder.path(), "tokenizer.json", |json| json["normalizer"]["lowercase"] = json!(false));
    assert_eq!([before, pooled, digest(folder.path())].iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn damaged_weights_give_no_vector() {
    let folder = folder();
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    for word in bytes[end - 64..].chunks_exact_mut(4) {
        word.copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let (mut model, _) = open(folder.path()).unwrap();
    let fault = model.encode(&[&[2, 4, 3]]).unwrap_err();
    assert!(fault.contains("not finite"), "{fault}");
    let none: &[u32] = &[];
    assert!(model.encode(&[none]).is_err());
    assert!(model.encode(&[&[99]]).is_err(), "no such token");
    assert!(model.encode(&[&[4; POSITIONS + 1]]).is_err(), "no such place");
}
