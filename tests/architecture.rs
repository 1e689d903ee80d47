//! The structure that `ARCHITECTURE.md` states, checked against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate, our own crates that it may depend on, and foreign crates that it must not know.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const LAYERS: &[Row] = &[
    ("contract", &[], &["tokio", "candle-core", "axum", "hyper", "serde"]),
    ("scheduler", &["contract"], &["tokio", "candle-core", "axum", "hyper", "rand"]),
    ("kernels", &[], &["tokio", "axum", "hyper", "tokenizers"]),
    ("decoder", &["kernels"], &["tokio", "axum", "hyper", "tokenizers"]),
    ("encoder", &["contract", "kernels"], &["axum", "hyper", "serde"]),
    ("engine", &["contract", "scheduler", "decoder"], &["axum", "hyper", "tokenizers"]),
    ("text", &["contract"], &["axum", "hyper", "candle-core", "tokio"]),
    ("judge", &["contract", "text"], &["axum", "hyper", "candle-core", "tokio", "serde"]),
    ("constraint", &["contract", "text"], &["axum", "hyper", "candle-core", "tokio"]),
    ("pack", &["contract"], &["axum", "hyper", "candle-core", "tokio"]),
    ("rules", &["contract"], &["axum", "hyper", "candle-core", "tokio", "jiff"]),
    ("authority", &["contract", "rules"], &["axum", "hyper", "candle-core", "tokio"]),
    ("register", &["contract", "authority", "ledger"], &["axum", "hyper", "candle-core", "tokio"]),
    ("ledger", &[], &["axum", "hyper", "candle-core", "tokio", "futures-util"]),
    (
        "server",
        &[
            "contract",
            "text",
            "constraint",
            "judge",
            "pack",
            "rules",
            "authority",
            "ledger",
            "register",
            "engine",
            "encoder",
        ],
        &["candle-core", "hf-hub"],
    ),
];

/// The longest a file of production code may be, without its tests, in lines.
const LONGEST_FILE: usize = 800;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn short(name: &str) -> &str {
    name.strip_prefix("baton-").unwrap_or(name)
}

#[test]
fn crates_depend_only_as_the_table_allows() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let mut seen = BTreeSet::new();
    for package in &metadata.packages {
        let name = short(&package.name);
        if ["baton", "testkit"].contains(&name) {
            continue;
        }
        let (_, ours, foreign) =
            LAYERS.iter().find(|(layer, ..)| *layer == name).unwrap_or_else(|| panic!("`{name}` is not in the table"));
        seen.insert(name.to_owned());
        for dependency in package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal) {
            let on = dependency.name.as_str();
            assert!(!foreign.contains(&on), "`{name}` must not know `{on}`");
            if on.starts_with("baton-") {
                assert!(ours.contains(&short(on)), "`{name}` must not depend on `{}`", short(on));
            }
        }
    }
    let expected: BTreeSet<_> = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(seen, expected, "the table and the workspace name different crates");
}

#[test]
fn testkit_is_a_dev_dependency_only() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let is_dev = dependency.kind == DependencyKind::Development;
            assert!(is_dev || dependency.name != "baton-testkit", "`{}` ships the testkit", package.name);
        }
    }
}

#[test]
fn every_crate_says_what_it_is_for() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for folder in crates {
        let file = ["src/lib.rs", "main.rs"].map(|name| folder.join(name)).into_iter().find(|file| file.exists());
        let file = file.unwrap_or_else(|| panic!("{} has neither src/lib.rs nor main.rs", folder.display()));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with `//!`", file.display());
    }
}

#[test]
fn cuda_is_switched_in_one_file() {
    for file in production_files() {
        let allowed = file.ends_with("crates/kernels/src/lib.rs");
        let switches = fs::read_to_string(&file).unwrap().contains("feature = \"cuda\"");
        assert!(allowed || !switches, "{} switches on `cuda`", file.display());
    }
}

#[test]
fn the_default_build_needs_no_cuda() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let mut users = Vec::new();
    for package in &metadata.packages {
        let default = package.features.get("default").into_iter().flatten();
        assert!(
            !default.into_iter().any(|feature| feature.contains("cuda")),
            "`{}` has `cuda` by default",
            package.name
        );
        for dependency in package.dependencies.iter().filter(|one| one.name == "cudarc") {
            assert!(dependency.optional, "`{}` always depends on cudarc", package.name);
            users.push(package.name.as_str());
        }
    }
    assert_eq!(users, ["baton-kernels"], "the driver is spoken to in one crate");
}

#[test]
fn files_stay_readable() {
    for file in production_files() {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().take_while(|line| *line != "mod tests {").count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: is there a second idea in it?", file.display());
    }
}

#[test]
fn architecture_document_names_every_crate() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, ..) in LAYERS {
        assert!(text.contains(&format!("| `{name}` |")), "ARCHITECTURE.md has no row for `{name}`");
    }
}

fn production_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the checkout can be read") {
            let path = entry.expect("so can its entries").path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty());
    files
}
