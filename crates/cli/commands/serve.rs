//! `baton serve`: everything, from the configuration to the last answer.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use baton_authority::{KeyRing, Mandate, NewKey};
use baton_contract::TwinId;
use baton_encoder::EncoderHandle;
use baton_engine::EngineState;
use baton_pack::{Pack, Versions};
use baton_server::{Keys, Server, ServerConfig, Services};
use baton_text::Tokenizer;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use crate::args::ServeArgs;
use crate::config::{Config, LedgerCues};
use crate::embedding;
use crate::house;
use crate::keys::KeyStore;
use crate::ledger;
use crate::live;
use crate::output;
use crate::packs::{self, Packs};
use crate::watch::{self, Watch};
use crate::wiring::{self, Runtime};

/// Whose key the first start makes.
const FIRST_CONDUCTOR: &str = "first";

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs, config: &Config) -> Result<Outcome> {
    if args.show_config {
        output::part(&config.table())?;
        return Ok(Outcome::Good);
    }
    // A port that is taken should not be found out after a model was loaded.
    let listener = bind(&config.listen)?;
    let address = listener.local_addr()?;
    // Nor that another server has the ledger, or that a rule is wrong.
    let rules = house::load(config.rules.as_deref())?;
    let ledger = ledger::open_to_write(&config.data)?;
    let versions = Versions::of(&config.data);
    let seen = watch::look(&config.data, &versions);
    let encoder = embedding::open(config)?;
    let (runtime, twins) = Runtime::load_and(config, |tokenizer| read_packs(config, tokenizer))?;
    let twins = with_good_adapters(config, &runtime, twins)?;
    let names: Vec<TwinId> = twins.iter().map(|pack| pack.id().clone()).collect();
    let (ring, first) = open_keys(&config.data)?;
    // What is served has to be in the ledger before it is.
    baton_register::record(&ledger, &ledger::changes_of_versions(&versions)?)?;
    let unrecorded = watch::record(&ledger, ledger::changes_of(&ring));
    let keys = Keys::new(ring);
    let banner = banner((address, encoder.as_ref()), &runtime, &names, first.as_ref());
    let engine = runtime.engine.clone();
    let loaded = runtime.loaded(encoder.as_ref());
    let twins = live::offer(&config.data, twins, &loaded)?;
    let mut watch = Watch {
        data: config.data.clone(),
        loaded,
        served: twins.packs.clone(),
        keys: keys.clone(),
        ledger: ledger.clone(),
        unrecorded,
        seen,
    };
    let services = Services {
        engine: runtime.engine,
        encoder: encoder.clone(),
        tokenizer: runtime.tokenizer,
        template: runtime.template,
        model: runtime.card,
        computed_by: runtime.computed_by,
        twins,
        rules,
        ledger,
        keys: keys.clone(),
        clock: Arc::new(|| Timestamp::now().as_second()),
        passages: Some(wiring::passages_folder(config)),
        case_shelf: config.packs.clone().map(packs::case_shelf),
    };
    let server_config = ServerConfig {
        drain_timeout: config.drain,
        every_cue: config.ledger_cues == LedgerCues::All,
        retention: config.ledger_retention,
        ..ServerConfig::default()
    };
    let server = Server::new(server_config, services)?;
    let exchange = server.exchange();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let (stop, lost) = (stop_signal()?, engine.clone());
        let ending = async move {
            tokio::select! {
                () = stop => {}
                reason = lost.lost() => tracing::error!(reason, "ending: what is in flight is told, and the ledger written"),
            }
        };
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let watching = tokio::spawn(async move { watch.run(&exchange).await });
        output::part(&banner)?;
        server.serve(listener, ending).await;
        watching.abort();
        // Whatever outlived the server's own limit has lost its client.
        engine.drain(Duration::ZERO).await;
        if engine.status().state == EngineState::Lost {
            tracing::error!("stopped: the device is lost to this process; start the server anew");
            return Ok(Outcome::DeviceLost);
        }
        tracing::info!("stopped");
        Ok(Outcome::Good)
    })
}

/// Refuses if an adapter cannot be used, unless its twin is then to be left out.
fn with_good_adapters(config: &Config, runtime: &Runtime, twins: Vec<Pack>) -> Result<Vec<Pack>> {
    let mut served = Vec::new();
    for pack in twins {
        match runtime.adapter(&pack) {
            Ok(_) => served.push(pack),
            Err(error) if config.skip_broken_packs => output::note(format!("`{}` is left out: {error:#}", pack.id())),
            Err(error) => return Err(error),
        }
    }
    Ok(served)
}

fn bind(listen: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(listen).with_context(|| {
        format!("cannot listen on {listen}\nhint: name another address with --listen, like 127.0.0.1:8001")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The packs to serve: of a published twin what is live. Refuses if one is broken, unless that is wanted or a version of
/// it is live.
fn read_packs(config: &Config, tokenizer: &Tokenizer) -> Result<Vec<Pack>> {
    let Some(folder) = &config.packs else {
        output::note("No packs: only the model itself is served. Name a folder of packs with --packs.");
        return Ok(Vec::new());
    };
    let Packs { good, broken, report } =
        Packs::read(folder, &|text| tokenizer.encode(text).len(), config.embedding_model.is_some())?;
    if !report.findings.is_empty() {
        output::note(packs::show(folder, &report));
    }
    let versions = Versions::of(&config.data);
    let mut served = Vec::new();
    for draft in good {
        let Some((_, live)) = versions.live(draft.id())? else {
            served.push(draft);
            continue;
        };
        if live.digest() != draft.digest() {
            let (twin, version) = (live.id(), &live.manifest().version);
            output::note(format!("{twin}: version {version} is live; what is in the folder is not published"));
        }
        served.push(live);
    }
    let mut left_out = 0;
    for name in &broken {
        // A folder usually has the name of its twin.
        match name.parse().ok().map(|twin| versions.live(&twin)).transpose()?.flatten() {
            Some((_, live)) if served.iter().all(|other| other.id() != live.id()) => {
                output::note(format!(
                    "{name}: version {} is live; what is in the folder is broken",
                    live.manifest().version
                ));
                served.push(live);
            }
            _ => left_out += 1,
        }
    }
    let outside = report.has_errors() && broken.is_empty();
    if (left_out > 0 || outside) && !config.skip_broken_packs {
        bail!(
            "{left_out} of the packs in {} have errors\nhint: mend them (see `baton twin check`) or leave them out with \
             --skip-broken-packs",
            folder.display()
        );
    }
    Ok(served)
}

/// The installation's keys; the first start makes one.
fn open_keys(data: &Path) -> Result<(KeyRing, Option<NewKey>)> {
    let mut store = KeyStore::open(data)?;
    let first = if store.ring.records().next().is_none() {
        Some(store.issue(FIRST_CONDUCTOR.parse()?, Mandate::default())?)
    } else {
        None
    };
    Ok((store.ring, first))
}

/// Ready at the first SIGTERM or SIGINT. From then on a second one ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (told, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: running requests may finish; a second signal ends at once");
        // The server may have ended by itself.
        let _ = told.send(());
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(1);
    });
    Ok(async {
        // A dropped sender cannot happen before it has sent, but would mean to stop as well.
        let _ = stop.await;
    })
}

/// What the operator sees once the server is ready.
fn banner(
    (address, encoder): (SocketAddr, Option<&EncoderHandle>),
    runtime: &Runtime,
    twins: &[TwinId],
    first: Option<&NewKey>,
) -> String {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && host.contains(':') { format!("[{host}]") } else { host };
    let url = format!("http://{host}:{}/v1", address.port());
    let (model, digest) = (&runtime.card.id, runtime.card.digest.short());
    let context = runtime.engine.limits().max_context;
    let names = twins.iter().map(TwinId::as_str).collect::<Vec<_>>().join(", ");
    let embeds = encoder.map_or(String::new(), |encoder| {
        let card = encoder.card();
        format!("embeds {} (blake3 {}, {} dimensions)\n", card.id, card.digest.short(), card.dimensions)
    });
    let example = twins.first().map_or(model.as_str(), TwinId::as_str);
    let key = first
        .map_or(String::new(), |key| format!("\nAPI key of `{FIRST_CONDUCTOR}`, shown this once:\n  {}\n", &*key.text));
    format!(
        "Serving {url}\n\
         model  {model} (blake3 {digest}, {context} tokens of context)\n\
         twins  {}\n\
         {embeds}\
         {key}\n\
         A first cue:\n  \
         export OPENAI_BASE_URL={url} OPENAI_API_KEY=baton_…\n  \
         curl $OPENAI_BASE_URL/chat/completions -H \"Authorization: Bearer $OPENAI_API_KEY\" \\\n    \
         -H 'Content-Type: application/json' -d '{{\"model\": \"{example}\", \"max_tokens\": 200,\n    \
         \"messages\": [{{\"role\": \"user\", \"content\": \"What do you decide, and what not?\"}}],\n    \
         \"metadata\": {{\"why\": \"getting to know you\"}}}}'\n\n\
         Ctrl-C lets running requests finish and stops.\n",
        if names.is_empty() { "none" } else { &names }
    )
}
