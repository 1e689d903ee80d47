//! Where things lie by default, following the XDG base directory specification.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The default folders of this user. Made once, at the start; nothing else asks the environment.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    home: Option<PathBuf>,
    cache: Option<PathBuf>,
    data: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Folders {
    /// Reads `HOME` and the `XDG_*_HOME` variables.
    pub(crate) fn from_env() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        // The specification says to ignore relative paths.
        let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            home: folder("HOME"),
            cache: folder("XDG_CACHE_HOME"),
            data: folder("XDG_DATA_HOME"),
            config: folder("XDG_CONFIG_HOME"),
        }
    }

    /// Folder that models are kept in; can be fetched again.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        self.pick(self.cache.as_deref(), ".cache")
    }

    /// Folder that keys are kept in; must not be lost.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.pick(self.data.as_deref(), ".local/share")
    }

    /// Folder that may hold `baton.toml`.
    pub(crate) fn config(&self) -> Option<PathBuf> {
        self.pick(self.config.as_deref(), ".config")
    }

    fn pick(&self, own: Option<&Path>, under_home: &str) -> Option<PathBuf> {
        let base = own.map(Path::to_path_buf).or_else(|| Some(self.home.as_ref()?.join(under_home)))?;
        Some(base.join("baton"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdg_wins_over_home_and_relative_paths_are_ignored() {
        type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);
        let folders = |pairs: &[(&str, &str)]| {
            Folders::new(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let cases: [Case; 4] = [
            (&[], None),
            (&[("HOME", "/h")], Some("/h/.cache/baton")),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")], Some("/c/baton")),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "c")], Some("/h/.cache/baton")),
        ];
        for (pairs, expected) in cases {
            assert_eq!(folders(pairs).cache(), expected.map(PathBuf::from), "{pairs:?}");
        }
    }
}
