//! From a model's files, whichever layout they have, to one GGUF file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use crate::architecture::{Architecture, Rotation, interleaved};
use crate::gguf::write::{self, Contents};
use crate::gguf::{Form, Metadata, TensorInfo, Value};
use crate::recipe::rounded;
use crate::{Error, ModelFile, Recipe};

/// A tensor of the new file.
struct Planned<'a> {
    name: String,
    dims: Vec<usize>,
    form: Form,
    /// One after the other.
    parts: Vec<&'a TensorInfo>,
    /// Elements of a head, where the rows of queries or keys are to be put in the order that GGUF wants of the family.
    interleaved: Option<usize>,
}

impl ModelFile {
    /// Writes the model as one GGUF file that llama.cpp reads as well, with its matrices rounded as `recipe` says, or
    /// as they are. What `tokenizer` says goes before what the file says itself. `progress` is told bytes read and
    /// bytes in all.
    ///
    /// # Errors
    /// The model is not supported, a tensor cannot be rounded so, or writing fails.
    pub fn write_gguf(
        &self,
        tokenizer: Vec<(String, Value)>,
        recipe: Option<Recipe>,
        threads: usize,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), Error> {
        let architecture = Architecture::of(self)?;
        let mut metadata = self.described(&architecture);
        if let Some(recipe) = recipe {
            metadata.insert("general.file_type", Value::Unsigned(recipe.file_type().into()));
        }
        metadata.insert("general.quantization_version", Value::Unsigned(2));
        for (key, value) in tokenizer {
            metadata.insert(&key, value);
        }
        let planned = self.plan(&architecture, recipe);
        let tensors = planned.iter().map(|one| (one.name.as_str(), &one.dims[..], one.form)).collect();
        Contents { metadata: &metadata, tensors }.write(out).map_err(Error::Write)?;
        let total = planned.iter().flat_map(|one| &one.parts).map(|part| self.bytes(part).len()).sum();
        let mut done = 0;
        for one in &planned {
            let mut bytes = Vec::with_capacity(write::size(&one.dims, one.form));
            for part in &one.parts {
                bytes.extend(self.converted(one, part, threads)?);
                done += self.bytes(part).len();
                progress(done, total);
            }
            write::tensor(out, &bytes).map_err(Error::Write)?;
        }
        out.flush().map_err(Error::Write)
    }

    /// What the new file says beside its tensors. What GGUF's readers know of a family by themselves is left out where it is
    /// usual: some refuse it.
    fn described(&self, architecture: &Architecture) -> Metadata {
        let mut metadata = Metadata::default();
        let family = &architecture.family;
        let kinds = &architecture.variations.layers;
        let usual_windows = match family.as_str() {
            "gemma2" => kinds.iter().enumerate().all(|(index, kind)| kind.window.is_some() == index.is_multiple_of(2)),
            "gemma3" => kinds.iter().enumerate().all(|(index, kind)| kind.window.is_some() == (index % 6 != 5)),
            _ => kinds.iter().all(|kind| kind.window.is_some()) || kinds.iter().all(|kind| kind.window.is_none()),
        };
        let usual_turns =
            kinds.iter().enumerate().all(|(index, kind)| (kind.rotation == Rotation::Absent) == (index % 4 == 3));
        for (key, value) in self.metadata().iter() {
            let part = key.strip_prefix(family.as_str()).and_then(|key| key.strip_prefix('.'));
            let usual = match part {
                Some("attention.sliding_window_pattern") => usual_windows,
                Some("rope.layer_pattern") => usual_turns,
                _ => key == "general.alignment",
            };
            if !usual {
                metadata.insert(key, value.clone());
            }
        }
        // Some readers derive it from the width unless it is said.
        let dim = Value::Unsigned(architecture.heads.dim as u64);
        metadata.insert(&format!("{family}.attention.value_length"), dim);
        metadata.insert("general.type", Value::Text("model".to_owned()));
        metadata
    }

    /// All tensors of the new file, in the order of their names. Experts that are a tensor each become one.
    fn plan(&self, architecture: &Architecture, recipe: Option<Recipe>) -> Vec<Planned<'_>> {
        let heads = architecture.heads;
        let permuted = self.is_folder() && matches!(architecture.family.as_str(), "llama" | "smollm3");
        let tensors: BTreeMap<_, _> = self.tensors().collect();
        let mut done = BTreeSet::new();
        let mut planned = Vec::new();
        for (&name, &info) in &tensors {
            let (name, dims, parts) = match merged(name) {
                None => (name.to_owned(), info.dims.clone(), vec![info]),
                Some((whole, front, back)) => {
                    if !done.insert(whole.clone()) {
                        continue;
                    }
                    let count = architecture.variations.experts.map_or(0, |experts| experts.count);
                    let own = |expert| tensors.get(format!("{front}.{expert}.{back}").as_str()).copied();
                    let parts: Vec<_> = (0..count).filter_map(own).collect();
                    (whole, [vec![parts.len()], info.dims.clone()].concat(), parts)
                }
            };
            let is_head = self.is_head(&name);
            let form = recipe.map_or(info.form, |recipe| recipe.form(&name, &dims, info.form, is_head));
            let turned = [".attn_q.", ".attn_k."].iter().any(|part| name.contains(part));
            let interleaved = (permuted && turned).then_some(heads.dim);
            planned.push(Planned { name, dims, form, parts, interleaved });
        }
        planned
    }

    /// The bytes of one part of a tensor, in their order and form.
    fn converted(&self, one: &Planned<'_>, part: &TensorInfo, threads: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.bytes(part);
        let rows = part.dims.first().copied().unwrap_or(1).max(1);
        let ordered = match one.interleaved {
            Some(dim) => interleaved(bytes, dim, bytes.len() / rows),
            None => bytes.to_vec(),
        };
        if one.form == part.form {
            return Ok(ordered);
        }
        let floats = part.form.floats(&ordered);
        let floats = floats.ok_or_else(|| Error::Unsupported(format!("rounding from {} again", part.form.name)))?;
        rounded(&floats, part.dims.last().copied().unwrap_or(1), one.form, threads)
    }
}

/// The name of the tensor that holds all experts of a layer, and what stands before and behind the expert's number in `name`;
/// absent if `name` is not that of one expert.
fn merged(name: &str) -> Option<(String, &str, &str)> {
    let (path, back) = name.rsplit_once('.')?;
    let (front, expert) = path.rsplit_once('.')?;
    let is_expert = front.starts_with("blk.") && expert.parse::<usize>().is_ok() && front.contains("ffn_");
    is_expert.then(|| (format!("{front}_exps.{back}"), front, back))
}
