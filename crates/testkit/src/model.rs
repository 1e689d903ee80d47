//! Where tests find the real model.

use std::path::PathBuf;

/// The default model's file name.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The embedding model's folder.
const FOLDER: &str = "all-minilm-l6-v2";

/// The default model: `BATON_TEST_MODEL`, else its file in Baton's cache folder.
///
/// # Panics
/// If it is not there. A test that needs the model fails without it; it never passes unseen.
pub fn model_path() -> PathBuf {
    let path = found("BATON_TEST_MODEL", FILE);
    assert!(path.is_file(), "the test model is not at {}: fetch it with scripts/fetch-model", path.display());
    path
}

/// The embedding model's folder: `BATON_TEST_EMBEDDING_MODEL`, else its place in Baton's cache folder.
///
/// # Panics
/// If it is not there, as [`model_path`].
pub fn embedding_model_path() -> PathBuf {
    let path = found("BATON_TEST_EMBEDDING_MODEL", FOLDER);
    let fetch = "fetch it with scripts/fetch-model all-minilm-l6-v2";
    assert!(path.is_dir(), "the embedding model is not at {}: {fetch}", path.display());
    path
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment where the models are")]
fn found(variable: &str, name: &str) -> PathBuf {
    let folder = |name: &str, below: &str| std::env::var(name).ok().map(|at| PathBuf::from(at).join(below));
    let cache = || {
        let cache = folder("BATON_CACHE", "").or_else(|| folder("XDG_CACHE_HOME", "baton"));
        cache.or_else(|| folder("HOME", ".cache/baton")).map(|cache| cache.join(name))
    };
    let path = folder(variable, "").or_else(cache).unwrap_or_else(|| PathBuf::from(name));
    // Joining an empty path leaves a slash at the end, which a file must not have.
    path.components().collect()
}
