//! The model that embeds texts, if one is configured.

use anyhow::{Context, Result};
use baton_encoder::{EncoderHandle, Model};

use crate::config::Config;
use crate::model;

/// Reads it and starts its thread. It is computed on the CPU, wherever the other model is.
pub(crate) fn open(config: &Config) -> Result<Option<EncoderHandle>> {
    let Some((folder, id)) = model::find_embedding(config)? else { return Ok(None) };
    let cannot = || format!("cannot use the embedding model {}", folder.display());
    let (model, card) = Model::open(&folder, &id, config.threads).with_context(cannot)?;
    tracing::info!(model = id, dimensions = card.dimensions, "texts are embedded");
    Ok(Some(EncoderHandle::start(card, Box::new(model))?))
}
