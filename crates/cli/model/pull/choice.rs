//! Which files of a repository make a model.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::is_gguf;

/// What a model is read from beside its weights, where it is there.
const TEXTS: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    // Of models that embed texts.
    "modules.json",
    "sentence_bert_config.json",
    "vocab.txt",
];
const CONFIG: &str = "config.json";
/// What texts are cut into tokens by: the second one in models that embed.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];
const MODULES: &str = "modules.json";
const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// How files of weights end that can run code while they are read.
const PICKLES: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Inside the repository.
    pub(super) path: String,
    /// In bytes.
    pub(super) size: u64,
    /// 64 lowercase hex digits, where the hub tells them.
    pub(super) sha256: Option<String>,
}

/// What makes the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// These files, in a folder of their own. If the index is among them, it names the files of weights.
    Folder(Vec<Entry>),
    /// One file in GGUF.
    Gguf(Entry),
}

/// An entry of the hub's answer; what else it says is of no use here.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Reads one page of the hub's list of files.
pub(super) fn read_list(text: &str) -> Result<Vec<Entry>> {
    let listed: Vec<Listed> = serde_json::from_str(text).context("the hub's list of files cannot be read")?;
    let files = listed.into_iter().filter(|entry| entry.kind == "file");
    let entry = |Listed { path, size, lfs, .. }: Listed| {
        let Some(Lfs { oid, size }) = lfs else { return Ok(Entry { path, size, sha256: None }) };
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if oid.len() != 64 || !oid.bytes().all(hex) {
            bail!("the hub's digest of {path} is none: {oid:?}");
        }
        Ok(Entry { path, size, sha256: Some(oid) })
    };
    files.map(entry).collect()
}

/// What of these files is wanted: `file` if that is named, else the folder in safetensors, else the only file in GGUF.
pub(super) fn choose(files: &[Entry], file: Option<&str>) -> Result<Choice> {
    let find = |path: &str| files.iter().find(|entry| entry.path == path).cloned();
    let ggufs: Vec<&Entry> = files.iter().filter(|entry| is_gguf(&entry.path) && !is_part(&entry.path)).collect();
    let listed = |entries: &[&Entry]| entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(file) = file {
        if !is_gguf(file) {
            bail!("{file} is no file in GGUF\nhint: a folder in safetensors is pulled without --file");
        }
        if is_part(file) {
            bail!("{file} is one of several parts of a model, and only models in one file are read in GGUF");
        }
        return find(file).map(Choice::Gguf).with_context(|| match &ggufs[..] {
            [] => format!("it has no {file}, and nothing in GGUF"),
            some => format!("it has no {file}\nhint: it has {}", listed(some)),
        });
    }
    let weights = find(WEIGHTS).or_else(|| find(INDEX));
    match (weights, find(CONFIG), &ggufs[..]) {
        (Some(_), Some(_), _) if TOKENIZERS.iter().all(|name| find(name).is_none()) => bail!(
            "it has no tokenizer.json, by which texts are cut into tokens\n\
             hint: look for a repository of the same model that has one"
        ),
        (Some(weights), Some(_), _) => {
            let is_module = |path: &str| find(MODULES).is_some() && is_config_of_module(path);
            let texts = files.iter().filter(|entry| TEXTS.contains(&entry.path.as_str()) || is_module(&entry.path));
            Ok(Choice::Folder(texts.cloned().chain([weights]).collect()))
        }
        (_, _, [one]) => Ok(Choice::Gguf((*one).clone())),
        (_, _, [_, _, ..]) => {
            bail!("it has several models in GGUF\nhint: name one with --file: {}", listed(&ggufs))
        }
        (Some(_), None, []) => bail!("it has weights, but no {CONFIG}, which says what they are of"),
        (None, _, []) => Err(without_weights(files)),
    }
}

/// Why a repository has no weights that can be read.
fn without_weights(files: &[Entry]) -> anyhow::Error {
    let is_pickle = |entry: &&Entry| PICKLES.iter().any(|ending| entry.path.ends_with(ending));
    if let Some(pickle) = files.iter().find(is_pickle) {
        return anyhow::anyhow!(
            "its weights are pickles alone ({}), which can run any code while they are read, and are not pulled\n\
             hint: look for a repository of the same model in safetensors or GGUF",
            pickle.path
        );
    }
    if files.iter().any(|entry| is_gguf(&entry.path)) {
        return anyhow::anyhow!(
            "its models in GGUF are in several parts each, and only models in one file are read in GGUF"
        );
    }
    if files.iter().any(|entry| entry.path == "adapter_model.safetensors") {
        return anyhow::anyhow!(
            "it has a LoRA adapter and no model\nhint: put the adapter into a pack's adapter/ folder"
        );
    }
    anyhow::anyhow!("it has no {WEIGHTS}, no {INDEX} and no file in GGUF")
}

/// Whether a file in GGUF is a part like `m-00001-of-00003.gguf`.
fn is_part(path: &str) -> bool {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    path.strip_suffix(".gguf").and_then(|name| name.rsplit_once("-of-")).is_some_and(|(before, all)| {
        is_number(all) && before.rsplit_once('-').is_some_and(|(_, number)| is_number(number))
    })
}

/// Whether a path is one like `1_Pooling/config.json`.
fn is_config_of_module(path: &str) -> bool {
    path.strip_suffix("/config.json").and_then(|folder| folder.split_once('_')).is_some_and(|(number, name)| {
        number.parse::<u8>().is_ok() && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// The files of weights that an index names.
pub(super) fn shards(index: &str, files: &[Entry]) -> Result<Vec<Entry>> {
    let index: Map<String, Value> = serde_json::from_str(index).with_context(|| format!("{INDEX} is damaged"))?;
    let places = index.get("weight_map").and_then(Value::as_object).filter(|places| !places.is_empty());
    let places = places.with_context(|| format!("{INDEX} names no files"))?;
    let names: BTreeSet<&str> = places.values().filter_map(Value::as_str).collect();
    let find = |name: &str| {
        let found =
            files.iter().find(|entry| entry.path == name && name.ends_with(".safetensors") && !name.contains('/'));
        found.cloned().with_context(|| format!("{INDEX} names {name:?}, which is no file of weights beside it"))
    };
    names.into_iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn files(paths: &[&str]) -> Vec<Entry> {
        let entry = |path: &&str| Entry { path: (*path).to_owned(), size: 1, sha256: None };
        paths.iter().map(entry).collect()
    }

    #[test]
    fn what_makes_a_model_is_chosen_and_nothing_else() {
        let told = |paths: &[&str], file| match choose(&files(paths), file) {
            Ok(Choice::Folder(files)) => files.into_iter().map(|entry| entry.path).collect::<Vec<_>>().join(" "),
            Ok(Choice::Gguf(file)) => format!("gguf {}", file.path),
            Err(error) => format!("error: {error}"),
        };
        let text = ["config.json", "tokenizer.json", "README.md", "onnx/model.onnx", "1_Pooling/config.json"];
        let with = |more: &[&'static str]| [&text[..], more].concat();
        let rows = [
            told(&with(&["model.safetensors", "pytorch_model.bin", "m-q4.gguf"]), None),
            told(&with(&["model.safetensors", "m-q4.gguf"]), Some("m-q4.gguf")),
            told(&with(&["model.safetensors", "modules.json", "vocab.txt", "2_x/../config.json"]), None),
            told(&with(&["model.safetensors.index.json", "model-00001-of-00002.safetensors"]), None),
            told(&with(&["pytorch_model.bin", "tf_model.h5"]), None),
            told(&["config.json", "m.gguf"], None),
            told(&["a.gguf", "b.gguf"], None),
            told(&["a.gguf", "b.gguf"], Some("c.gguf")),
            told(&["model.safetensors"], None),
            told(&["model.safetensors"], Some("model.safetensors")),
            told(&["adapter_config.json", "adapter_model.safetensors"], None),
            told(&["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"], None),
            told(&["a-00001-of-00002.gguf"], Some("a-00001-of-00002.gguf")),
            told(&["a-00001-of-00002.gguf", "one-of-a-kind.gguf"], None),
            told(&["config.json", "model.safetensors", "tokenizer.model"], None),
            told(&[], None),
            told(&[], Some("a.gguf")),
        ];
        expect![[r"
            config.json tokenizer.json model.safetensors
            gguf m-q4.gguf
            config.json tokenizer.json 1_Pooling/config.json modules.json vocab.txt model.safetensors
            config.json tokenizer.json model.safetensors.index.json
            error: its weights are pickles alone (pytorch_model.bin), which can run any code while they are read, and are not pulled
            hint: look for a repository of the same model in safetensors or GGUF
            gguf m.gguf
            error: it has several models in GGUF
            hint: name one with --file: a.gguf, b.gguf
            error: it has no c.gguf
            hint: it has a.gguf, b.gguf
            error: it has weights, but no config.json, which says what they are of
            error: model.safetensors is no file in GGUF
            hint: a folder in safetensors is pulled without --file
            error: it has a LoRA adapter and no model
            hint: put the adapter into a pack's adapter/ folder
            error: its models in GGUF are in several parts each, and only models in one file are read in GGUF
            error: a-00001-of-00002.gguf is one of several parts of a model, and only models in one file are read in GGUF
            gguf one-of-a-kind.gguf
            error: it has no tokenizer.json, by which texts are cut into tokens
            hint: look for a repository of the same model that has one
            error: it has no model.safetensors, no model.safetensors.index.json and no file in GGUF
            error: it has no a.gguf, and nothing in GGUF"]].assert_eq(&rows.join("\n"));
    }

    #[test]
    fn an_index_names_files_beside_it_only() {
        let files = files(&["a.safetensors", "b.safetensors", "deep/c.safetensors", "x.bin"]);
        let index = |names: &[&str]| {
            let places: Map<String, Value> =
                names.iter().enumerate().map(|(place, name)| (format!("w{place}"), Value::from(*name))).collect();
            serde_json::json!({ "weight_map": places }).to_string()
        };
        let found = shards(&index(&["b.safetensors", "a.safetensors", "b.safetensors"]), &files).unwrap();
        assert_eq!(found, files[..2]);
        for bad in [&["deep/c.safetensors"][..], &["x.bin"], &["c.safetensors"], &["../a.safetensors"], &[]] {
            assert!(shards(&index(bad), &files).is_err(), "{bad:?}");
        }
        assert!(shards("{", &files).is_err() && shards("{}", &files).is_err());
    }

    #[test]
    fn the_hubs_list_is_read() {
        let digest = "a".repeat(64);
        let text = format!(
            r#"[{{"type": "directory", "path": "onnx"}}, {{"type": "file", "path": "config.json", "size": 7, "oid": "x"}},
             {{"type": "file", "path": "m.safetensors", "size": 9, "lfs": {{"oid": "{digest}", "size": 8, "pointerSize": 1}}}}]"#
        );
        let entry = |path: &str, size, sha256| Entry { path: path.to_owned(), size, sha256 };
        let expected = [entry("config.json", 7, None), entry("m.safetensors", 8, Some(digest.clone()))];
        assert_eq!(read_list(&text).unwrap(), expected);
        assert!(read_list(&text.replace(&digest, "zz")).is_err() && read_list("{}").is_err());
    }
}
