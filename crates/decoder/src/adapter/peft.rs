//! Reads an adapter in PEFT's layout: `adapter_config.json` beside `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use baton_kernels::RopeStyle;
use baton_kernels::lora::{LARGEST_RANK, LowRank, Site};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::config::Config;
use super::{AdapterError, AdapterWeights, DOWN, GATE_UP, OUTPUT, QKV, SITES, shapes};
use crate::architecture::interleaved;
use crate::gguf::Form;
use crate::{Architecture, Error};

const WEIGHTS: &str = AdapterFiles::WEIGHTS;
/// Bytes that a configuration may have.
const CONFIG_BYTES: u64 = 1 << 20;
/// Bytes that the weights may have beside the numbers themselves.
const HEADER_BYTES: u64 = 4 << 20;

/// Modules of a layer by the names that Transformers gives them: the site, and which of its parts they are.
const MODULES: [(&str, usize, Range<usize>); 12] = [
    ("self_attn.q_proj", QKV, 0..1),
    ("self_attn.k_proj", QKV, 1..2),
    ("self_attn.v_proj", QKV, 2..3),
    ("self_attn.qkv_proj", QKV, 0..3),
    ("self_attn.o_proj", OUTPUT, 0..1),
    ("self_attn.dense", OUTPUT, 0..1),
    ("mlp.gate_proj", GATE_UP, 0..1),
    ("mlp.up_proj", GATE_UP, 1..2),
    ("mlp.gate_up_proj", GATE_UP, 0..2),
    ("mlp.down_proj", DOWN, 0..1),
    ("mlp.fc1", GATE_UP, 0..1),
    ("mlp.fc2", DOWN, 0..1),
];

/// The contents of an adapter's two files, as PEFT writes them.
#[derive(Clone, Debug)]
pub struct AdapterFiles {
    /// `adapter_config.json`.
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`.
    pub weights: Vec<u8>,
}

/// The two matrices of a module.
#[derive(Default)]
struct Pair<'a> {
    down: Option<TensorView<'a>>,
    up: Option<TensorView<'a>>,
}

impl AdapterFiles {
    /// The name of the configuration in an adapter's folder.
    pub const CONFIG: &str = "adapter_config.json";
    /// The name of the weights in an adapter's folder.
    pub const WEIGHTS: &str = "adapter_model.safetensors";

    /// Reads an adapter's folder. What is larger than any adapter of the model is not read.
    ///
    /// # Errors
    /// A file cannot be read, or is too large.
    pub fn open(folder: &Path, architecture: &Architecture) -> Result<Self, Error> {
        let config = read(&folder.join(Self::CONFIG), CONFIG_BYTES)?;
        Ok(Self { config, weights: read(&folder.join(Self::WEIGHTS), most_bytes(architecture))? })
    }
}

impl AdapterWeights {
    /// Reads an adapter for a model from its files.
    ///
    /// # Errors
    /// A file is damaged, or the adapter does not fit the model or asks for what is not computed here; the error says
    /// which.
    pub fn read(files: &AdapterFiles, architecture: &Architecture) -> Result<Self, Error> {
        let config = Config::read(&files.config)?;
        let file = SafeTensors::deserialize(&files.weights).map_err(AdapterError::File)?;
        let pairs = pairs(&file, architecture)?;
        let known = |target: &str| MODULES.iter().any(|(name, ..)| ends(name, target));
        for target in config.targets() {
            if !known(target) {
                return Err(AdapterError::Unsupported(format!("an adapted `{target}`")).into());
            }
            if !pairs.keys().any(|(_, module)| ends(MODULES[*module].0, target)) {
                let what = format!("`target_modules` names `{target}`, but {WEIGHTS} has nothing for it");
                return Err(AdapterError::Inconsistent(what).into());
            }
        }
        if pairs.is_empty() {
            return Err(AdapterError::Inconsistent(format!("{WEIGHTS} has no tensors")).into());
        }
        let mut parts: BTreeMap<(usize, usize), LowRank> = BTreeMap::new();
        for ((layer, module), pair) in pairs {
            let (name, site, range) = &MODULES[module];
            let found = Module { name: format!("model.layers.{layer}.{name}"), site: *site, parts: range.clone() };
            for (part, low_rank) in range.clone().zip(found.read(&pair, &config, architecture)?) {
                if parts.insert((layer * SITES + site, part), low_rank).is_some() {
                    let what = format!("layer {layer} has two adapted modules for the same part of `{name}`");
                    return Err(AdapterError::Inconsistent(what).into());
                }
            }
        }
        let mut sites = Vec::with_capacity(architecture.layers * SITES);
        for number in 0..architecture.layers * SITES {
            let (inputs, widths) = shapes(architecture)[number % SITES].clone();
            let mut own = |part| parts.remove(&(number, part)).unwrap_or_else(LowRank::none);
            let all = widths.into_iter().enumerate().map(|(part, width)| (width, own(part))).collect();
            sites.push(Site::new(inputs, all)?);
        }
        Ok(Self { sites })
    }
}

/// A module of one layer.
struct Module {
    name: String,
    site: usize,
    parts: Range<usize>,
}

impl Module {
    /// The matrices of each of its parts; where it has several, they share A.
    fn read(&self, pair: &Pair<'_>, config: &Config, model: &Architecture) -> Result<Vec<LowRank>, AdapterError> {
        let Self { name, site, parts } = self;
        let (inputs, widths) = &shapes(model)[*site];
        let widths = widths.get(parts.clone()).unwrap_or_default();
        if widths.is_empty() || (matches!(*site, GATE_UP | DOWN) && model.variations.experts.is_some()) {
            return Err(AdapterError::Unsupported(format!("an adapted `{name}` of this model")));
        }
        let (Some(down), Some(up)) = (&pair.down, &pair.up) else {
            return Err(AdapterError::Inconsistent(format!("of `{name}` there is only one of two matrices")));
        };
        let rank = config.rank(name);
        let down = floats(down, &format!("{name}.lora_A.weight"), &[rank, *inputs])?;
        let up = floats(up, &format!("{name}.lora_B.weight"), &[widths.iter().sum(), rank])?;
        let mut rows = up.as_slice();
        let each = parts.clone().zip(widths).map(|(part, width)| {
            let (own, rest) = rows.split_at(width * rank);
            rows = rest;
            // A file in which neighbours are pairs has the rows of queries and keys in another order than the adapter.
            let neighbours = *site == QKV && part < 2 && model.rope.style == RopeStyle::Interleaved;
            let up = if neighbours { interleaved(own, model.heads.dim, rank) } else { own.to_vec() };
            LowRank { rank, down: down.clone(), up, scale: config.scale(name) }
        });
        Ok(each.collect())
    }
}

/// All tensors by layer and number of their module.
fn pairs<'a>(
    file: &SafeTensors<'a>,
    architecture: &Architecture,
) -> Result<BTreeMap<(usize, usize), Pair<'a>>, AdapterError> {
    let mut pairs: BTreeMap<_, Pair<'a>> = BTreeMap::new();
    let names: BTreeSet<_> = file.names().into_iter().collect();
    for name in names {
        let unknown = || AdapterError::Unsupported(format!("the tensor `{name}`"));
        let path = name.strip_prefix("base_model.model.").ok_or_else(unknown)?;
        let (layer, rest) = path
            .strip_prefix("model.layers.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(layer, rest)| Some((layer, layer.parse::<usize>().ok()?, rest)))
            // One name for each layer, so that no tensor takes another's place.
            .filter(|(text, layer, _)| layer.to_string() == *text)
            .map(|(_, layer, rest)| (layer, rest))
            .ok_or_else(unknown)?;
        if layer >= architecture.layers {
            let what = format!("`{name}` is of layer {layer}, but the model has {}", architecture.layers);
            return Err(AdapterError::Inconsistent(what));
        }
        let module = |end: &str| {
            let module = rest.strip_suffix(end)?;
            MODULES.iter().position(|(name, ..)| *name == module)
        };
        let tensor = file.tensor(name).map_err(AdapterError::File)?;
        if let Some(module) = module(".lora_A.weight") {
            pairs.entry((layer, module)).or_default().down = Some(tensor);
        } else if let Some(module) = module(".lora_B.weight") {
            pairs.entry((layer, module)).or_default().up = Some(tensor);
        } else {
            return Err(unknown());
        }
    }
    Ok(pairs)
}

/// The numbers of a tensor of this shape.
fn floats(tensor: &TensorView<'_>, name: &str, expected: &[usize]) -> Result<Vec<f32>, AdapterError> {
    if tensor.shape() != expected {
        let (name, found, expected) = (name.to_owned(), tensor.shape().to_vec(), expected.to_vec());
        return Err(AdapterError::Shape { name, found, expected });
    }
    let unsupported = || AdapterError::Unsupported(format!("the type {:?} of `{name}`", tensor.dtype()));
    let form = Form::of_safetensors(tensor.dtype());
    let values = form.and_then(|form| form.floats(tensor.data())).ok_or_else(unsupported)?;
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(AdapterError::NotFinite { name: name.to_owned() })
}

/// Whether `target` is the last words of a module's name.
fn ends(name: &str, target: &str) -> bool {
    let path = format!("model.layers.0.{name}");
    path.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The size of the largest adapter of a model: every projection at the largest rank in f32.
fn most_bytes(architecture: &Architecture) -> u64 {
    let layer: usize = shapes(architecture)
        .iter()
        .flat_map(|(inputs, widths)| widths.iter().map(move |width| inputs.saturating_add(*width)))
        .fold(0, usize::saturating_add);
    let numbers = layer.saturating_mul(architecture.layers).saturating_mul(LARGEST_RANK);
    HEADER_BYTES.saturating_add(numbers as u64 * size_of::<f32>() as u64)
}

/// A file's content, if it has at most so many bytes.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, AdapterError> {
    let failed = |source| AdapterError::Read { path: path.to_owned(), source };
    let large = |bytes| AdapterError::Large { path: path.to_owned(), bytes, most };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > most {
        return Err(large(bytes));
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut content)).map_err(failed)?;
    if content.len() as u64 > most { Err(large(content.len() as u64)) } else { Ok(content) }
}
