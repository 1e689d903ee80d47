//! A model's files: what is said about it, and its tensors, mapped.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::checkpoint::Checkpoint;
use crate::gguf::{Form, Header, Metadata, TensorInfo, TokenizerMetadata};
use crate::{Error, Recipe};

/// Bytes hashed between two reports of progress.
const DIGEST_CHUNK: usize = 4 << 20;

/// An open model: a GGUF file, or a folder in Hugging Face's layout. Checked headers, mapped tensors.
///
/// A folder is described in the words of GGUF: its tensors and fields have the names that a GGUF file of the same model
/// would give them.
#[derive(Debug)]
pub struct ModelFile {
    metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
    parts: Vec<Part>,
    folder: bool,
    recipe: Option<Recipe>,
}

/// One of a model's files.
#[derive(Debug)]
pub(crate) enum Part {
    /// As it lies there.
    Mapped(Mmap),
    /// What was made of it.
    Owned(Vec<u8>),
}

impl Deref for Part {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Maps a file.
///
/// # Errors
/// It cannot be read, or is no regular file.
pub(crate) fn map(path: &Path) -> Result<Mmap, Error> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    // A pipe would block for ever, a device may be endless.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    #[expect(unsafe_code, reason = "mapping a file has no safe form")]
    // SAFETY: the map is read-only and private; that nobody shortens the file meanwhile is part of the contract of those
    // who open models, and a breach of it is a fault signal, not a wrong read.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

impl ModelFile {
    /// Maps a model's files and checks their headers.
    ///
    /// The files must not be changed or shortened while they are open, as with a program that is running.
    ///
    /// # Errors
    /// A file cannot be read, is neither GGUF of version 2 or 3 nor a folder with `config.json` and safetensors, or its
    /// header does not fit its size.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let Checkpoint { metadata, tensors, parts } = Checkpoint::open(path)?;
            return Ok(Self { metadata, tensors, parts, folder: true, recipe: None });
        }
        let map = map(path)?;
        let Header { metadata, tensors } = Header::parse(&map)?;
        Ok(Self { metadata, tensors, parts: vec![Part::Mapped(map)], folder: false, recipe: None })
    }

    /// Whether it is a folder: its tokenizer is in files of its own, and queries and keys lie as they were trained.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// The same model, whose matrices are rounded as `recipe` says while they are loaded: another model, with another digest.
    #[must_use]
    pub fn rounded(self, recipe: Recipe) -> Self {
        Self { recipe: Some(recipe), ..self }
    }

    /// The form in which a tensor is computed with, unless it is widened: its own, or what it is rounded to.
    pub fn loaded_form(&self, name: &str, info: &TensorInfo) -> Form {
        self.recipe.map_or(info.form, |recipe| recipe.form(name, &info.dims, info.form, self.is_head(name)))
    }

    /// Whether logits are made with the tensor of this name: the head, or the embedding that stands in for it.
    pub(crate) fn is_head(&self, name: &str) -> bool {
        name == "output.weight" || (name == "token_embd.weight" && self.tensor("output.weight").is_none())
    }

    /// What the file says about the model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// One tensor, if the file has it.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The stored bytes of one of this file's tensors, as many as `info.form` and `info.dims` ask for.
    ///
    /// # Panics
    /// `info` comes from another file that is longer than this one.
    pub fn bytes(&self, info: &TensorInfo) -> &[u8] {
        &self.parts[info.part][info.range.clone()]
    }

    /// Size of all files in bytes.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// What the file says about its tokenizer.
    ///
    /// # Errors
    /// A field is missing, has another type than the format says, or contradicts another.
    pub fn tokenizer(&self) -> Result<TokenizerMetadata, Error> {
        TokenizerMetadata::read(self.metadata())
    }

    /// BLAKE3 of the whole file and of what it is rounded to, or of the description and the weights of a folder, each
    /// after its length. Reads all of it: the caller may want to keep the result.
    ///
    /// `progress` is told bytes done and bytes in all.
    pub fn digest(&self, progress: &mut dyn FnMut(usize, usize)) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut done = 0;
        for part in &self.parts {
            if self.folder {
                hasher.update(&(part.len() as u64).to_le_bytes());
            }
            for chunk in part.chunks(DIGEST_CHUNK) {
                hasher.update(chunk);
                done += chunk.len();
                progress(done, self.size());
            }
        }
        if let Some(recipe) = self.recipe {
            hasher.update(format!("rounded to {recipe}").as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}
