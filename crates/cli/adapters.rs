//! Packs' adapters, read for the model that is loaded.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use baton_contract::{Adapter, Digest, Digester};
use baton_decoder::{AdapterFiles, AdapterWeights, Architecture};
use baton_pack::{Pack, RuleFault};

/// Where an adapter lies in a pack's folder.
const FOLDER: &str = "adapter";

/// The adapter of a pack, if it has one.
///
/// # Errors
/// It is not for this model, cannot be used with it, or is not what was read with the pack any more.
pub(crate) fn read(pack: &Pack, model: Digest, architecture: &Architecture) -> Result<Option<Adapter>> {
    if !pack.has_adapter() {
        return Ok(None);
    }
    of_model(pack, model, architecture).with_context(|| format!("the adapter of `{}` is refused", pack.id())).map(Some)
}

fn of_model(pack: &Pack, model: Digest, architecture: &Architecture) -> Result<Adapter> {
    match pack.manifest().adapter_model {
        Some(trained_for) if trained_for == model => {}
        Some(other) => bail!("it was trained for the model {other}, and this is {model}"),
        None => bail!("{}\nhint: {}", UNBOUND, hint(&model.to_string())),
    }
    let files = AdapterFiles::open(&pack.folder().join(FOLDER), architecture)?;
    let mut digester = Digester::new("baton adapter v1");
    for (name, content) in [(AdapterFiles::CONFIG, &files.config), (AdapterFiles::WEIGHTS, &files.weights)] {
        let digest = Digest::of(content);
        let path = format!("{FOLDER}/{name}");
        // The pack's digest names exactly these bytes.
        if !pack.files().iter().any(|file| file.path == path && file.digest == digest) {
            bail!("{path} was changed while the pack was read\nhint: try again");
        }
        digester.field(digest.as_bytes());
    }
    let weights = AdapterWeights::read(&files, architecture)?;
    Ok(Adapter::new(digester.finish(), Arc::new(weights)))
}

const UNBOUND: &str = "the pack does not say for which model its adapter was trained";

fn hint(model: &str) -> String {
    format!("put `[adapter]` and below it `model = \"{model}\"` into twin.toml, of format 2")
}

/// What is wrong with a pack's adapter, as far as that can be said without the model.
pub(crate) fn faults(pack: &Pack) -> Vec<RuleFault> {
    let fault = |path: &str, message: &str, hint: String| {
        let (path, message) = (path.to_owned(), message.to_owned());
        vec![RuleFault { path, offset: None, message, hint: Some(hint) }]
    };
    match (pack.has_adapter(), pack.manifest().adapter_model) {
        (true, None) => fault(FOLDER, UNBOUND, hint("blake3:…")),
        (false, Some(_)) => {
            let hint = format!("put {} and {} into {FOLDER}/", AdapterFiles::CONFIG, AdapterFiles::WEIGHTS);
            fault("twin.toml", "`[adapter]` is there, but no adapter", hint)
        }
        _ => Vec::new(),
    }
}
