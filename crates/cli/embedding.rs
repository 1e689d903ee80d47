//! The model that embeds texts, if one is configured.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use baton_encoder::{EncoderHandle, Model};

use crate::config::Config;
use crate::model;

/// How an embedding model is had, for people.
pub(crate) const HOW_TO_GET: &str = "--embedding-model all-minilm-l6-v2 loads one, and scripts/fetch-model all-minilm-l6-v2 fetches it; with it, \
     documents that are more than a budget are looked up at each cue";

/// Reads it and starts its thread. It is computed on the CPU, wherever the other model is.
pub(crate) fn open(config: &Config) -> Result<Option<EncoderHandle>> {
    let Some((folder, id)) = model::find_embedding(config)? else { return Ok(None) };
    let cannot = || format!("cannot use the embedding model {}", folder.display());
    let (model, card) = Model::open(&folder, &id, config.threads).with_context(cannot)?;
    tracing::info!(model = id, dimensions = card.dimensions, "texts are embedded");
    Ok(Some(EncoderHandle::start(card, Box::new(model))?))
}

/// The same, read when it is first needed: most packs look nothing up.
#[derive(Debug)]
pub(crate) struct OnDemand {
    config: Config,
    opened: OnceLock<Option<EncoderHandle>>,
}

impl OnDemand {
    pub(crate) fn new(config: &Config) -> Self {
        Self { config: config.clone(), opened: OnceLock::new() }
    }

    /// The model; nothing if none is configured.
    ///
    /// # Errors
    /// It is not there, or cannot be used.
    pub(crate) fn get(&self) -> Result<Option<&EncoderHandle>> {
        if self.opened.get().is_none() {
            // Of two that come at once, one reads it for nothing.
            _ = self.opened.set(open(&self.config)?);
        }
        Ok(self.opened.get().and_then(Option::as_ref))
    }
}
