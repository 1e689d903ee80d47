//! The server as its owner sees it.

use std::sync::Arc;

use baton_authority::DecisionSpace;
use baton_constraint::{Grammars, SchemaError};
use baton_contract::{ConductorId, Digester, IdError, TwinId};
use baton_judge::Reader;
use baton_pack::Pack;
use baton_rules::{RuleSet, Source};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::conductors::Conductors;
use crate::erasures::sweep;
use crate::exchange::Exchange;
use crate::filing::Filing;
use crate::form::Compiler;
use crate::http;
use crate::judging::{Desk, hand_over, release_approved};
use crate::likeness::Likeness;
use crate::metrics::{Metrics, TaxCollector};
use crate::probe::Probe;
use crate::responses::Running;
use crate::state::AppState;
use crate::twins::{ModelText, Models};
use crate::{ServerConfig, Services};

/// Why a server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two packs, or a pack and the model, have one name.
    #[error("`{0}` names two things to cue; give each twin its own id, and none the model's")]
    DuplicateModel(String),
    /// The pack came without the adapter that it has, or with one that it has not.
    #[error("the pack of `{0}` and its adapter were not handed over together")]
    Adapter(TwinId),
    /// The pack leaves no room for a question.
    #[error("the pack of `{twin}` has {tokens} tokens, and the model reads {limit} at most; shorten the pack")]
    PackTooLong {
        /// Whose pack it is.
        twin: TwinId,
        /// Its length.
        tokens: usize,
        /// The model's context.
        limit: usize,
    },
    /// The documents are more than the budget, and nothing can look them up.
    #[error(
        "the text of `{twin}` takes {tokens} tokens, more than its budget of {budget}, and no embedding model is loaded that could \
         look its documents up; shorten the pack, raise its budget, or load one"
    )]
    OverBudget {
        /// Whose pack it is.
        twin: TwinId,
        /// Its length.
        tokens: usize,
        /// What its manifest allows.
        budget: usize,
    },
    /// The documents cannot be made ready to be looked up.
    #[error("the documents of `{twin}` cannot be embedded: {source}")]
    Lookup {
        /// Whose pack it is.
        twin: TwinId,
        /// Why not.
        source: baton_encoder::EmbedError,
    },
    /// The model's template fails for a single question.
    #[error("the model cannot be asked to decide: {0}")]
    Reader(#[from] baton_judge::Error),
    /// Answers cannot be held to the pack's spec.
    #[error("the spec of `{twin}` cannot be served")]
    Spec {
        /// Whose pack it is.
        twin: TwinId,
        /// What is wrong with its `spec.json`, and where.
        source: SchemaError,
    },
    /// A pack's rules cannot stand.
    #[error("the rules of the pack of `{twin}`: {source}")]
    Rules {
        /// Whose pack it is.
        twin: TwinId,
        /// What is wrong with them.
        source: Box<baton_rules::Error>,
    },
    /// A pack hands over ground that cannot be handed over.
    #[error(transparent)]
    Space(#[from] baton_authority::SpaceError),
    /// The record of decisions cannot be rebuilt from the ledger.
    #[error(transparent)]
    Record(#[from] baton_register::Error),
    /// There is no thread to write cues to the ledger from.
    #[error("the operating system gives no thread: {0}")]
    Thread(std::io::Error),
    /// The server's own name is not one; a fault of this crate.
    #[error(transparent)]
    Name(#[from] IdError),
    /// There is no key to ask again with; a fault of this crate.
    #[error(transparent)]
    Key(#[from] baton_authority::Error),
}

/// An HTTP server that has not begun to serve.
pub struct Server {
    state: Arc<AppState>,
    probe_as: ConductorId,
}

/// The conductor that the server's own probe runs as; no key has this name unless an operator gives it one.
const PROBE: &str = "baton-probe";

impl Server {
    /// Makes a server; renders and tokenises every pack, which takes a moment. The ledger gets the rules and packs that
    /// have changed, and what was approved before is released.
    ///
    /// # Errors
    /// A pack cannot be served, or two things have one name.
    pub fn new(config: ServerConfig, services: Services) -> Result<Self, Error> {
        let filing = Filing::open(services.ledger.clone(), config.every_cue).map_err(Error::Thread)?;
        let state = state(config, services, filing)?;
        Ok(Self { state: Arc::new(state), probe_as: PROBE.parse()? })
    }

    /// What other versions of twins are handed to, while the server serves.
    pub fn exchange(&self) -> Exchange {
        Exchange::new(Arc::clone(&self.state))
    }

    /// Serves `listener` until `shutdown` is ready, then lets requests in progress end within the drain limit. When it
    /// returns, the ledger has every cue that was taken, if it can be written.
    ///
    /// The engine is not stopped: drain it afterwards. `/ready` tells of a shutdown once the engine drains.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let Self { state, probe_as } = self;
        let token = state.tokenizer.end_tokens().first().copied().unwrap_or_default();
        let probe = tokio::spawn(state.probe.clone().run(state.engine.clone(), probe_as, token));
        let expiry = tokio::spawn(expire(Arc::clone(&state)));
        let sweeper = state.config.retention.map(|time| tokio::spawn(sweep(Arc::clone(&state), time)));
        let (config, closing) = (Arc::clone(&state.config), state);
        let ending = async {
            shutdown.await;
            closing.desk.end();
        };
        http::serve(listener, http::router(Arc::clone(&closing)), config, ending).await;
        closing.running.end().await;
        probe.abort();
        expiry.abort();
        closing.desk.tell_missed(Timestamp::from_second((closing.clock)()).unwrap_or(Timestamp::MIN)).await;
        if let Some(sweeper) = sweeper {
            sweeper.abort();
        }
        // It is waited for, so that there is nothing to do about a panic but what was done: it was reported.
        drop(tokio::task::spawn_blocking(move || closing.filing.close()).await);
    }
}

/// What every route can reach; renders and tokenises every pack, and brings the ledger up to date.
///
/// # Errors
/// As [`Server::new`].
pub(crate) fn state(config: ServerConfig, services: Services, filing: Filing) -> Result<AppState, Error> {
    let Services {
        engine,
        encoder,
        tokenizer,
        template,
        model,
        computed_by,
        twins,
        rules,
        ledger,
        keys,
        clock,
        passages,
        case_shelf,
    } = services;
    let fingerprint = fingerprint(&model.digest);
    let house = rules.clone();
    let (rules, spaces) = standards(&twins.packs, rules)?;
    let desk = Desk::open(ledger, rules, spaces)?;
    let metrics = Metrics::new(
        engine.clone(),
        &model.id,
        TaxCollector::new(desk.shared(), Arc::clone(&desk.unrecorded), Arc::clone(&clock)),
    );
    let reader = Reader::new(tokenizer.clone(), template.clone())?;
    let grammars = Grammars::new(&tokenizer);
    let lookup = (encoder.as_ref(), passages.as_deref());
    let text = ModelText { tokenizer: &tokenizer, template: &template, grammars: &grammars, lookup };
    let ready = Models::ready(&model, twins, &text, engine.limits().max_context)?;
    let models = Models::new(model, ready);
    if let Some(taken) = encoder.as_ref().map(|encoder| &encoder.card().id).filter(|id| models.find(id).is_some()) {
        return Err(Error::DuplicateModel(taken.clone()));
    }
    let started = clock();
    let at = Timestamp::from_second(started).unwrap_or(Timestamp::MIN);
    desk.take_stock(&models, at);
    release_approved(&desk, &models, at);
    Ok(AppState {
        started,
        renderers: Arc::new(Semaphore::new(config.render_workers.max(1))),
        config: Arc::new(config),
        engine,
        likeness: Arc::new(Likeness::new(encoder.clone())),
        passages,
        encoder,
        tokenizer,
        template,
        reader,
        house,
        models,
        computed_by,
        keys,
        clock,
        desk,
        case_shelf,
        filing,
        running: Running::default(),
        conductors: Conductors::default(),
        waits: Conductors::default(),
        metrics,
        probe: Probe::default(),
        compiler: Compiler::new(grammars),
        fingerprint,
    })
}

/// The installation's rules with those of all packs, and the ground that the packs hand over under them.
pub(crate) fn standards(packs: &[Pack], mut rules: RuleSet) -> Result<(RuleSet, Vec<DecisionSpace>), Error> {
    for pack in packs {
        let twin = pack.id();
        let sources = pack.rules().iter().map(|file| Source::pack(twin.clone(), &*file.path, &*file.text));
        rules = rules
            .with_pack(twin, &sources.collect::<Vec<_>>())
            .map_err(|error| Error::Rules { twin: twin.clone(), source: Box::new(error) })?;
    }
    let spaces = packs.iter().flat_map(|pack| hand_over(pack, &rules)).collect::<Result<_, _>>()?;
    Ok((rules, spaces))
}

/// Ends whatever time limit of a decision is over, and has the ledger say what it does not have, again and again.
async fn expire(state: Arc<AppState>) {
    loop {
        tokio::time::sleep(state.config.expiry_check).await;
        let now = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
        // What cannot be recorded is tried again the next time; the ledger's own fault was logged.
        if let Ok(over) = state.desk.run(move |register| register.expire(now)).await
            && over > 0
        {
            tracing::info!(over, "time limits of decisions are over");
        }
        state.desk.tell_missed(now).await;
    }
}

/// Changes with the weights and with this build, as OpenAI's `system_fingerprint` does.
fn fingerprint(model: &baton_contract::Digest) -> String {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let digest = Digester::new("baton system fingerprint v1").field(model.as_bytes()).field(version).finish();
    format!("fp_{}", digest.short())
}
