//! `baton pull`: fetch a model.

use anyhow::Result;
use indicatif::BinaryBytes;

use crate::Outcome;
use crate::args::PullArgs;
use crate::config::Config;
use crate::model::{Catalog, Known, RepoName};
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
    let name = args.id.as_deref().unwrap_or(&config.model);
    if let Some(repository) = RepoName::parse(name) {
        return fetch_repository(&repository, args, config);
    }
    if args.file.is_some() || args.revision.is_some() {
        anyhow::bail!(
            "--file and --revision are about a repository, and `{name}` is none\nhint: name it as OWNER/NAME"
        );
    }
    fetch(catalog.get(name)?, config)
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

#[cfg(feature = "hub")]
fn fetch_repository(name: &RepoName, args: &PullArgs, config: &Config) -> Result<Outcome> {
    let path = crate::model::pull_repository(
        &crate::model::Asked {
            name,
            revision: args.revision.as_deref().unwrap_or("main"),
            file: args.file.as_deref(),
            endpoint: &config.hub_endpoint,
            token: crate::config::hub_token()?,
        },
        &config.cache,
    )?;
    output::line(path.display())?;
    output::note(format!("It is used by its name: --model {name}, or --embedding-model {name} if it embeds texts."));
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

#[cfg(not(feature = "hub"))]
fn fetch_repository(name: &RepoName, _args: &PullArgs, config: &Config) -> Result<Outcome> {
    anyhow::bail!(
        "this baton was built without the feature `hub`: it opens no outward connection and cannot pull {name} from {}\n\
         hint: put its files into a folder by hand and name that with --model",
        config.hub_endpoint
    )
}
