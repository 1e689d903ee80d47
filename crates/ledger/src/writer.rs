//! The writer's thread: takes what waits, writes it in one transaction, and only then answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use jiff::Timestamp;

use crate::entry::Receipt;
use crate::erase::{self, Erased, Erasure};
use crate::pending::{Reply, answer_to};
use crate::seal::{Draft, Random, Secret};
use crate::store::Store;
use crate::{Error, Retention, Signer};

/// The most entries of one transaction.
const MOST_A_GROUP: usize = 256;
/// How often an unavailable ledger is tried, when nobody appends.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// All that the writer can be told.
pub(crate) enum Command {
    /// Append these, all or none.
    Append(Vec<Draft>, Appended),
    /// Erase texts for a reason.
    Erase(Erasure, Reply<Erased>),
    /// Erase texts that are older than they are kept.
    Sweep(Timestamp, Retention, String, Reply<Erased>),
    /// Try to write.
    Probe(Reply<()>),
    /// Write what came before, and end.
    Close(Reply<()>),
}

/// Who waits for the receipts of an append.
pub(crate) enum Appended {
    /// Of one entry.
    One(Reply<Receipt>),
    /// Of several.
    All(Reply<Vec<Receipt>>),
}

/// What the thread works with.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) signer: Arc<Signer>,
    pub(crate) secret: Secret,
    pub(crate) random: Random,
    pub(crate) available: Arc<AtomicBool>,
    /// Nothing if it could not even be read any more.
    pub(crate) store: Option<Store>,
    /// Whether the last write failed.
    pub(crate) failed: bool,
    /// The log may still hold what was erased.
    pub(crate) unscrubbed: bool,
}

impl Writer {
    /// Works until it is told to end, or until nobody can tell it anything.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut put_back = None;
        loop {
            let command = match put_back.take() {
                Some(command) => command,
                None if self.failed => match commands.recv_timeout(PROBE_EVERY) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => {
                        // Whether it worked shows in `available`.
                        let _ = self.probe();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
                None => match commands.recv() {
                    Ok(command) => command,
                    Err(_) => return,
                },
            };
            match command {
                Command::Append(drafts, reply) => {
                    let mut group = vec![(drafts, reply)];
                    put_back = gather(&mut group, commands);
                    self.append(group);
                }
                Command::Erase(erasure, reply) => answer_to(reply, self.erase(&erasure)),
                Command::Sweep(now, retention, actor, reply) => answer_to(reply, self.sweep(now, retention, &actor)),
                Command::Probe(reply) => answer_to(reply, self.probe()),
                Command::Close(reply) => {
                    self.scrub();
                    self.store = None;
                    answer_to(reply, Ok(()));
                    return;
                }
            }
        }
    }

    /// Group commit: all that waited becomes durable with one flush, or none of it is there.
    fn append(&mut self, group: Vec<(Vec<Draft>, Appended)>) {
        let written = self.write(|store| {
            store.transact(|batch| {
                group.iter().map(|(drafts, _)| drafts.iter().map(|draft| batch.append(draft)).collect()).collect()
            })
        });
        match written {
            Ok(receipts) => {
                let receipts: Vec<Vec<Receipt>> = receipts;
                for ((_, reply), receipts) in group.into_iter().zip(receipts) {
                    reply.answer(Ok(receipts));
                }
            }
            Err(error) => {
                for (_, reply) in group {
                    reply.answer(Err(error.clone()));
                }
            }
        }
        self.scrub();
    }

    fn erase(&mut self, erasure: &Erasure) -> Result<Erased, Error> {
        let (secret, random) = (self.secret.clone(), Arc::clone(&self.random));
        let (texts, receipts) = self.write(|store| store.transact(|batch| erasure.run(batch, &secret, &random)))?;
        self.unscrubbed = true;
        self.scrub();
        Ok(Erased { texts, receipts, scrubbed: !self.unscrubbed })
    }

    fn sweep(&mut self, now: Timestamp, retention: Retention, actor: &str) -> Result<Erased, Error> {
        let (secret, random) = (self.secret.clone(), Arc::clone(&self.random));
        let mut all = (0, Vec::new());
        loop {
            let (texts, receipts) = self.write(|store| {
                store.transact(|batch| erase::sweep(batch, (now, retention, actor), &secret, &random))
            })?;
            if texts == 0 {
                break;
            }
            self.unscrubbed = true;
            all.0 += texts;
            all.1.extend(receipts);
        }
        self.scrub();
        Ok(Erased { texts: all.0, receipts: all.1, scrubbed: !self.unscrubbed })
    }

    fn probe(&mut self) -> Result<(), Error> {
        self.write(|store| store.transact(|batch| batch.touch()))
    }

    /// Runs `work` on the store, which is opened again first if it failed before.
    fn write<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        let result = self.recover().and_then(work);
        // A wish that cannot be fulfilled leaves the store as it was.
        self.failed = result.as_ref().is_err_and(|error| !error.is_request_fault());
        self.available.store(!self.failed, Ordering::Release);
        result.map_err(Error::while_writing)
    }

    /// The store, as it is on the disk if the last write failed.
    ///
    /// The connection is kept if it can be: it knows that what it wrote and could not flush does not count, and
    /// writes over it. A new connection would take it for committed.
    fn recover(&mut self) -> Result<&mut Store, Error> {
        if self.failed && self.store.as_mut().is_some_and(|store| store.reload().is_err()) {
            self.store = None;
        }
        match &mut self.store {
            Some(store) => Ok(store),
            none => Ok(none.insert(Store::open(&self.path, &self.signer)?)),
        }
    }

    fn scrub(&mut self) {
        if let (true, Some(store)) = (self.unscrubbed, &self.store) {
            self.unscrubbed = !store.scrub();
        }
    }
}

impl Appended {
    fn answer(self, receipts: Result<Vec<Receipt>, Error>) {
        match self {
            Self::All(reply) => answer_to(reply, receipts),
            Self::One(reply) => {
                answer_to(reply, receipts.and_then(|all| all.into_iter().next().ok_or(Error::Closed)));
            }
        }
    }
}

/// Takes further appends that wait already. Hands back the first other command.
fn gather(group: &mut Vec<(Vec<Draft>, Appended)>, commands: &Receiver<Command>) -> Option<Command> {
    let mut entries: usize = group.iter().map(|(drafts, _)| drafts.len()).sum();
    while entries < MOST_A_GROUP {
        match commands.try_recv() {
            Ok(Command::Append(drafts, reply)) => {
                entries += drafts.len();
                group.push((drafts, reply));
            }
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;
    use crate::NewEntry;
    use crate::pending::Pending;

    /// How many transactions the log has: frames that say how large the database is after them.
    fn transactions(path: &Path) -> usize {
        let log = std::fs::read(path.with_extension("db-wal")).unwrap();
        let frames = log[32..].chunks_exact(24 + 4096);
        frames.filter(|frame| frame[4..8] != [0; 4]).count()
    }

    #[test]
    fn what_waits_becomes_durable_with_one_flush_and_is_answered_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let signer = Arc::new(Signer::from_seed(&[1; 32]));
        let store = Store::open(&path, &signer).unwrap();
        // Keeps the log from being removed with the last connection.
        let reading = crate::schema::open_to_read(&path).unwrap();
        let before = transactions(&path);
        let count = std::sync::atomic::AtomicU64::new(0);
        let random: Random = Arc::new(move |bytes| {
            let number = count.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            bytes.iter_mut().zip(number.iter().cycle()).for_each(|(byte, from)| *byte = *from);
            Ok(())
        });
        let secret = Secret::new(&[2; 32]);
        let (commands, received) = mpsc::sync_channel(200);
        let mut waiting = Vec::new();
        for _ in 0..100 {
            let entry = NewEntry::new("cue", Timestamp::UNIX_EPOCH, "ada").unwrap();
            let (reply, pending) = Pending::new();
            let drafts = vec![Draft::new(entry, &secret, &random).unwrap()];
            commands.send(Command::Append(drafts, Appended::One(reply))).unwrap();
            waiting.push(pending);
        }
        drop(commands);
        let available = Arc::new(AtomicBool::new(true));
        let store = Some(store);
        Writer { path: path.clone(), signer, secret, random, available, store, failed: false, unscrubbed: false }
            .run(&received);
        for (index, pending) in (0..).zip(waiting) {
            assert_eq!(pending.wait().unwrap().index, index);
        }
        assert_eq!(transactions(&path), before + 1);
        assert_eq!(crate::store::size(&reading).unwrap(), 100);
    }
}
