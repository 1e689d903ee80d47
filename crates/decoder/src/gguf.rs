//! A bounded reader of GGUF files, versions 2 and 3.
//!
//! Every length in the file is checked against the bytes that are left before anything is allocated for it, so a
//! hostile file costs no more memory than its own size. The format is described in ggml's `docs/gguf.md`.

mod cursor;
mod form;
mod header;
mod metadata;
mod tokenizer;

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::Error;
use header::Header;

pub use form::Form;
pub use header::TensorInfo;
pub use metadata::{Metadata, Scalars, Texts, Value};
pub use tokenizer::TokenizerMetadata;

/// Bytes hashed between two reports of progress.
const DIGEST_CHUNK: usize = 4 << 20;

/// An open GGUF file: checked header, mapped tensors.
#[derive(Debug)]
pub struct GgufFile {
    header: Header,
    map: Mmap,
}

impl GgufFile {
    /// Maps a file and checks its header.
    ///
    /// The file must not be changed or shortened while it is open, as with a program that is running.
    ///
    /// # Errors
    /// The file cannot be read, is not GGUF of version 2 or 3, or its header does not fit its size.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        // A pipe would block for ever, a device may be endless.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("it is not a regular file")));
        }
        let file = File::open(path).map_err(failed)?;
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        // SAFETY: the map is read-only and private; that nobody shortens the file meanwhile is part of this
        // function's contract, and a breach of it is a fault signal, not a wrong read.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { header: Header::parse(&map)?, map })
    }

    /// What the file says about the model.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// All tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.header.tensors.iter().map(|(name, info)| (name.as_str(), info))
    }

    /// One tensor, if the file has it.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.get(name)
    }

    /// The stored bytes of one of this file's tensors, as many as `info.form` and `info.dims` ask for.
    ///
    /// # Panics
    /// `info` comes from another file that is longer than this one.
    pub fn bytes(&self, info: &TensorInfo) -> &[u8] {
        &self.map[info.range.clone()]
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> usize {
        self.map.len()
    }

    /// What the file says about its tokenizer.
    ///
    /// # Errors
    /// A field is missing, has another type than the format says, or contradicts another.
    pub fn tokenizer(&self) -> Result<TokenizerMetadata, Error> {
        TokenizerMetadata::read(self.metadata())
    }

    /// BLAKE3 of the whole file. Reads all of it: the caller may want to keep the result.
    ///
    /// `progress` is told bytes done and bytes in all.
    pub fn digest(&self, progress: &mut dyn FnMut(usize, usize)) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut done = 0;
        for chunk in self.map.chunks(DIGEST_CHUNK) {
            hasher.update(chunk);
            done += chunk.len();
            progress(done, self.size());
        }
        *hasher.finalize().as_bytes()
    }
}
