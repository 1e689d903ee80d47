//! Whether a model's file is the one that is described.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::progress::Progress;

/// What a file has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What it belongs to, for people.
    pub(crate) id: &'a str,
    /// In bytes.
    pub(crate) size: u64,
    /// 64 lowercase hex digits.
    pub(crate) sha256: &'a str,
}

/// Checks size and SHA-256 of the file, with a progress bar.
pub(crate) fn verify(path: &Path, wanted: Wanted<'_>) -> Result<()> {
    let Wanted { id, size: whole, sha256 } = wanted;
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = file.metadata()?.len();
    if size != whole {
        bail!("{} is {size} bytes long, but `{id}` has {whole}", path.display());
    }
    let progress = Progress::bytes("checking", size, 0);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        progress.advance(read);
    }
    progress.finish();
    let digest = hex(&hasher.finalize());
    if digest != sha256 {
        bail!("{} has the SHA-256 {digest}, but `{id}` has {sha256}", path.display());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
