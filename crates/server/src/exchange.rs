//! Other versions of twins while the server serves: what is in progress ends with the pack it began with.

use std::sync::Arc;

use jiff::Timestamp;

use crate::judging::void_changed;
use crate::server::standards;
use crate::state::AppState;
use crate::twins::{ModelText, Models};
use crate::{Error, Offer};

/// Puts other packs in the place of those that are served. Keeps the server's state alive.
#[derive(Clone)]
pub struct Exchange(Arc<AppState>);

impl Exchange {
    pub(crate) fn new(state: Arc<AppState>) -> Self {
        Self(state)
    }

    /// Serves these twins from now on, and no others. The ledger gets the packs and rules that have changed, and what
    /// waits for people and was decided under others is voided. Renders and tokenises every pack: it may take a moment.
    ///
    /// # Errors
    /// A pack cannot be served, or two things have one name; then nothing has changed.
    pub fn serve(&self, offer: Offer) -> Result<(), Error> {
        let state = &self.0;
        let (rules, spaces) = standards(&offer.packs, state.house.clone())?;
        let text = ModelText {
            tokenizer: &state.tokenizer,
            template: &state.template,
            grammars: state.compiler.grammars(),
            lookup: (state.encoder.as_ref(), state.passages.as_deref()),
        };
        let twins = Models::ready(&state.models.base, offer, &text, state.engine.limits().max_context)?;
        state.desk.load(rules, spaces);
        state.models.replace(twins);
        let at = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
        state.desk.take_stock(&state.models, at);
        match void_changed(&state.desk, &state.models, at) {
            Ok(0) => {}
            Ok(voided) => tracing::info!(voided, "decisions that waited were made by other packs, and are voided"),
            Err(error) => tracing::error!(%error, "what waits could not be looked through for other packs"),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({:?}, ..)", self.0.models)
    }
}
