//! A folder in Hugging Face's layout: `config.json` beside weights in safetensors, in one file or several.
//!
//! What is read is put in GGUF's words, so that there is one way from a model's description to a decoder.

mod config;
mod families;
mod fields;
mod names;
mod stretch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Metadata as Header, TensorInfo as Stored};
use serde_json::Value as Json;

use self::config::Config;
use crate::Error;
use crate::gguf::{Form, Metadata, TensorInfo};
use crate::model_file::{Part, map};

/// The description's name.
const CONFIG: &str = "config.json";
/// The weights' name where there is one file of them.
const WEIGHTS: &str = "model.safetensors";
/// The list of files where there are several.
const INDEX: &str = "model.safetensors.index.json";
/// Bytes that a description or a list may have.
const TEXT_BYTES: u64 = 64 << 20;
/// Files of weights.
const MOST_FILES: usize = 1024;

/// A model as its files have it.
pub(crate) struct Checkpoint {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
    pub(crate) parts: Vec<Part>,
}

/// Something about one of a checkpoint's files.
fn wrong(file: &str, what: impl Into<String>) -> Error {
    Error::Checkpoint { file: file.to_owned(), what: what.into() }
}

/// Reads a small file as a JSON object.
fn object(folder: &Path, name: &str) -> Result<serde_json::Map<String, Json>, Error> {
    let path = folder.join(name);
    let failed = |source| Error::Open { path: path.clone(), source };
    let mut text = Vec::new();
    fs::File::open(&path).map_err(failed)?.take(TEXT_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > TEXT_BYTES {
        return Err(wrong(name, format!("it has more than {TEXT_BYTES} bytes")));
    }
    match serde_json::from_slice(&text) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(_) => Err(wrong(name, "it is not a JSON object")),
        Err(error) => Err(wrong(name, error.to_string())),
    }
}

impl Checkpoint {
    /// Maps a folder's weights and checks that description, list and headers fit each other.
    ///
    /// # Errors
    /// A file is missing or damaged, or the description says what cannot be.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let description = object(folder, CONFIG)?;
        let mut config = Config::read(&description)?;
        let mut checkpoint = Self {
            metadata: std::mem::take(&mut config.metadata),
            tensors: BTreeMap::new(),
            parts: vec![Part::Owned(serde_json::to_vec(&description).unwrap_or_default())],
        };
        for file in files(folder)? {
            checkpoint.add(folder, &file, &config)?;
        }
        for (name, divisors) in &config.divisors {
            checkpoint.put(name, divisors)?;
        }
        if config.norms_less_one {
            checkpoint.complete_norms()?;
        }
        Ok(checkpoint)
    }

    /// Adds to all weights of norms the one that is left out of them.
    fn complete_norms(&mut self) -> Result<(), Error> {
        let norms = self.tensors.iter().filter(|(name, info)| name.ends_with("norm.weight") && info.dims.len() == 1);
        let norms: Vec<_> = norms.map(|(name, info)| (name.clone(), info.clone())).collect();
        for (name, info) in norms {
            let whole = info.form.floats(&self.parts[info.part][info.range.clone()]);
            let whole = whole.ok_or_else(|| Error::Unsupported(format!("the form of the tensor `{name}`")))?;
            self.put(&name, &whole.into_iter().map(|weight| weight + 1.0).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Adds a tensor that no file has as it is wanted.
    fn put(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let info =
            TensorInfo { dims: vec![values.len()], form: form("F32")?, part: self.parts.len(), range: 0..bytes.len() };
        self.tensors.insert(name.to_owned(), info);
        self.parts.push(Part::Owned(bytes));
        Ok(())
    }

    /// Adds one file of weights.
    fn add(&mut self, folder: &Path, file: &str, config: &Config) -> Result<(), Error> {
        let path = folder.join(file);
        let part = map(&path)?;
        let damaged = |error: safetensors::SafeTensorError| wrong(file, format!("it is damaged or cut off ({error})"));
        let (size, header): (usize, Header) = SafeTensors::read_metadata(&part).map_err(damaged)?;
        // The header's length stands before it in 8 bytes.
        let start = 8 + size;
        // In order, so that of several faults the same is named each time.
        let stored: BTreeMap<_, _> = header.tensors().into_iter().collect();
        for (name, stored) in stored {
            // A head that is the embedding is sometimes stored again.
            let text = if config.also_sees { names::of_text(&name) } else { Some(name.clone()) };
            let Some(text) = text.filter(|text| !names::means_nothing(text)) else { continue };
            if config.tied_head && text == "lm_head.weight" {
                continue;
            }
            let info = self.tensor(&name, stored, file, start)?;
            let known = names::in_gguf(&text, config.update_norms).unwrap_or_else(|| name.clone());
            if self.tensors.insert(known, info).is_some() {
                return Err(wrong(file, format!("the tensor `{name}` stands in two files")));
            }
        }
        self.parts.push(Part::Mapped(part));
        Ok(())
    }

    fn tensor(&self, name: &str, stored: &Stored, file: &str, start: usize) -> Result<TensorInfo, Error> {
        let form = Form::of_safetensors(stored.dtype).ok_or_else(|| {
            Error::Unsupported(format!("the form {:?} of the tensor `{name}` in `{file}`", stored.dtype))
        })?;
        let (from, to) = stored.data_offsets;
        Ok(TensorInfo { dims: stored.shape.clone(), form, part: self.parts.len(), range: start + from..start + to })
    }
}

fn form(name: &str) -> Result<Form, Error> {
    Form::named(name).ok_or_else(|| Error::Unsupported(format!("the form {name}")))
}

/// The files that hold the weights, in the order of their names.
fn files(folder: &Path) -> Result<Vec<String>, Error> {
    if !folder.join(INDEX).is_file() {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    let index = object(folder, INDEX)?;
    let Some(Json::Object(places)) = index.get("weight_map") else {
        return Err(wrong(INDEX, "it has no `weight_map`"));
    };
    let mut files = BTreeSet::new();
    for place in places.values() {
        let name = place.as_str().ok_or_else(|| wrong(INDEX, "a tensor's file is not a string"))?;
        // A list must not reach outside of its folder.
        if Path::new(name).file_name().is_none_or(|plain| plain != name) {
            return Err(wrong(INDEX, format!("`{}` is not a file name", name.chars().take(80).collect::<String>())));
        }
        files.insert(name.to_owned());
    }
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(wrong(INDEX, format!("it names {} files, not 1 to {MOST_FILES}", files.len())));
    }
    Ok(files.into_iter().collect())
}
