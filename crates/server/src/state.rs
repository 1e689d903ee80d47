//! What every route can reach.

use std::path::PathBuf;
use std::sync::Arc;

use baton_encoder::EncoderHandle;
use baton_engine::EngineHandle;
use baton_judge::Reader;
use baton_rules::RuleSet;
use baton_text::{ChatTemplate, Tokenizer};
use tokio::sync::Semaphore;

use crate::conductors::Conductors;
use crate::error::ApiError;
use crate::filing::Filing;
use crate::form::Compiler;
use crate::judging::Desk;
use crate::likeness::Likeness;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::responses::Running;
use crate::twins::{Model, Models};
use crate::{CaseShelf, Clock, Keys, ServerConfig};

/// Shared by all requests.
pub(crate) struct AppState {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) engine: EngineHandle,
    /// Embeds texts, if a model for it is loaded.
    pub(crate) encoder: Option<EncoderHandle>,
    /// Where the vectors of packs' passages are kept.
    pub(crate) passages: Option<PathBuf>,
    /// Which typed keys mean the same.
    pub(crate) likeness: Arc<Likeness>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    /// Writes questions as the model reads them.
    pub(crate) reader: Reader,
    /// The installation's own rules, without those of packs.
    pub(crate) house: RuleSet,
    pub(crate) models: Models,
    /// What computes, as rows of answers tell it.
    pub(crate) computed_by: String,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    /// When the server came up, seconds since 1970.
    pub(crate) started: i64,
    /// What decisions are judged by, and where they are kept.
    pub(crate) desk: Desk,
    /// Where cases that are made of decisions go.
    pub(crate) case_shelf: Option<CaseShelf>,
    /// Where cues are written down.
    pub(crate) filing: Filing,
    /// Responses in the background.
    pub(crate) running: Running,
    pub(crate) conductors: Conductors,
    /// How many decisions each conductor waits for.
    pub(crate) waits: Conductors,
    pub(crate) metrics: Metrics,
    pub(crate) probe: Probe,
    /// Bounds the prompts that are rendered at once.
    pub(crate) renderers: Arc<Semaphore>,
    /// Compiles the schemas that answers are asked for in.
    pub(crate) compiler: Compiler,
    /// Model, weights and version of this build.
    pub(crate) fingerprint: String,
}

impl AppState {
    /// The twin or the model of this name.
    ///
    /// # Errors
    /// There is none, or it only embeds.
    pub(crate) fn model(&self, name: &str) -> Result<Model, ApiError> {
        let embeds = || self.encoder.as_ref().is_some_and(|encoder| encoder.card().id == name);
        self.models
            .find(name)
            .ok_or_else(|| if embeds() { ApiError::embeds_only(name) } else { ApiError::no_model(name) })
    }
}
