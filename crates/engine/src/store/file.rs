//! One stored prefix: a header, the payload, and a BLAKE3 checksum over both.
//!
//! | bytes | what (numbers little endian) |
//! | --- | --- |
//! | 8 | `BATONKV` and a line end |
//! | 4 | version of this layout |
//! | 32 | key |
//! | 20 | tokens, layers, key heads, elements of a head, tokens of a block |
//! | 4 | type of an element |
//! | 8 | length of the payload |
//! | … | payload: layer by layer, of each all blocks, of each keys and then values |
//! | 32 | checksum |

use std::fs::{self, File, FileTimes};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use baton_contract::{BLOCK_SIZE, Digest, Prefix};
use baton_decoder::CacheForm;

const MAGIC: &[u8; 8] = b"BATONKV\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 76;
const CHECKSUM_BYTES: usize = 32;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Why a stored prefix is not used.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// Something else lies in its place.
    #[error("it is not a stored prefix")]
    Foreign,
    /// It was written by another version of Baton.
    #[error("it has version {0} of the format, and this build reads {VERSION}")]
    Version(u32),
    /// It was made from something else.
    #[error("it is another prefix's")]
    OtherKey,
    /// Its beginning contradicts its name.
    #[error("its header is damaged")]
    Header,
    /// It is too short or too long.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// Bytes that it has.
        found: u64,
        /// Bytes that it should have.
        expected: u64,
    },
    /// Something in it has changed since it was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// There is no host memory for it.
    #[error("there is no host memory for it")]
    Memory(#[source] baton_decoder::Error),
}

/// What a file begins with; everything in it follows from what the file is to hold.
#[derive(Clone, Debug)]
pub(super) struct Header {
    bytes: [u8; HEADER_BYTES],
    payload_bytes: usize,
}

impl Header {
    pub(super) fn new(key: Digest, prefix: &Prefix, form: &CacheForm) -> Self {
        let layer_bytes = form.layer_bytes(prefix.tokens.len().div_ceil(BLOCK_SIZE));
        let numbers = [prefix.tokens.len(), form.layers, form.kv_heads, form.head_dim, BLOCK_SIZE];
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            let (to, after) = std::mem::take(&mut rest).split_at_mut(field.len());
            to.copy_from_slice(field);
            rest = after;
        };
        put(MAGIC);
        put(&VERSION.to_le_bytes());
        put(key.as_bytes());
        for number in numbers {
            put(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        put(&element(form));
        let payload_bytes = form.layers * layer_bytes;
        put(&(payload_bytes as u64).to_le_bytes());
        Self { bytes, payload_bytes }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Size of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        (HEADER_BYTES + self.payload_bytes + CHECKSUM_BYTES) as u64
    }

    /// Compares what a file begins with, part by part, so that the reason can be named.
    fn check(&self, found: &[u8; HEADER_BYTES]) -> Result<(), Damage> {
        let differs = |from: usize, to: usize| found[from..to] != self.bytes[from..to];
        if differs(0, 8) {
            return Err(Damage::Foreign);
        }
        if differs(8, 12) {
            return Err(Damage::Version(u32::from_le_bytes([found[8], found[9], found[10], found[11]])));
        }
        if differs(12, 44) {
            return Err(Damage::OtherKey);
        }
        if differs(44, HEADER_BYTES) { Err(Damage::Header) } else { Ok(()) }
    }
}

/// The name of the type, cut or filled to four bytes.
fn element(form: &CacheForm) -> [u8; 4] {
    let mut name = [0; 4];
    for (to, from) in name.iter_mut().zip(form.dtype.as_str().bytes()) {
        *to = from;
    }
    name
}

/// Reads a file's payload into `to`, which is as long, and marks the file as used at `now`. False if it is not there.
pub(super) fn read(path: &Path, header: &Header, now: SystemTime, to: &mut [u8]) -> Result<bool, Damage> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
        // A pipe would block for ever.
        Ok(metadata) if !metadata.is_file() => return Err(Damage::Foreign),
        Ok(_) => {}
    }
    let mut file = match File::open(path) {
        // Another process has just deleted it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let (found, expected) = (file.metadata()?.len(), header.file_bytes());
    let mut start = [0; HEADER_BYTES];
    if found >= HEADER_BYTES as u64 {
        file.read_exact(&mut start)?;
        header.check(&start)?;
    }
    if found != expected {
        return Err(Damage::Length { found, expected });
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start);
    // In pieces that are still in the processor's caches when they are hashed.
    for piece in to.chunks_mut(PIECE) {
        file.read_exact(piece)?;
        hasher.update(piece);
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    file.read_exact(&mut checksum)?;
    if hasher.finalize() != blake3::Hash::from_bytes(checksum) {
        return Err(Damage::Checksum);
    }
    // On a folder that may only be read the order of use is lost, and nothing else.
    let _ = file.set_times(FileTimes::new().set_modified(now));
    Ok(true)
}

/// Writes header, payload and checksum.
pub(super) fn write(to: &mut impl Write, header: &Header, payload: &[u8]) -> io::Result<()> {
    let checksum = blake3::Hasher::new().update(&header.bytes).update(payload).finalize();
    to.write_all(&header.bytes)?;
    to.write_all(payload)?;
    to.write_all(checksum.as_bytes())
}
