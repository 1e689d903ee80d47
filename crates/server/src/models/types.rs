//! OpenAI's model object, with vLLM's `max_model_len` and what there is to know about a twin.

use baton_encoder::EncoderCard;
use serde::Serialize;

use crate::state::AppState;
use crate::twins::{Model, Twin};

#[derive(Serialize)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<ModelBody>,
}

#[derive(Serialize)]
pub(crate) struct ModelBody {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    /// Tokens of input and output together; of an embedding model, those of one text.
    max_model_len: usize,
    baton: BatonModel,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum BatonModel {
    Model {
        digest: String,
    },
    Twin(Box<TwinBody>),
    /// Makes vectors of texts.
    Embedding {
        digest: String,
        dimensions: usize,
    },
}

#[derive(Serialize)]
struct TwinBody {
    title: String,
    craft: String,
    expert: String,
    pack_version: String,
    pack_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter_digest: Option<String>,
    /// The last day on which the pack counts as fresh.
    review_by: String,
    stale: bool,
    covers: Vec<String>,
    excludes: Vec<ExclusionBody>,
    /// Tokens that the model reads before every cue.
    pack_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<usize>,
}

#[derive(Serialize)]
struct ExclusionBody {
    topic: String,
    ask: String,
}

impl ModelList {
    pub(crate) fn new(data: Vec<ModelBody>) -> Self {
        Self { object: "list", data }
    }
}

impl ModelBody {
    pub(crate) fn new(state: &AppState, model: &Model) -> Self {
        let baton = match model {
            Model::Base(card) => BatonModel::Model { digest: card.digest.to_string() },
            Model::Twin(twin) => BatonModel::Twin(Box::new(TwinBody::new(twin, (state.clock)()))),
        };
        Self {
            id: model.name().to_owned(),
            object: "model",
            created: state.started,
            owned_by: "baton",
            max_model_len: state.engine.limits().max_context,
            baton,
        }
    }

    pub(crate) fn of_encoder(state: &AppState, card: &EncoderCard) -> Self {
        Self {
            id: card.id.clone(),
            object: "model",
            created: state.started,
            owned_by: "baton",
            max_model_len: card.words.max_tokens(),
            baton: BatonModel::Embedding { digest: card.digest.to_string(), dimensions: card.dimensions },
        }
    }
}

impl TwinBody {
    fn new(twin: &Twin, now: i64) -> Self {
        let manifest = twin.pack.manifest();
        let exclusion = |exclusion: &baton_pack::Exclusion| ExclusionBody {
            topic: exclusion.topic.clone(),
            ask: exclusion.ask.clone(),
        };
        Self {
            title: manifest.title.clone(),
            craft: manifest.craft.clone(),
            expert: manifest.expert.name.clone(),
            pack_version: manifest.version.clone(),
            pack_digest: twin.pack.digest().to_string(),
            adapter_digest: twin.adapter.as_ref().map(|adapter| adapter.digest().to_string()),
            review_by: manifest.review_by.to_string(),
            stale: twin.is_stale(now),
            covers: manifest.scope.covers.clone(),
            excludes: manifest.scope.excludes.iter().map(exclusion).collect(),
            pack_tokens: twin.prefix.as_ref().map_or(0, |prefix| prefix.tokens.len()),
            max_output_tokens: manifest.limits.max_output_tokens,
        }
    }
}
