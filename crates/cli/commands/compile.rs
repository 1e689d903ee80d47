//! `baton twin compile`: computes packs ahead of time, so that the first cue after a start need not wait for it.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use baton_contract::{Emission, Generate, Prefix, Sampling, StopRules};
use baton_engine::{EngineHandle, PrefixStore};
use baton_pack::{Pack, Versions};

use crate::Outcome;
use crate::config::{ByteSize, Config};
use crate::output;
use crate::packs::{self, Packs};
use crate::progress::Progress;
use crate::wiring::{self, Runtime};

/// How often the bar is moved.
const LOOK: Duration = Duration::from_millis(100);

/// What came of one twin.
enum Compiled {
    /// Its file was there, and it was whole.
    AlreadyThere(Arc<Prefix>),
    /// It took so long.
    Computed(Arc<Prefix>, Duration),
    /// Why it is not kept.
    Failed(String),
}

/// Computes and stores the packs of these twins, or of all.
pub(crate) fn run(twins: &[String], config: &Config) -> Result<Outcome> {
    if config.prefix_store.0 == 0 {
        bail!("computed packs are not kept: `engine.prefix_store` is 0\nhint: allow some space with --prefix-store");
    }
    // Everything cheap is checked before the model is loaded.
    let (drafts, broken) = choose(twins, config)?;
    let packs = packs::live(drafts, &Versions::of(&config.data))?;
    let runtime = Runtime::load(config)?;
    let compiled = wiring::block_on(compile(&runtime, &packs))?;
    let names = packs.iter().map(|pack| pack.id().as_str()).chain(broken.iter().map(String::as_str));
    let width = names.map(str::len).max().unwrap_or(0);
    let mut outcome = Outcome::Good;
    for (pack, compiled) in packs.iter().zip(&compiled) {
        let (text, is_kept) = describe(compiled, &runtime, config);
        if !is_kept {
            outcome = Outcome::FoundErrors;
        }
        output::line(format!("{:width$}  {text}", pack.id().as_str()))?;
    }
    for name in &broken {
        output::line(format!("{name:width$}  failed: the pack has errors; see: baton twin check"))?;
        outcome = Outcome::FoundErrors;
    }
    Ok(outcome)
}

/// The packs that are meant, and the folders of those that have errors, unless they are to be left out.
pub(super) fn choose(twins: &[String], config: &Config) -> Result<(Vec<Pack>, Vec<String>)> {
    if !twins.is_empty() {
        let packs = twins.iter().map(|id| packs::find(id, config)).collect::<Result<_>>()?;
        return Ok((packs, Vec::new()));
    }
    let Some(folder) = &config.packs else {
        bail!("there is no folder of packs\nhint: name one with --packs");
    };
    // Whether a pack fits its budget is for `check` to say.
    let Packs { good, broken, .. } = Packs::read(folder, &|_| 0, false)?;
    Ok((good, broken.into_iter().filter(|_| !config.skip_broken_packs).collect()))
}

/// One result a pack, in their order; all files are written when this returns.
async fn compile(runtime: &Runtime, packs: &[Pack]) -> Result<Vec<Compiled>> {
    let prefixes = packs.iter().map(|pack| Ok(runtime.ground(pack)?.prefix)).collect::<Result<Vec<_>>>()?;
    let total: usize = prefixes.iter().flatten().map(|prefix| prefix.tokens.len()).sum();
    let progress = Progress::count("tokens", total);
    let (mut compiled, mut done) = (Vec::new(), 0);
    for prefix in prefixes {
        let Some(prefix) = prefix else {
            let reason = "the model's chat template gives the pack no place to share";
            compiled.push(Compiled::Failed(reason.to_owned()));
            continue;
        };
        let length = prefix.tokens.len() as u64;
        let show = |tokens: u64| progress.set(done + tokens.min(length));
        compiled.push(one(runtime, prefix, &show).await?);
        done += length;
        progress.set(done);
    }
    progress.finish();
    runtime.end().await;
    Ok(compiled)
}

/// Has the engine answer the shortest of cues, for which it needs the pack.
async fn one(runtime: &Runtime, prefix: Arc<Prefix>, show: &dyn Fn(u64)) -> Result<Compiled> {
    let Runtime { engine, tokenizer, .. } = runtime;
    let restored = |engine: &EngineHandle| engine.status().scheduler.prefixes_restored.get(&prefix.label).copied();
    let before = (engine.status().counters.prompt_tokens, restored(engine));
    let request = Generate {
        conductor: "compile".parse()?,
        weight: 1,
        prefix: Some(Arc::clone(&prefix)),
        adapter: prefix.adapter.clone(),
        prompt: vec![tokenizer.end_tokens().first().copied().unwrap_or_default()],
        sampling: Sampling::greedy(),
        stop: StopRules::after(1),
        forced: Vec::new(),
        constraint: None,
    };
    let started = Instant::now();
    let mut emissions = match engine.submit(request) {
        Ok(emissions) => emissions,
        Err(refusal) => return Ok(Compiled::Failed(refusal.to_string())),
    };
    loop {
        tokio::select! {
            emission = emissions.next() => match emission.context("the engine ended without a word")? {
                Emission::Token { .. } => {}
                Emission::Finished { .. } => break,
                Emission::Failed(reason) => return Ok(Compiled::Failed(reason)),
            },
            () = tokio::time::sleep(LOOK) => show(engine.status().counters.prompt_tokens - before.0),
        }
    }
    if restored(engine) == before.1 {
        Ok(Compiled::Computed(prefix, started.elapsed()))
    } else {
        Ok(Compiled::AlreadyThere(prefix))
    }
}

/// What is said about a twin, and whether its pack is kept.
fn describe(compiled: &Compiled, runtime: &Runtime, config: &Config) -> (String, bool) {
    let (prefix, how) = match compiled {
        Compiled::AlreadyThere(prefix) => (prefix, "already there".to_owned()),
        Compiled::Computed(prefix, took) => (prefix, format!("computed in {:.1} s", took.as_secs_f64())),
        Compiled::Failed(reason) => return (format!("failed: {reason}"), false),
    };
    let tokens = prefix.tokens.len();
    match fs::metadata(PrefixStore::path(&wiring::prefix_folder(config), prefix, &runtime.form)) {
        Ok(file) => (format!("{how}, {tokens} tokens, {}", ByteSize(file.len())), true),
        // Not written, which was reported, or deleted again in favour of others.
        Err(_) => {
            (format!("failed: {how}, but not kept; is --prefix-store ({}) too small?", config.prefix_store), false)
        }
    }
}
