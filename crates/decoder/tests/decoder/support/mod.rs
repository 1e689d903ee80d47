pub(crate) mod adapters;
pub(crate) mod reference;
pub(crate) mod sequences;
pub(crate) mod tiny;
pub(crate) mod writer;

use std::io::Write;
use std::path::PathBuf;

use baton_decoder::{Error, ModelFile};

/// Opens bytes as a file would be opened.
pub(crate) fn open(bytes: &[u8]) -> Result<ModelFile, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    // On Unix the map outlives the name.
    ModelFile::open(file.path())
}

/// The default model.
pub(crate) fn real_model() -> ModelFile {
    #[expect(clippy::disallowed_methods, reason = "tests find the model as the scripts left it")]
    let variable = |name| std::env::var(name).ok().map(PathBuf::from);
    let cache = || {
        let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        variable("BATON_CACHE").or_else(|| Some(base?.join("baton")))
    };
    let path = variable("BATON_TEST_MODEL").or_else(|| Some(cache()?.join("SmolLM2-135M-Instruct.Q4_1.gguf")));
    let path = path.filter(|path| path.exists()).expect("the test model is not there; run scripts/fetch-model first");
    ModelFile::open(&path).unwrap()
}

/// Gemma 3 270M.
pub(crate) fn gemma() -> ModelFile {
    #[expect(clippy::disallowed_methods, reason = "tests find the model as the scripts left it")]
    let path = std::env::var("BATON_TEST_GEMMA").expect("BATON_TEST_GEMMA is not set; run scripts/test-models");
    ModelFile::open(path.as_ref()).unwrap()
}
