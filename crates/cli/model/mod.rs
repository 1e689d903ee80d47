//! Models as files: which are known, where they lie, whether they are whole.

mod catalog;
mod embedding;
#[cfg(feature = "hub")]
mod pull;
mod repository;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub(crate) use catalog::{Catalog, Known, WheelSource};
pub(crate) use embedding::{find_embedding, verify_embedding};
#[cfg(feature = "hub")]
pub(crate) use pull::{Asked, pull, pull_repository};
pub(crate) use repository::RepoName;
pub(crate) use verify::{Wanted, verify};

use crate::config::Config;

/// A model file that is there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What the catalog says, if the model was named by its id.
    pub(crate) known: Option<Known>,
    /// What clients call the bare model.
    pub(crate) id: String,
    /// Where it was pulled from, if it was named so.
    pub(crate) repository: Option<RepoName>,
}

/// Whether a name is that of a file in GGUF.
fn is_gguf(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "gguf")
}

/// Whether the model setting names a file or a folder, from `base` on, rather than a known model or a repository.
pub(crate) fn is_path(name: &str, base: &Path) -> bool {
    let looks_like_one = name.contains(std::path::MAIN_SEPARATOR) || is_gguf(name);
    looks_like_one && RepoName::of_setting(name, base).is_none()
}

/// Finds the configured model's file.
pub(crate) fn find(config: &Config) -> Result<Found> {
    if let Some(name) = RepoName::of_setting(&config.model, Path::new("")) {
        return Ok(Found { path: name.pulled(&config.cache)?, known: None, id: name.id(), repository: Some(name) });
    }
    if is_path(&config.model, Path::new("")) {
        let path = PathBuf::from(&config.model);
        if !path.exists() {
            bail!(
                "there is no model file or folder {}\nhint: check --model; `baton pull --list` lists known models",
                path.display()
            );
        }
        return Ok(Found { id: id_of_file(&path), path, known: None, repository: None });
    }
    let catalog = Catalog::read(config.catalog.as_deref())?;
    let known = catalog.get(&config.model)?.clone();
    let path = config.cache.join(&known.file);
    match path.metadata() {
        Err(_) => bail!(
            "the model `{}` has not been fetched: there is no {}\nhint: {}",
            known.id,
            path.display(),
            known.how_to_fetch()
        ),
        Ok(metadata) if metadata.len() != known.size => bail!(
            "{} is {} bytes long, but `{}` has {}\nhint: delete it and fetch it again: {}",
            path.display(),
            metadata.len(),
            known.id,
            known.size,
            known.how_to_fetch()
        ),
        Ok(_) => Ok(Found { id: known.id.clone(), path, known: Some(known), repository: None }),
    }
}

/// A name in the form that model ids have, made from a file's name.
pub(crate) fn id_of_file(path: &Path) -> String {
    // A folder's name may have a dot: Qwen3-0.6B.
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    id_of(&name.unwrap_or_default().to_string_lossy())
}

fn id_of(name: &str) -> String {
    let id: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(64)
        .collect();
    if id.is_empty() { "model".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_ids_are_told_apart() {
        for (name, path) in [("smollm2-135m-instruct", false), ("m.gguf", true), ("./m", true), ("/a/b.gguf", true)] {
            assert_eq!(is_path(name, Path::new("")), path, "{name}");
        }
        let base = tempfile::tempdir().unwrap();
        assert!(!is_path("owner/model", base.path()), "a repository of a hub");
        std::fs::create_dir_all(base.path().join("owner/model")).unwrap();
        assert!(is_path("owner/model", base.path()), "what is there goes before");
    }

    #[test]
    fn ids_of_files_are_names() {
        let cases = [
            ("/a/SmolLM2-135M.Q4_1.gguf", "smollm2-135m.q4_1"),
            ("_ü x.gguf", "x"),
            ("ü.gguf", "model"),
            ("", "model"),
        ];
        for (path, id) in cases {
            assert_eq!(id_of_file(Path::new(path)), id, "{path}");
        }
    }
}
