//! `baton pull`: fetch a known model.

use anyhow::Result;
use indicatif::BinaryBytes;

use crate::Outcome;
use crate::args::PullArgs;
use crate::config::Config;
use crate::model::{Catalog, Known};
use crate::output;

/// Lists the known models or downloads one.
pub(crate) fn run(args: &PullArgs, config: &Config) -> Result<Outcome> {
    let catalog = Catalog::read(config.catalog.as_deref())?;
    if args.list {
        for known in catalog.iter() {
            list(known, config)?;
        }
        return Ok(Outcome::Good);
    }
    fetch(catalog.get(args.id.as_deref().unwrap_or(&config.model))?, config)
}

fn list(known: &Known, config: &Config) -> Result<()> {
    let Known { id, title, architecture, context, licence, .. } = known;
    let there = if config.cache.join(&known.file).is_file() { "fetched" } else { "not fetched" };
    let size = BinaryBytes(known.size);
    output::line(format!("{id}  {title}, {architecture}, {size}, {context} tokens of context, {licence}, {there}"))?;
    Ok(())
}

#[cfg(feature = "hub")]
fn fetch(known: &Known, config: &Config) -> Result<Outcome> {
    let path = crate::model::pull(known, &config.cache, &config.hub_endpoint)?;
    output::line(path.display())?;
    Ok(Outcome::Good)
}

#[cfg(not(feature = "hub"))]
fn fetch(known: &Known, config: &Config) -> Result<Outcome> {
    anyhow::bail!(
        "this baton was built without the feature `hub`: it opens no outward connection and cannot pull `{}` from {}\n\
         hint: {}",
        known.id,
        config.hub_endpoint,
        known.how_to_fetch()
    )
}
