//! The thread that writes prefixes.

use std::fs::{DirBuilder, FileTimes};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::mpsc::Receiver;

use super::file::{self, Header};
use super::{Payload, StoreConfig, folder};

/// A prefix to be written.
pub(super) struct Task {
    pub(super) label: String,
    /// The file's.
    pub(super) name: String,
    pub(super) header: Header,
    pub(super) payload: Payload,
}

/// Writes prefixes one after the other.
pub(super) struct Writer {
    config: StoreConfig,
    is_tidy: bool,
    /// Whether the last prefix could not be written: a full disk is reported once.
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(config: StoreConfig) -> Self {
        Self { config, is_tidy: false, is_failing: false }
    }

    /// Until nothing more can come.
    pub(super) fn run(mut self, tasks: &Receiver<Task>) {
        for task in tasks {
            match self.write(&task) {
                Ok(()) => {
                    tracing::info!(twin = task.label, bytes = task.header.file_bytes(), "prefix stored");
                    self.is_failing = false;
                }
                Err(error) if self.is_failing => tracing::debug!(twin = task.label, %error, "prefix not stored"),
                Err(error) => {
                    let folder = self.config.folder.display();
                    tracing::warn!(twin = task.label, %folder, %error, "prefixes cannot be stored; Baton goes on");
                    self.is_failing = true;
                }
            }
        }
    }

    /// Writes beside the file's place and renames, so that nobody ever sees half a file.
    fn write(&mut self, Task { name, header, payload, .. }: &Task) -> io::Result<()> {
        let StoreConfig { folder, limit, now, .. } = &self.config;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if !self.is_tidy {
            folder::tidy(folder, now())?;
            self.is_tidy = true;
        }
        folder::make_room(folder, *limit, header.file_bytes(), name)?;
        // Readable by its owner only, and gone if anything fails.
        let suffix = format!(".{}", folder::UNFINISHED);
        let mut file = tempfile::Builder::new().prefix("").suffix(&suffix).tempfile_in(folder)?;
        file::write(&mut file, header, (**payload).as_ref())?;
        file.as_file().set_times(FileTimes::new().set_modified(now()))?;
        file.as_file().sync_all()?;
        file.persist(folder.join(name))?;
        Ok(())
    }
}
