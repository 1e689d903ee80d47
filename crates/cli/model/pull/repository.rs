//! A repository: pinned to a commit, fetched file by file into a folder beside its place, and put there when it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hf_hub::api::sync::ApiRepo;
use hf_hub::{Repo, RepoType};
use serde::Deserialize;

use super::choice::{Choice, Entry, INDEX, choose, read_list, shards};
use super::hub;
use super::part::{CONNECT, Part, SILENCE, Transfer, reason, unreachable};
use crate::model::{RepoName, Wanted, is_gguf, verify};
use crate::progress::Progress;

/// How names of what is not whole yet end.
const PART: &str = "part";
/// Bytes of an answer about a repository.
const MOST_ANSWER: u64 = 16 << 20;
/// Pages of a list of files, of a thousand each.
const MOST_PAGES: usize = 20;
const OTHERWISE: &str = "or put the files into a folder and name that with --model";

/// What is wanted of a repository.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a RepoName,
    /// A branch, a tag or a commit.
    pub(crate) revision: &'a str,
    /// A file in GGUF, if one is named.
    pub(crate) file: Option<&'a str>,
    /// The hub's address.
    pub(crate) endpoint: &'a str,
    /// Who asks, for repositories that not everybody may read.
    pub(crate) token: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

/// A repository at one commit.
struct Source<'a> {
    asked: &'a Asked<'a>,
    repo: ApiRepo,
    /// What the repository is asked for: the commit, once it is known.
    revision: String,
}

/// Fetches what makes a model of the repository into `cache`, and returns where it lies: a folder, or a file in GGUF.
/// Nothing is fetched again that is there.
pub(crate) fn pull_repository(asked: &Asked<'_>, cache: &Path) -> Result<PathBuf> {
    let name = asked.name;
    let home = name.folder(cache);
    fs::create_dir_all(&home).with_context(|| format!("cannot make the folder {}", home.display()))?;
    let lock = File::create(home.join("lock")).with_context(|| format!("cannot write into {}", home.display()))?;
    if lock.try_lock().is_err() {
        bail!("{name} is being pulled by another process\nhint: wait for it");
    }
    let commit = Source::at(asked, asked.revision)?.commit()?;
    let source = Source::at(asked, &commit)?;
    let files = source.files()?;
    let cannot = || format!("{name} cannot be pulled");
    let pulled = match choose(&files, asked.file).with_context(cannot)? {
        Choice::Folder(chosen) => {
            let place = home.join(&commit);
            source.fetch_folder(&chosen, &files, &place)?;
            place
        }
        Choice::Gguf(file) => {
            let own = Path::new(&file.path).file_name().map(|name| name.to_string_lossy().into_owned());
            let own = own.with_context(cannot)?;
            let place = home.join(format!("{commit}-{own}"));
            source.fetch_folder(&[file], &files, &place)?;
            place.join(own)
        }
    };
    name.set_pulled(cache, &pulled)?;
    sweep(&home);
    Ok(pulled)
}

/// Deletes what was begun of other commits and never became whole.
fn sweep(home: &Path) {
    let entries = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
    for part in entries.filter(|path| path.extension().is_some_and(|ending| ending == PART) && path.is_dir()) {
        // What cannot be deleted is in nobody's way.
        fs::remove_dir_all(part).ok();
    }
}

impl<'a> Source<'a> {
    fn at(asked: &'a Asked<'a>, revision: &str) -> Result<Self> {
        let api = hub(asked.endpoint, asked.token.clone())?;
        let repo = Repo::with_revision(asked.name.to_string(), RepoType::Model, revision.to_owned());
        Ok(Self { asked, repo: api.repo(repo), revision: revision.to_owned() })
    }

    /// The commit that the revision means now.
    fn commit(&self) -> Result<String> {
        let url = format!("{}/revision/{}", self.about(), escaped(&self.revision));
        let (text, _) = self.get(&url)?;
        let Commit { sha } = serde_json::from_str(&text).with_context(|| format!("{url} names no commit"))?;
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if sha.len() < 40 || sha.len() > 64 || !sha.bytes().all(hex) {
            bail!("{url} names the commit {sha:?}, which is none");
        }
        Ok(sha)
    }

    /// All files at the commit.
    fn files(&self) -> Result<Vec<Entry>> {
        let mut url = format!("{}/tree/{}?recursive=true", self.about(), self.revision);
        let mut files = Vec::new();
        for _ in 0..MOST_PAGES {
            let (text, next) = self.get(&url)?;
            files.extend(read_list(&text)?);
            match next {
                Some(next) => url = next,
                None => return Ok(files),
            }
        }
        bail!("{} has more files than a model has\nhint: {OTHERWISE}", self.asked.name)
    }

    /// Fetches `chosen` into a folder beside `place` and puts it there when it is whole; with an index among them also the
    /// weights that it names.
    fn fetch_folder(&self, chosen: &[Entry], files: &[Entry], place: &Path) -> Result<()> {
        if place.is_dir() {
            return Ok(());
        }
        let part = beside(place);
        let mut wanted = chosen.to_vec();
        if let Some(index) = chosen.iter().find(|entry| entry.path == INDEX) {
            let progress = Progress::bytes("listing", index.size, 0);
            self.fetch(index, &part, (&progress, 0))?;
            let text = fs::read_to_string(part.join(INDEX)).with_context(|| format!("cannot read {INDEX}"))?;
            wanted.extend(shards(&text, files).with_context(|| format!("{} cannot be pulled", self.asked.name))?);
        }
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
        let there = |entry: &Entry| {
            let target = target(entry, &part);
            length(beside(&target)).max(length(target)).min(entry.size)
        };
        let (total, done) = (wanted.iter().map(|entry| entry.size).sum(), wanted.iter().map(there).sum());
        let progress = Progress::bytes("downloading", total, done);
        let mut before = 0;
        for entry in &wanted {
            self.fetch(entry, &part, (&progress, before))?;
            before += entry.size;
        }
        progress.finish();
        // The names of its files are on the disk before its own is.
        let renamed = File::open(&part).and_then(|folder| folder.sync_all()).and_then(|()| fs::rename(&part, place));
        renamed.with_context(|| format!("cannot write {}", place.display()))
    }

    /// Fetches one file into `folder`, if it is not there.
    fn fetch(&self, entry: &Entry, folder: &Path, (progress, before): (&Progress, u64)) -> Result<()> {
        let target = target(entry, folder);
        // Only what was found to be right has this name.
        if fs::metadata(&target).is_ok_and(|found| found.len() == entry.size) {
            progress.set(before + entry.size);
            return Ok(());
        }
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let id = format!("{}/{}", self.asked.name, entry.path);
        let part = Part::open(beside(&target), &id)?;
        progress.set(before + part.length()?.min(entry.size));
        let transfer = Transfer {
            repo: &self.repo,
            url: &self.repo.url(&entry.path.split('/').map(escaped).collect::<Vec<_>>().join("/")),
            size: entry.size,
            before,
            id: &id,
            otherwise: OTHERWISE,
            changed: "try again; if it stays so, something between here and the hub changes what it says",
            refused: &|status, url| self.refused(status, url),
        };
        part.complete(&transfer, progress)?;
        if let Some(sha256) = &entry.sha256
            && let Err(error) = verify(part.path(), Wanted { id: &id, size: entry.size, sha256 })
        {
            part.discard();
            return Err(error.context(
                "what was downloaded is not what the hub says it is, and was deleted\n\
                 hint: try again; if it stays so, something between here and the hub changes files",
            ));
        }
        part.become_whole(&target)
    }

    /// Asks the hub about the repository: the answer's text, and the address of what follows.
    fn get(&self, url: &str) -> Result<(String, Option<String>)> {
        let request = self.repo.info_request().uri(url).config();
        let request = request.http_status_as_error(false).timeout_connect(Some(CONNECT));
        let request = request.timeout_recv_response(Some(SILENCE)).timeout_per_read(Some(SILENCE)).build();
        let response = request.call().map_err(|error| unreachable(url, &error, OTHERWISE))?;
        match response.status().as_u16() {
            200 => {}
            status => return Err(self.refused(status, url)),
        }
        let link = response.headers().get("link").and_then(|link| link.to_str().ok());
        // Who is asked, and with the token, stays the hub.
        let next = link.and_then(next_page).filter(|next| next.starts_with(&self.about()));
        let text = response.into_body().into_with_config().limit(MOST_ANSWER).read_to_string();
        Ok((text.with_context(|| format!("the answer of {url} broke off\nhint: try again"))?, next))
    }

    /// The address of what the hub says about the repository.
    fn about(&self) -> String {
        format!("{}/api/models/{}", self.asked.endpoint.trim_end_matches('/'), self.asked.name)
    }

    fn refused(&self, status: u16, url: &str) -> anyhow::Error {
        let Asked { name, revision, endpoint, .. } = self.asked;
        let page = format!("{}/{name}", endpoint.trim_end_matches('/'));
        match (status, self.asked.token.is_some()) {
            (401, false) => anyhow::anyhow!(
                "the hub does not give {name} to people whom it does not know, or has no such model (HTTP status 401)\n\
                 hint: check the name; if it is gated or private, set HF_TOKEN to a token that may read it"
            ),
            (401, true) => anyhow::anyhow!(
                "the hub does not take the token in HF_TOKEN (HTTP status 401)\n\
                 hint: set it to one that may read {name}, or unset it"
            ),
            (403, has_token) => anyhow::anyhow!(
                "{name} is gated, and {} (HTTP status 403)\n\
                 hint: accept its terms at {page}, then set HF_TOKEN to a token of that account",
                if has_token { "the token in HF_TOKEN may not read it" } else { "there is no token in HF_TOKEN" }
            ),
            (404, _) => anyhow::anyhow!(
                "the hub has no model {name}, or nothing at {revision} of it (HTTP status 404)\n\
                 hint: check the name at {page}, --revision and --endpoint"
            ),
            _ => {
                let (what, hint) = reason(status);
                anyhow::anyhow!("the hub {what} {url} (HTTP status {status})\nhint: {hint}{OTHERWISE}")
            }
        }
    }
}

/// Where a file belongs in `folder`. In GGUF it may lie in a folder of the repository; here it lies alone.
fn target(entry: &Entry, folder: &Path) -> PathBuf {
    let own = if is_gguf(&entry.path) { Path::new(&entry.path).file_name() } else { None };
    folder.join(own.map_or(Path::new(&entry.path), Path::new))
}

/// Where something lies until it is whole.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.{PART}", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// A text as a part of a path in an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The address in a header like `<https://…>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, rest) = part.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_their_parts() {
        let next = next_page("<http://a/b?cursor=x>; rel=\"prev\", <http://a/c?cursor=y>; rel=\"next\"");
        assert_eq!(
            (next.as_deref(), next_page("<http://a>; rel=\"last\""), next_page("")),
            (Some("http://a/c?cursor=y"), None, None)
        );
        assert_eq!((escaped("refs/pr/1"), escaped("v1.0~ü")), ("refs%2Fpr%2F1".to_owned(), "v1.0~%C3%BC".to_owned()));
    }
}
