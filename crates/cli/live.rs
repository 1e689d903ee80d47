//! What a server offers of packs on the model that is loaded: what was fitted for them, and which are on trial.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use baton_contract::{Digest, TwinId};
use baton_decoder::Architecture;
use baton_pack::{Pack, Versions};
use baton_server::Offer;

use crate::{adapters, calibrations, output};

/// The model that is loaded, as far as packs have to fit it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) model: Digest,
    pub(crate) architecture: Architecture,
}

/// These packs as they are to be served, with a word about those that are on trial.
///
/// # Errors
/// An adapter does not fit the model, or what is kept about versions cannot be read.
pub(crate) fn offer(data: &Path, packs: Vec<Pack>, on: &Loaded) -> Result<Offer> {
    let calibrations = calibrations::read_all(data, &packs, on.model);
    let on_trial = on_trial(&Versions::of(data), &packs, on.model)?;
    let mut adapters = BTreeMap::new();
    for pack in &packs {
        let adapter = adapters::read(pack, on.model, &on.architecture)?;
        adapters.extend(adapter.map(|adapter| (pack.id().clone(), adapter)));
    }
    Ok(Offer { packs, adapters, on_trial, calibrations })
}

/// Twins of which no version was published on this model whose cases passed, with a word about them.
fn on_trial(versions: &Versions, packs: &[Pack], model: Digest) -> Result<BTreeSet<TwinId>> {
    let mut on_trial = BTreeSet::new();
    let mut told = Vec::new();
    for pack in packs {
        let publications = versions.publications(pack.id())?;
        let passed = publications.iter().filter(|one| one.pack == pack.digest() && one.tested.meets_bar());
        let models: BTreeMap<Digest, &str> =
            passed.map(|one| (one.tested.model, one.tested.model_name.as_str())).collect();
        if models.contains_key(&model) {
            continue;
        }
        let names = models.iter().map(|(digest, name)| format!("{name} {}", digest.short())).collect::<Vec<_>>();
        told.push(match &names[..] {
            [] => pack.id().to_string(),
            names => format!("{} (its cases passed on {})", pack.id(), names.join(" and ")),
        });
        on_trial.insert(pack.id().clone());
    }
    if !on_trial.is_empty() {
        output::note(format!(
            "On trial on this model, so nothing of theirs is decided unchecked: {}\nhint: `baton twin publish` runs their \
             known-good cases and lets those go live that pass",
            told.join(", ")
        ));
    }
    Ok(on_trial)
}
