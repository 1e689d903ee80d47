//! Prefixes that outlive the process: one file each, in a folder of bounded size.
//!
//! A file is named after everything that its bits depend on, and is written beside its place and renamed, so that
//! several processes may share a folder. Files are written, and their checksums made, by a thread of the store's own;
//! [`StoredPrefix`] reads one on any thread.
//!
//! The checksum finds damage, not forgery: whoever may write to the folder decides what a twin has read.

mod file;
mod folder;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use baton_contract::{Digest, Digester, Prefix};
use baton_decoder::CacheForm;

use file::Header;
use writer::{Task, Writer};

pub use file::Damage;

/// Prefixes that may wait for being written; they are in memory meanwhile.
const QUEUE: usize = 4;

/// Where prefixes are kept.
#[derive(Clone)]
pub struct StoreConfig {
    /// Made, for its owner only, when the first file is written.
    pub folder: PathBuf,
    /// Most bytes of all files together; those read or written longest ago give way. At 0 there are no files.
    pub limit: u64,
    /// Most bytes of prefixes that are kept in the host's memory as well, pinned where a device computes.
    pub memory: usize,
    /// The time of day, by which the order of use is kept.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// Keeps computed prefixes in files.
///
/// Nothing that goes wrong with them is more than a warning: a prefix that is not kept is computed. Dropping the store
/// waits until what was given to it is written.
pub struct PrefixStore {
    config: StoreConfig,
    /// Started with the first prefix that is to be written.
    writer: Option<(SyncSender<Task>, JoinHandle<()>)>,
}

/// A prefix's bytes as the cache exported them, wherever they are.
pub type Payload = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A prefix's file, whether it is there or not.
pub struct StoredPrefix {
    /// Whether the store has files.
    used: bool,
    path: PathBuf,
    header: Header,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl StoredPrefix {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something is there that may be read.
    pub fn exists(&self) -> bool {
        self.used && self.path.symlink_metadata().is_ok()
    }

    /// Bytes of the payload.
    pub fn payload_bytes(&self) -> usize {
        self.header.payload_bytes()
    }

    /// Reads the payload into `to`, which has its size. False if the file is not there.
    ///
    /// What has been read is to be used only once this has returned true: the checksum comes last.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it should be.
    pub fn read(&self, to: &mut [u8]) -> Result<bool, Damage> {
        file::read(&self.path, &self.header, (self.now)(), to)
    }
}

/// How much a folder of prefixes holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreContent {
    /// Files.
    pub files: usize,
    /// Bytes of all of them together.
    pub bytes: u64,
}

impl StoreContent {
    /// Looks into a folder; one that is not there holds nothing.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn of(folder: &Path) -> std::io::Result<Self> {
        let files = folder::files(folder)?;
        Ok(Self { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() })
    }
}

impl PrefixStore {
    /// A store; nothing is read or written yet.
    pub fn new(config: StoreConfig) -> Self {
        Self { config, writer: None }
    }

    /// Where a prefix is kept, in a folder of prefixes.
    pub fn path(folder: &Path, prefix: &Prefix, form: &CacheForm) -> PathBuf {
        folder.join(folder::name(&key(prefix, form)))
    }

    /// The file of a prefix.
    pub fn stored(&self, prefix: &Prefix, form: &CacheForm) -> StoredPrefix {
        let header = Header::new(key(prefix, form), prefix, form);
        let StoreConfig { folder, limit, now, .. } = &self.config;
        StoredPrefix { used: *limit > 0, path: Self::path(folder, prefix, form), header, now: Arc::clone(now) }
    }

    /// Most bytes of prefixes in the host's memory.
    pub fn memory(&self) -> usize {
        self.config.memory
    }

    /// Whether a prefix would be written if it were given.
    pub fn has_room(&self, prefix: &Prefix, form: &CacheForm) -> bool {
        Header::new(key(prefix, form), prefix, form).file_bytes() <= self.config.limit
    }

    /// Whether there are files at all.
    pub(crate) fn has_files(&self) -> bool {
        self.config.limit > 0
    }

    /// Has a prefix written, in the place of one that is there. Returns at once.
    pub fn write(&mut self, prefix: &Prefix, form: &CacheForm, payload: Payload) {
        let key = key(prefix, form);
        let header = Header::new(key, prefix, form);
        let task = Task { label: prefix.label.clone(), name: folder::name(&key), header, payload };
        let Some((tasks, _)) = self.writer() else { return };
        if let Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) = tasks.try_send(task) {
            tracing::warn!(twin = task.label, "a prefix is not kept: those before it are still being written");
        }
    }

    fn writer(&mut self) -> Option<&(SyncSender<Task>, JoinHandle<()>)> {
        if self.writer.is_none() {
            let (sender, tasks) = sync_channel(QUEUE);
            let writer = Writer::new(self.config.clone());
            let thread = thread::Builder::new().name("baton-prefixes".to_owned()).spawn(move || writer.run(&tasks));
            match thread {
                Ok(thread) => self.writer = Some((sender, thread)),
                Err(error) => tracing::warn!(%error, "a prefix is not kept: no thread can be started"),
            }
        }
        self.writer.as_ref()
    }
}

impl Drop for PrefixStore {
    fn drop(&mut self) {
        if let Some((tasks, thread)) = self.writer.take() {
            drop(tasks);
            // A panic there has been reported by the thread itself; nothing can be done about it here.
            let _ = thread.join();
        }
    }
}

/// Names everything that the keys and values of a prefix depend on.
pub(crate) fn key(prefix: &Prefix, form: &CacheForm) -> Digest {
    let tokens: Vec<u8> = prefix.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    let mut digester = Digester::new("baton stored prefix v1");
    digester.field(prefix.digest.as_bytes()).field(&tokens).field(form.to_string().as_bytes()).finish()
}
