//! The key ring on disk: `keys.toml` and the installation's secret, both readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use baton_authority::{InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, NewKey};
use baton_contract::ConductorId;
use jiff::Timestamp;

const KEYS: &str = "keys.toml";
const SECRET: &str = "installation-secret";
/// The private key that the ledger's checkpoints are signed with.
pub(crate) const SIGNING_KEY: &str = "ledger-key";
const LOCK: &str = "keys.lock";

/// The keys in a data folder, locked against another process that would change them.
pub(crate) struct KeyStore {
    path: PathBuf,
    pub(crate) ring: KeyRing,
    /// Held until the store is dropped.
    _lock: File,
}

impl KeyStore {
    /// Opens the keys in `data`, which is made if it is not there; waits for a process that is changing them.
    pub(crate) fn open(data: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .with_context(|| format!("cannot make the data folder {}\nhint: check --data", data.display()))?;
        let lock_path = data.join(LOCK);
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .with_context(|| cannot_write(&lock_path))?;
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let path = data.join(KEYS);
        let ring = match fs::read_to_string(&path) {
            Ok(text) => KeyRing::parse(&text, read_secret(data)?).with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == ErrorKind::NotFound => KeyRing::new(read_or_make_secret(data)?),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path, ring, _lock: lock })
    }

    /// Makes a key and saves the ring.
    pub(crate) fn issue(&mut self, conductor: ConductorId, mandate: Mandate) -> Result<NewKey> {
        let mut random = [0; KEY_RANDOM_BYTES];
        fill_random(&mut random)?;
        let key = self.ring.issue(&random, conductor, mandate, Timestamp::now())?;
        self.save()?;
        Ok(key)
    }

    /// Saves the ring. The file is old or new, never half.
    pub(crate) fn save(&self) -> Result<()> {
        replace(&self.path, self.ring.to_toml()?.as_bytes())
    }
}

/// Where the keys of a data folder lie.
pub(crate) fn key_file(data: &Path) -> PathBuf {
    data.join(KEYS)
}

/// The files in `data` that nobody else may read.
pub(crate) fn secrets(data: &Path) -> [PathBuf; 3] {
    [KEYS, SECRET, SIGNING_KEY].map(|name| data.join(name))
}

/// What others may do with private files or folders, if anything: a sentence for a person.
pub(crate) fn too_open(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Option<String> {
    paths.into_iter().find_map(|path| {
        let path = path.as_ref();
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then(|| format!("{} can be read by others (mode {mode:03o})", path.display()))
    })
}

fn read_or_make_secret(data: &Path) -> Result<InstallationSecret> {
    read_or_make(&data.join(SECRET))?;
    read_secret(data)
}

/// The 32 bytes of the installation's secret; made if the folder is new.
pub(crate) fn installation_secret(data: &Path) -> Result<[u8; 32]> {
    // The store makes it, under its lock.
    KeyStore::open(data)?;
    let path = data.join(SECRET);
    read_32(&path)?.with_context(|| format!("cannot read {}", path.display()))
}

/// The 32 secret bytes of a private file, which is made from random bytes if it is not there.
pub(crate) fn read_or_make(path: &Path) -> Result<[u8; 32]> {
    if !path.exists() {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        replace(path, &bytes)?;
    }
    read_32(path)?.with_context(|| format!("cannot read {}", path.display()))
}

/// The 32 secret bytes of a private file, if it is there.
pub(crate) fn read_32(path: &Path) -> Result<Option<[u8; 32]>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else {
        bail!("{} is damaged: it must have 32 bytes\nhint: restore it from a backup", path.display());
    };
    Ok(Some(bytes))
}

/// Where the installation's secret lies.
pub(crate) fn secret_file(data: &Path) -> PathBuf {
    data.join(SECRET)
}

fn read_secret(data: &Path) -> Result<InstallationSecret> {
    let path = data.join(SECRET);
    let bytes = read_32(&path)?.with_context(|| {
        format!(
            "cannot read {}\nhint: without it no key can be recognised; restore it from a backup, or delete {} and \
             make new keys",
            path.display(),
            data.join(KEYS).display()
        )
    })?;
    Ok(InstallationSecret::new(bytes))
}

/// Puts a private file in the place of another in one go.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    // A file left over from a crash may have been made with other permissions.
    fs::remove_file(&new).ok();
    let write = || -> std::io::Result<()> {
        let mut file = private().write(true).create_new(true).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| cannot_write(path))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow!("the operating system gives no random bytes: {error}"))
}
