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
    /// What looks up the documents of packs that have too many of them.
    pub(crate) embedding_model: Option<Digest>,
    pub(crate) architecture: Architecture,
}

/// These packs as they are to be served, with a word about those that are on trial.
///
/// # Errors
/// An adapter does not fit the model, or what is kept about versions cannot be read.
pub(crate) fn offer(data: &Path, packs: Vec<Pack>, on: &Loaded) -> Result<Offer> {
    let calibrations = calibrations::read_all(data, &packs, on.model);
    let on_trial = on_trial(&Versions::of(data), &packs, on)?;
    let mut adapters = BTreeMap::new();
    for pack in &packs {
        let adapter = adapters::read(pack, on.model, &on.architecture)?;
        adapters.extend(adapter.map(|adapter| (pack.id().clone(), adapter)));
    }
    Ok(Offer { packs, adapters, on_trial, calibrations })
}

/// Twins of which no version was published on this model whose cases passed, with a word about them.
fn on_trial(versions: &Versions, packs: &[Pack], on: &Loaded) -> Result<BTreeSet<TwinId>> {
    let mut on_trial = BTreeSet::new();
    let mut told = Vec::new();
    for pack in packs {
        let publications = versions.publications(pack.id())?;
        let tested = publications.iter().filter(|one| one.pack == pack.digest()).map(|one| &one.tested);
        if tested.clone().any(|tested| tested.passed_on(on.model, on.embedding_model)) {
            continue;
        }
        let passed = tested.filter(|tested| tested.meets_bar());
        let models: BTreeMap<Digest, &str> = passed.map(|tested| (tested.model, tested.model_name.as_str())).collect();
        let name = |(digest, name): (&Digest, &&str)| {
            let lookup = if *digest == on.model { " with another embedding model" } else { "" };
            format!("{name} {}{lookup}", digest.short())
        };
        let names = models.iter().map(name).collect::<Vec<_>>();
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
