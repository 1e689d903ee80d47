//! Folders that cannot be used, each refused in a sentence.

use std::fs;
use std::path::Path;

use expect_test::expect;
use serde_json::json;

use crate::tiny::{edit, folder, open};

/// Something done to a good folder.
type Spoil = fn(&Path);

#[test]
fn what_is_wrong_is_named() {
    let rows: [Spoil; 20] = [
        |at| fs::remove_file(at.join("config.json")).unwrap(),
        |at| fs::write(at.join("config.json"), "[]").unwrap(),
        |at| edit(at, "config.json", |json| json["model_type"] = json!("xlm-roberta")),
        |at| edit(at, "config.json", |json| json["position_embedding_type"] = json!("relative_key")),
        |at| edit(at, "config.json", |json| json["hidden_act"] = json!("relu")),
        |at| edit(at, "config.json", |json| json["num_attention_heads"] = json!(3)),
        |at| edit(at, "config.json", |json| json["num_hidden_layers"] = json!(0)),
        |at| edit(at, "config.json", |json| json["num_hidden_layers"] = json!(2)),
        |at| edit(at, "config.json", |json| json["vocab_size"] = json!(9)),
        |at| edit(at, "config.json", |json| json["layer_norm_eps"] = json!("small")),
        |at| edit(at, "modules.json", |json| json[1]["path"] = json!("../elsewhere")),
        |at| edit(at, "modules.json", |json| json[1]["type"] = json!("sentence_transformers.models.Dense")),
        |at| edit(at, "1_Pooling/config.json", |json| json["pooling_mode_mean_tokens"] = json!(true)),
        |at| edit(at, "1_Pooling/config.json", |json| json["word_embedding_dimension"] = json!(9)),
        |at| edit(at, "tokenizer.json", |json| json["model"]["type"] = json!("BPE")),
        |at| edit(at, "tokenizer.json", |json| json["pre_tokenizer"] = json!({"type": "Whitespace"})),
        |at| edit(at, "tokenizer.json", |json| json["model"]["vocab"] = json!({"a": 0})),
        |at| edit(at, "tokenizer.json", |json| json["model"]["vocab"] = json!({"a": -1})),
        |at| fs::write(at.join("model.safetensors"), b"short").unwrap(),
        |at| fs::remove_file(at.join("tokenizer.json")).unwrap(),
    ];
    let said: Vec<String> = rows
        .iter()
        .map(|spoil| {
            let folder = folder();
            spoil(folder.path());
            let refusal = open(folder.path()).map(drop).unwrap_err().to_string();
            refusal.replace(&folder.path().display().to_string(), "FOLDER")
        })
        .collect();
    expect![[r"
        `config.json` cannot be used: it is not in FOLDER
        `config.json` cannot be used: it is not a JSON object
        `model_type` of `xlm-roberta` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        `position_embedding_type` of `relative_key` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        the activation `relu` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        `config.json` cannot be used: 3 heads do not divide a width of 8
        `config.json` cannot be used: `num_hidden_layers` is not a whole number from 1 to 16777216
        `model.safetensors` cannot be used: it has no tensor `encoder.layer.1.attention.self.query.weight`
        `model.safetensors` cannot be used: `embeddings.word_embeddings.weight` has shape [8, 8], but the description asks for [9, 8]
        `config.json` cannot be used: `layer_norm_eps` is not a number from 0 to 1
        `modules.json` cannot be used: `../elsewhere` is not the name of a folder
        the module `Dense` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        pooling by pooling_mode_cls_token and pooling_mode_mean_tokens is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        `1_Pooling/config.json` cannot be used: its width is not that of the model, 8
        a tokenizer with `model` of `BPE` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        a tokenizer with `pre_tokenizer` of `Whitespace` is not supported; what is: BERT encoders with learned positions, in safetensors, with WordPiece tokens
        `tokenizer.json` cannot be used: its vocabulary has no `[CLS]`
        `tokenizer.json` cannot be used: a token's number is none
        `model.safetensors` cannot be used: it is damaged or cut off (header too small)
        `vocab.txt` cannot be used: it is not in FOLDER"]].assert_eq(&said.join("\n"));
}
