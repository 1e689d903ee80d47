//! Whether a model file is the one that is described.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::Known;
use crate::progress::Progress;

/// Checks size and SHA-256 of the file, with a progress bar.
pub(crate) fn verify(path: &Path, known: &Known) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size = file.metadata()?.len();
    if size != known.size {
        bail!("{} is {size} bytes long, but `{}` has {}", path.display(), known.id, known.size);
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
    if digest != known.sha256 {
        bail!("{} has the SHA-256 {digest}, but `{}` has {}", path.display(), known.id, known.sha256);
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
