//! A home folder of its own for every test, and `baton` run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A home, which is also the working folder.
pub(super) struct Home(TempDir);

/// How a run ended.
pub(super) struct Run {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Home {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A home whose cache has the real model.
    pub(super) fn with_model() -> Self {
        let home = Self::new();
        let model = baton_testkit::model_path();
        let cache = home.path(".cache/baton");
        fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(&model, cache.join("SmolLM2-135M-Instruct.Q4_1.gguf")).unwrap();
        home
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// `baton` with nothing in its environment but this home.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
        command.args(args).env_clear().env("HOME", self.0.path()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(super) fn baton(&self, args: &[&str]) -> Run {
        self.run(self.command(args))
    }

    /// Runs a command; in what it says, this home is `HOME`.
    pub(super) fn run(&self, mut command: Command) -> Run {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let home = self.0.path().to_string_lossy().into_owned();
            String::from_utf8(bytes).unwrap().replace(&home, "HOME")
        };
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Run {
    /// Exit status, standard output and standard error as one text.
    pub(super) fn report(&self) -> String {
        let part = |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("{name}:\n{text}") };
        format!(
            "exit {}\n{}{}",
            self.code.map_or("by signal".to_owned(), |code| code.to_string()),
            part("out", &self.stdout),
            part("err", &self.stderr)
        )
    }
}

/// The packs that come with the project.
pub(super) fn example_packs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("twin-packs")
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { _ = fs::copy(entry.path(), target).unwrap() }
    }
}

/// The lines of a text without those that have one of the parts in them.
pub(super) fn without(text: &str, parts: &[&str]) -> String {
    let lines = text.lines().filter(|line| !parts.iter().any(|part| line.contains(part)));
    lines.fold(String::new(), |told, line| told + line + "\n")
}

/// The text with the first of several ways to fetch the model: the others depend on how `baton` was built.
pub(super) fn first_way(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("(Python package index) or ") {
        Some((first, _)) => format!("{first}(Python package index) …"),
        None => line.to_owned(),
    });
    lines.fold(String::new(), |told, line| told + &line + "\n")
}
