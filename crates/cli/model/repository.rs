//! Repositories of a model hub in the cache folder: what was pulled of them, and where it lies.
//!
//! `hub/OWNER/NAME/` of the cache folder has a folder for each commit, whole or not there, and `pulled`, which names the
//! one that was pulled last.

use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

#[cfg(feature = "hub")]
use anyhow::Context;
use anyhow::{Result, bail};

/// The file that names what was pulled last.
const PULLED: &str = "pulled";
/// Far more than it has.
const MOST_NAME: usize = 96;

/// `OWNER/NAME`, as model hubs name repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepoName(String);

impl RepoName {
    /// The name, if it has this form; whatever it says, it leads out of no folder.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (owner, repo) = name.split_once('/')?;
        let good = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let begins = part.starts_with(|c: char| c.is_ascii_alphanumeric());
            begins && part.len() <= MOST_NAME && part.chars().all(plain)
        };
        (good(owner) && good(repo) && !super::is_gguf(repo)).then(|| Self(name.to_owned()))
    }

    /// The same, if nothing of that name lies in `base`, where it would be a path.
    pub(crate) fn of_setting(name: &str, base: &Path) -> Option<Self> {
        Self::parse(name).filter(|_| !base.join(name).exists())
    }

    /// What clients call the model.
    pub(crate) fn id(&self) -> String {
        super::id_of(self.0.split_once('/').map_or("", |(_, name)| name))
    }

    /// Its folder in the cache.
    pub(crate) fn folder(&self, cache: &Path) -> PathBuf {
        cache.join("hub").join(&self.0)
    }

    /// What was pulled of it last: a folder or, for a model in GGUF, a file.
    ///
    /// # Errors
    /// Nothing was, or it is there no more.
    pub(crate) fn pulled(&self, cache: &Path) -> Result<PathBuf> {
        let folder = self.folder(cache);
        let Ok(name) = fs::read_to_string(folder.join(PULLED)) else {
            bail!(
                "there is no file or folder {self}, and nothing was pulled of a repository of that name\nhint: baton pull {self}"
            );
        };
        let name = Path::new(name.trim());
        let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
        let path = folder.join(name);
        if !inside || name.as_os_str().is_empty() || !path.exists() {
            bail!("what was pulled of {self} is not in {} any more\nhint: baton pull {self}", folder.display());
        }
        Ok(path)
    }

    /// Says that `path`, below its folder, is what was pulled last.
    #[cfg(feature = "hub")]
    pub(crate) fn set_pulled(&self, cache: &Path, path: &Path) -> Result<()> {
        let folder = self.folder(cache);
        let name = path.strip_prefix(&folder).context("what was pulled lies elsewhere")?;
        let beside = folder.join(format!("{PULLED}.new"));
        let written =
            fs::write(&beside, name.display().to_string()).and_then(|()| fs::rename(&beside, folder.join(PULLED)));
        written.with_context(|| format!("cannot write {}", folder.join(PULLED).display()))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_repositories_are_told_from_paths() {
        let good = ["Qwen/Qwen3-0.6B", "a/b", "sentence-transformers/all-MiniLM-L6-v2", "x/y_z.w-GGUF"];
        let bad =
            ["qwen3", "./a/b", "../b", "a/..", "a/.b", "/a/b", "a/b/c", "a/", "/b", "a b/c", "models/x.gguf", "a/-b"];
        assert!(good.iter().all(|name| RepoName::parse(name).is_some()));
        assert!(bad.iter().all(|name| RepoName::parse(name).is_none()), "{bad:?}");
        assert_eq!(RepoName::parse("Qwen/Qwen3-0.6B").unwrap().id(), "qwen3-0.6b");
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("a/b")).unwrap();
        assert!(RepoName::of_setting("a/b", base.path()).is_none(), "what is there is a path");
        assert!(RepoName::of_setting("a/c", base.path()).is_some());
    }

    #[test]
    fn what_was_pulled_last_is_found_and_nothing_outside() {
        let cache = tempfile::tempdir().unwrap();
        let name = RepoName::parse("a/b").unwrap();
        assert!(name.pulled(cache.path()).unwrap_err().to_string().contains("hint: baton pull a/b"));
        let folder = name.folder(cache.path());
        fs::create_dir_all(folder.join("c1")).unwrap();
        fs::create_dir_all(cache.path().join("other")).unwrap();
        for (text, found) in [("c1\n", true), ("", false), ("c2", false), ("../../../other", false), ("/", false)] {
            fs::write(folder.join(PULLED), text).unwrap();
            assert_eq!(name.pulled(cache.path()).is_ok(), found, "{text:?}");
        }
    }
}
