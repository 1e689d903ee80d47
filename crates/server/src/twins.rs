//! The twins that are served, each with the tokens that its cues share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use baton_authority::Target;
use baton_constraint::{Grammar, Grammars, Schema};
use baton_contract::{Adapter, Prefix, TokenId, TwinId};
use baton_encoder::EncoderHandle;
use baton_judge::Temperature;
use baton_pack::{Date, Pack};
use baton_text::{ChatTemplate, Tokenizer, Tool, pack_prefix, pack_prefix_with_tools};

use crate::library::Library;
use crate::{Error, ModelCard, Offer};

/// A pack, ready to be cued.
#[derive(Debug)]
pub(crate) struct Twin {
    pub(crate) pack: Pack,
    /// What the model reads before every cue.
    pub(crate) system_text: String,
    /// Its documents, if they are looked up at each cue.
    pub(crate) library: Option<Library>,
    /// Its tokens, shared by all cues; absent if the model's template offers no place to share from.
    pub(crate) prefix: Option<Arc<Prefix>>,
    /// The same for most chats that offer tools, where the template tells of tools beside the pack.
    tool_prefix: Option<Arc<Prefix>>,
    /// What its cues are computed with beside the model.
    pub(crate) adapter: Option<Adapter>,
    /// The pack's schema, to which answers are held.
    pub(crate) grammar: Option<Arc<Grammar>>,
    /// Its known-good cases have not passed on this model: nothing of it is decided unchecked.
    pub(crate) on_trial: bool,
    /// How far the model's judgment can be taken at its word, if that was fitted.
    pub(crate) calibration: Option<Temperature>,
}

/// How the loaded model reads and writes.
pub(crate) struct ModelText<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) template: &'a ChatTemplate,
    pub(crate) grammars: &'a Grammars,
    /// What embeds texts, if a model for it is loaded, and where vectors are kept.
    pub(crate) lookup: (Option<&'a EncoderHandle>, Option<&'a Path>),
}

/// All that a client may write as `model`.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) base: ModelCard,
    /// Replaced whole when another version goes live.
    twins: RwLock<Arc<Twins>>,
}

/// Twins by name.
pub(crate) type Twins = BTreeMap<TwinId, Arc<Twin>>;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Base(ModelCard),
    Twin(Arc<Twin>),
}

impl Models {
    pub(crate) fn new(base: ModelCard, twins: Twins) -> Self {
        Self { base, twins: RwLock::new(Arc::new(twins)) }
    }

    /// The twins that are served now.
    pub(crate) fn twins(&self) -> Arc<Twins> {
        Arc::clone(&self.twins.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves these from now on; what is in progress ends with what it began with.
    pub(crate) fn replace(&self, twins: Twins) {
        *self.twins.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(twins);
    }

    /// Makes packs ready to be cued.
    ///
    /// # Errors
    /// One of them cannot be served, or two things have one name.
    pub(crate) fn ready(
        base: &ModelCard,
        offer: Offer,
        text: &ModelText<'_>,
        max_context: usize,
    ) -> Result<Twins, Error> {
        let Offer { packs, mut adapters, on_trial, calibrations } = offer;
        let mut twins = BTreeMap::new();
        for pack in packs {
            let id = pack.id().clone();
            let adapter = adapters.remove(&id);
            if pack.has_adapter() != adapter.is_some() {
                return Err(Error::Adapter(id));
            }
            let (encoder, folder) = text.lookup;
            let library = Library::of(&pack, encoder, text.tokenizer, folder)?;
            let system_text = if library.is_some() { pack.lookup_text() } else { pack.system_text() };
            let tokens = pack_prefix(text.tokenizer, text.template, &system_text);
            if tokens.len() >= max_context {
                return Err(Error::PackTooLong { twin: id, tokens: tokens.len(), limit: max_context });
            }
            let shared = |tokens: Vec<TokenId>| {
                let prefix = || Prefix::of_pack(base.digest, pack.digest(), id.to_string(), tokens, adapter.clone());
                Some(Arc::new(prefix()))
            };
            let of_tools = if text.template.tells_of_tools() {
                pack_prefix_with_tools(text.tokenizer, text.template, &system_text)
            } else {
                Vec::new()
            };
            let fits = !of_tools.is_empty() && of_tools.len() < max_context;
            let tool_prefix = if fits { shared(of_tools) } else { None };
            let prefix = if tokens.is_empty() { None } else { shared(tokens) };
            if prefix.is_none() {
                tracing::warn!(twin = %id, "the chat template gives the pack no place to share; it is computed per cue");
            }
            let grammar = match pack.spec() {
                None => None,
                Some(spec) => {
                    let compiled = Schema::read(spec).and_then(|schema| text.grammars.compile(&schema));
                    Some(Arc::new(compiled.map_err(|source| Error::Spec { twin: id.clone(), source })?))
                }
            };
            let (on_trial, calibration) = (on_trial.contains(&id), calibrations.get(&pack.digest()).copied());
            let twin =
                Twin { pack, system_text, library, prefix, tool_prefix, adapter, grammar, on_trial, calibration };
            let twin = Arc::new(twin);
            if id.as_str() == base.id || twins.insert(id.clone(), twin).is_some() {
                return Err(Error::DuplicateModel(id.to_string()));
            }
        }
        Ok(twins)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Model> {
        if name == self.base.id {
            return Some(Model::Base(self.base.clone()));
        }
        let id: TwinId = name.parse().ok()?;
        self.twins().get(&id).map(|twin| Model::Twin(Arc::clone(twin)))
    }

    /// The base model first, then the twins by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = Model> {
        let twins: Vec<Model> = self.twins().values().map(|twin| Model::Twin(Arc::clone(twin))).collect();
        std::iter::once(Model::Base(self.base.clone())).chain(twins)
    }
}

impl Model {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Base(card) => &card.id,
            Self::Twin(twin) => twin.pack.id().as_str(),
        }
    }

    pub(crate) fn target(&self) -> Target {
        match self {
            Self::Base(_) => Target::Base,
            Self::Twin(twin) => Target::Twin(twin.pack.id().clone()),
        }
    }

    /// The twin, if its answers are checked.
    pub(crate) fn spec(&self) -> Option<Arc<Twin>> {
        match self {
            Self::Twin(twin) if twin.has_spec() => Some(Arc::clone(twin)),
            Self::Base(_) | Self::Twin(_) => None,
        }
    }

    /// What it is computed with beside the base model.
    pub(crate) fn adapter(&self) -> Option<&Adapter> {
        self.twin()?.adapter.as_ref()
    }

    pub(crate) fn twin(&self) -> Option<&Twin> {
        match self {
            Self::Base(_) => None,
            Self::Twin(twin) => Some(twin),
        }
    }
}

impl Twin {
    /// What the model reads before a chat that offers tools, or none.
    pub(crate) fn prefix_of(&self, tools: &[Tool]) -> Option<&Arc<Prefix>> {
        let with_tools = if tools.is_empty() { None } else { self.tool_prefix.as_ref() };
        with_tools.or(self.prefix.as_ref())
    }

    /// Whether the pack's review was due before the day of `now`, seconds since 1970, in UTC.
    pub(crate) fn is_stale(&self, now: i64) -> bool {
        self.pack.is_stale(date(now))
    }
}

/// The day of a time, seconds since 1970, in UTC.
pub(crate) fn date(now: i64) -> Date {
    let time = jiff::Timestamp::from_second(now).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}
