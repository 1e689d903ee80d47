//! The handle of an open ledger.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;

use jiff::Timestamp;

use crate::entry::{NewEntry, Receipt, label};
use crate::erase::{Erased, Erasure};
use crate::pending::{Pending, Reply};
use crate::seal::{Draft, Random, Secret};
use crate::store::Store;
use crate::writer::{Appended, Command, Writer};
use crate::{Error, PublicKey, Reader, Retention, Signer};

/// The most appends that wait.
const QUEUE: usize = 1024;

/// What a ledger is opened with.
pub struct Options {
    /// The database file; beside it lie its log, its newest checkpoint and a lock.
    pub path: PathBuf,
    /// Encrypts the keys of free texts.
    pub secret: Secret,
    /// Signs checkpoints.
    pub signer: Signer,
    /// Gives random bytes.
    pub random: Random,
}

/// An open ledger. Clones share one writer; it ends, and the ledger is closed, when the last one is dropped.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    secret: Secret,
    random: Random,
    public: PublicKey,
    available: Arc<AtomicBool>,
    commands: Option<SyncSender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Held until the writer has ended.
    _lock: File,
}

impl Ledger {
    /// Opens a ledger to append to it, or makes an empty one. Blocks on the disk.
    ///
    /// # Errors
    /// Another process holds it, it has another key or version, it does not end as its last checkpoints say, or its
    /// files cannot be used.
    pub fn open(options: Options) -> Result<Self, Error> {
        let Options { path, secret, signer, random } = options;
        let lock = lock(&path)?;
        let signer = Arc::new(signer);
        let store = Store::open(&path, &signer)?;
        let available = Arc::new(AtomicBool::new(true));
        let (commands, received) = mpsc::sync_channel(QUEUE);
        let writer = Writer {
            path: path.clone(),
            signer: Arc::clone(&signer),
            secret: secret.clone(),
            random: Arc::clone(&random),
            available: Arc::clone(&available),
            store: Some(store),
            failed: false,
            // What a process erased that then died may still be in the log.
            unscrubbed: true,
        };
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(|source| Error::File { path: path.clone(), source: Arc::new(source) })?;
        let public = signer.public_key().clone();
        let (commands, thread) = (Some(commands), Some(thread));
        Ok(Self { shared: Arc::new(Shared { path, secret, random, public, available, commands, thread, _lock: lock }) })
    }

    /// Appends one entry. The receipt comes once it is durable.
    ///
    /// An error means that nobody may rely on the entry. After [`Error::Unavailable`] it is not there, unless the
    /// process ends before a later write works: then what was written but could not be flushed may be found, whole,
    /// when the ledger is next opened.
    pub fn append(&self, entry: NewEntry) -> Pending<Receipt> {
        match self.draft(entry) {
            Err(error) => Pending::ready(Err(error)),
            Ok(draft) => self.send(|reply| Command::Append(vec![draft], Appended::One(reply))),
        }
    }

    /// Appends entries next to each other, all or none.
    pub fn append_all(&self, entries: Vec<NewEntry>) -> Pending<Vec<Receipt>> {
        match entries.into_iter().map(|entry| self.draft(entry)).collect() {
            Err(error) => Pending::ready(Err(error)),
            Ok(drafts) => self.send(|reply| Command::Append(drafts, Appended::All(reply))),
        }
    }

    /// Erases texts for a reason. Their entries stay, and one more says what was erased.
    pub fn erase(&self, erasure: Erasure) -> Pending<Erased> {
        self.send(|reply| Command::Erase(erasure, reply))
    }

    /// Erases texts that are older than the retention keeps them, in the name of `actor`.
    pub fn sweep(&self, now: Timestamp, retention: Retention, actor: &str) -> Pending<Erased> {
        match label("actor", actor) {
            Err(error) => Pending::ready(Err(error)),
            Ok(actor) => self.send(|reply| Command::Sweep(now, retention, actor, reply)),
        }
    }

    /// Whether the last write worked. After a failure the writer tries again each second, and with each append.
    pub fn is_available(&self) -> bool {
        self.shared.available.load(Ordering::Acquire)
    }

    /// Tries at once whether the ledger can be written.
    pub fn probe(&self) -> Pending<()> {
        self.send(Command::Probe)
    }

    /// A reader with a connection of its own. Blocks on the disk, as all of its calls do.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open(&self.shared.path, Some(self.shared.secret.clone()))
    }

    /// What this ledger's checkpoints are verified with.
    pub fn public_key(&self) -> &PublicKey {
        &self.shared.public
    }

    /// Writes what waits and ends the writer; later appends fail with [`Error::Closed`].
    pub fn close(&self) -> Pending<()> {
        self.send(Command::Close)
    }

    fn draft(&self, entry: NewEntry) -> Result<Draft, Error> {
        Draft::new(entry, &self.shared.secret, &self.shared.random)
    }

    fn send<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Pending<T> {
        let (reply, pending) = Pending::new();
        let Some(commands) = &self.shared.commands else { return Pending::ready(Err(Error::Closed)) };
        match commands.try_send(command(reply)) {
            Ok(()) => pending,
            Err(TrySendError::Full(_)) => Pending::ready(Err(Error::Busy)),
            Err(TrySendError::Disconnected(_)) => Pending::ready(Err(Error::Closed)),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without senders the writer ends once it has written what waits.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, those who waited were told that the ledger is closed.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({}, ..)", self.shared.path.display())
    }
}

/// Keeps other processes from writing the ledger.
fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = path.with_extension("lock");
    let failed = |source| Error::File { path: lock_path.clone(), source: Arc::new(source) };
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Held(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
