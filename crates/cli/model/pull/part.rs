//! One file that is being downloaded: the beginning that is there already, and how the rest comes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hf_hub::api::sync::ApiRepo;

use crate::progress::Progress;

/// Times that a broken connection is taken up again, as long as each brings something.
const ATTEMPTS: usize = 5;
pub(super) const CONNECT: Duration = Duration::from_secs(20);
pub(super) const SILENCE: Duration = Duration::from_mins(1);

/// From where a file comes, and what is said where it does not.
pub(super) struct Transfer<'a> {
    pub(super) repo: &'a ApiRepo,
    pub(super) url: &'a str,
    /// Of the file, in bytes.
    pub(super) size: u64,
    /// Bytes of other files that stand before it in the progress.
    pub(super) before: u64,
    /// What it belongs to, for people.
    pub(super) id: &'a str,
    /// What can be done without a hub.
    pub(super) otherwise: &'a str,
    /// Why its size may be another one.
    pub(super) changed: &'a str,
    /// What an HTTP status other than success means.
    pub(super) refused: &'a dyn Fn(u16, &str) -> anyhow::Error,
}

/// The beginning of a file that is being downloaded, locked against a second download.
pub(super) struct Part {
    path: PathBuf,
    file: File,
}

/// How one connection ended.
enum End {
    Complete,
    Broken(String),
}

impl Part {
    /// Opens the partial file, which may be there; `id` is what it belongs to, for people.
    pub(super) fn open(path: PathBuf, id: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            bail!("{id} is being downloaded by another process\nhint: wait for it");
        }
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it where it belongs.
    pub(super) fn become_whole(self, target: &Path) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))?;
        fs::rename(&self.path, target).with_context(|| format!("cannot write {}", target.display()))
    }

    /// Deletes it.
    pub(super) fn discard(self) {
        // What cannot be deleted is found out, and told, by the next download.
        fs::remove_file(&self.path).ok();
    }

    /// Bytes that are there.
    pub(super) fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().with_context(|| format!("cannot read {}", self.path.display()))?.len())
    }

    /// Downloads until the file is as long as it must be.
    pub(super) fn complete(&self, transfer: &Transfer<'_>, progress: &Progress) -> Result<()> {
        let Transfer { url, size, .. } = *transfer;
        if self.length()? > size {
            self.restart()?;
        }
        for attempt in 1.. {
            let before = self.length()?;
            if before == size {
                break;
            }
            match self.fetch(transfer, progress)? {
                End::Complete => break,
                End::Broken(cause) if attempt == ATTEMPTS || self.length()? <= before => bail!(
                    "the download of {url} broke off after {} of {size} bytes: {cause}\n\
                     hint: check the network and run it again; it goes on from there",
                    self.length()?
                ),
                End::Broken(cause) => tracing::warn!(cause, "the connection broke; going on"),
            }
        }
        Ok(())
    }

    /// One request for what is missing.
    fn fetch(&self, transfer: &Transfer<'_>, progress: &Progress) -> Result<End> {
        let Transfer { repo, url, size, before, id, otherwise, changed, refused } = *transfer;
        let start = self.length()?;
        let request = repo
            .info_request()
            .uri(url)
            .header("Range", format!("bytes={start}-"))
            .header("Accept-Encoding", "identity")
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        let response = match request.call() {
            Ok(response) => response,
            // A connection that was good before may come back; one that never was is explained at once.
            Err(error) if start > 0 => return Ok(End::Broken(error.to_string())),
            Err(error) => return Err(unreachable(url, &error, otherwise)),
        };
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let total = match response.status().as_u16() {
            206 => match header("content-range").and_then(|range| range_total(range, start)) {
                Some(total) => Some(total),
                None => bail!("{url} answered with another range than was asked for\nhint: {otherwise}"),
            },
            // The server does not know ranges: what it sends starts at the beginning.
            200 => {
                self.restart()?;
                progress.set(before);
                header("content-length").and_then(|length| length.parse().ok())
            }
            status => {
                if status == 416 {
                    // The hub's file ends before ours goes on: the next call must not trip over it again.
                    self.restart()?;
                }
                return Err(refused(status, url));
            }
        };
        if total.is_some_and(|total| total != size) {
            let total = total.unwrap_or_default();
            bail!("{url} has {total} bytes, but `{id}` has {size}\nhint: {changed}");
        }
        self.store(response.into_body().into_reader(), size, progress)
    }

    /// Appends the body, never beyond `size`.
    fn store(&self, body: impl Read, size: u64, progress: &Progress) -> Result<End> {
        let missing = size - self.length()?;
        let mut body = body.take(missing);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match body.read(&mut buffer) {
                Ok(0) if body.limit() == 0 => return Ok(End::Complete),
                Ok(0) => return Ok(End::Broken("the server closed the connection".to_owned())),
                Ok(read) => {
                    (&self.file)
                        .write_all(&buffer[..read])
                        .with_context(|| format!("cannot write {}\nhint: is the disk full?", self.path.display()))?;
                    progress.advance(read);
                }
                Err(error) => return Ok(End::Broken(error.to_string())),
            }
        }
    }

    fn restart(&self) -> Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The total of `bytes 5-9/10`, if it starts where we asked.
fn range_total(range: &str, start: u64) -> Option<u64> {
    let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let first: u64 = span.split_once('-')?.0.parse().ok()?;
    (first == start).then(|| total.parse().ok())?
}

/// What it means that no answer came at all.
pub(super) fn unreachable(url: &str, error: &dyn std::fmt::Display, otherwise: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "cannot reach {url}: {error}\nhint: check the network, the proxy variables and --endpoint; {otherwise}"
    )
}

/// What a status means for any file, as the verb and a hint.
pub(super) fn reason(status: u16) -> (&'static str, &'static str) {
    match status {
        429 => ("is too busy to give", "wait and try again; "),
        _ => ("cannot give", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_counts() {
        let cases = [
            ("bytes 5-9/10", 5, Some(10)),
            ("bytes 0-9/10", 5, None),
            ("bytes 5-9/*", 5, None),
            ("bytes */10", 5, None),
            ("5-9/10", 5, None),
        ];
        for (range, start, total) in cases {
            assert_eq!(range_total(range, start), total, "{range}");
        }
    }
}
