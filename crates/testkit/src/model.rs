//! Where tests find the real model.

use std::path::PathBuf;

/// The default model's file name.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The default model: `BATON_TEST_MODEL`, else its file in Baton's cache folder.
///
/// # Panics
/// If it is not there. A test that needs the model fails without it; it never passes unseen.
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment where the model is")]
pub fn model_path() -> PathBuf {
    let folder = |name: &str, below: &str| std::env::var(name).ok().map(|at| PathBuf::from(at).join(below));
    let cache = || {
        let cache = folder("BATON_CACHE", "").or_else(|| folder("XDG_CACHE_HOME", "baton"));
        cache.or_else(|| folder("HOME", ".cache/baton")).map(|cache| cache.join(FILE))
    };
    let path = folder("BATON_TEST_MODEL", "").or_else(cache).unwrap_or_else(|| PathBuf::from(FILE));
    // Joining an empty path leaves a slash at the end, which a file must not have.
    let path: PathBuf = path.components().collect();
    assert!(path.is_file(), "the test model is not at {}: fetch it with scripts/fetch-model", path.display());
    path
}
