//! `baton twin publish`, `rollback` and `versions`: which version of a twin is live.
//!
//! The journal beside the versions says what is live, and the ledger says so too: this command writes the row itself
//! where no server has the ledger, else the server does as soon as it looks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use baton_contract::{Digest, TwinId};
use baton_judge::{Temperature, fit};
use baton_pack::{Pack, Publication, Tested, Timestamp, Versions, may_publish, target};

use crate::Outcome;
use crate::args::{PublishArgs, RollBackArgs};
use crate::config::Config;
use crate::judging::Judge;
use crate::trial::PackTrial;
use crate::wiring::{self, Runtime};
use crate::{calibrations, ledger, output, packs, trial};

/// Runs the cases of these packs, and lets those that pass go live.
pub(crate) fn run(args: &PublishArgs, config: &Config) -> Result<Outcome> {
    let versions = Versions::of(&config.data);
    // Everything cheap is checked before the model is loaded.
    let drafts = args.packs.iter().map(|name| draft(name, args.live, &versions, config)).collect::<Result<Vec<_>>>()?;
    let (folders, packs): (Vec<PathBuf>, Vec<Pack>) = drafts.into_iter().unzip();
    for pack in &packs {
        let known = versions.publications(pack.id())?;
        may_publish(&known, pack).with_context(|| format!("`{}` cannot be published", pack.id()))?;
    }
    let (runtime, ()) = Runtime::load_and(config, |tokenizer| {
        for folder in &folders {
            let report = packs::check(folder, &|text| tokenizer.encode(text).len(), config.embedding_model.is_some());
            if report.has_errors() {
                bail!("the pack in {} has errors\n{}", folder.display(), packs::show(folder, &report));
            }
        }
        Ok(())
    })?;
    let trials = wiring::block_on(async {
        let temperatures = temperatures(&runtime, &packs, config).await?;
        let trials = trial::run(&runtime, &packs, &temperatures, Timestamp::now).await?;
        runtime.end().await;
        Ok(trials)
    })?;
    output::line(trial::report(&trials, &runtime.card))?;
    output::line("")?;
    let mut outcome = Outcome::Good;
    for ((folder, pack), trial) in folders.iter().zip(&packs).zip(&trials) {
        trial.record.write(&config.data)?;
        let tested = trial.record.tested();
        if !tested.meets_bar() && !args.on_trial {
            output::line(format!("{} {} does not go live: {}", pack.id(), pack.manifest().version, words(&tested)))?;
            outcome = Outcome::FoundErrors;
            continue;
        }
        versions.keep(pack, folder)?;
        go_live(&versions, pack, trial, &args.actor)?;
    }
    if matches!(outcome, Outcome::FoundErrors) {
        output::note("hint: --on-trial lets it go live all the same; nothing of it is then decided unchecked");
    }
    record(config)?;
    Ok(outcome)
}

/// Lets a version that was live before go live again.
pub(crate) fn roll_back(args: &RollBackArgs, config: &Config) -> Result<Outcome> {
    let twin: TwinId = args.twin.parse()?;
    let versions = Versions::of(&config.data);
    let cannot = || format!("`{twin}` cannot be rolled back");
    let mut journal = versions.open(&twin).with_context(cannot)?;
    let to = target(journal.publications(), args.version.as_deref()).with_context(cannot)?.clone();
    // What is not whole any more must not go live.
    versions.load(&twin, to.pack)?;
    let live = journal.roll_back(&to, (&args.actor, Timestamp::now()))?;
    output::line(format!("{twin} {} is live again: {}", live.version, words(&live.tested)))?;
    drop(journal);
    record(config)?;
    Ok(Outcome::Good)
}

/// Lists what went live of a twin, the newest first.
pub(crate) fn list(twin: &str, config: &Config) -> Result<Outcome> {
    let twin: TwinId = twin.parse()?;
    let publications = Versions::of(&config.data).publications(&twin)?;
    if publications.is_empty() {
        output::note(format!("No version of `{twin}` ever went live; `baton twin publish {twin}` lets one."));
    }
    let width = publications.iter().map(|one| one.version.len()).max().unwrap_or(0);
    for (place, one) in publications.iter().rev().enumerate() {
        let Publication { number, rolled_back, at, by, version, pack, tested } = one;
        let state = if place == 0 { "live  " } else { "      " };
        let how = if *rolled_back { "rolled back to" } else { "published" };
        let at = at.strftime("%Y-%m-%d %H:%M");
        output::line(format!(
            "{number:3}  {state}  {version:width$}  {}  {at}  {how} by {by}: {}",
            pack.short(),
            words(tested)
        ))?;
    }
    Ok(Outcome::Good)
}

/// What is to go live, and where it lies: the configured folder's pack or the one in a folder, or what is live already.
fn draft(name: &str, live: bool, versions: &Versions, config: &Config) -> Result<(PathBuf, Pack)> {
    if !live {
        return packs::locate(name, config);
    }
    let twin: TwinId = name.parse()?;
    let Some((publication, pack)) = versions.live(&twin)? else {
        bail!(
            "no version of `{twin}` ever went live\nhint: leave --live out to publish the pack in the folder of packs"
        );
    };
    Ok((versions.folder(&twin, publication.pack), pack))
}

/// What was fitted for each pack on this model; what was not yet is fitted now, where there are cases enough.
async fn temperatures(runtime: &Runtime, packs: &[Pack], config: &Config) -> Result<BTreeMap<Digest, Temperature>> {
    let model = runtime.card.digest;
    let mut temperatures = calibrations::read_all(&config.data, packs, model);
    for pack in packs {
        if temperatures.contains_key(&pack.digest()) {
            continue;
        }
        let known = Judge::new(runtime, pack, runtime.ground(pack)?)?.known(&|| ()).await?;
        // With too few cases its probabilities stay as they are.
        if let Ok(fit) = fit(&known) {
            calibrations::write(&config.data, pack, model, &fit, Timestamp::now())?;
            temperatures.insert(pack.digest(), fit.temperature);
        }
    }
    Ok(temperatures)
}

fn go_live(versions: &Versions, pack: &Pack, trial: &PackTrial, actor: &str) -> Result<()> {
    let tested = trial.record.tested();
    let mut journal = versions.open(pack.id())?;
    let twin = pack.id();
    if journal.publications().last().is_some_and(|live| live.pack == pack.digest() && live.tested == tested) {
        output::line(format!("{twin} {} was live already: {}", pack.manifest().version, words(&tested)))?;
        return Ok(());
    }
    let on_trial = if tested.meets_bar() { "" } else { ", on trial" };
    let live = journal.publish(pack, tested, (actor, Timestamp::now()))?;
    output::line(format!("{twin} {} is live{on_trial}: {}", live.version, words(&live.tested)))?;
    Ok(())
}

/// Has the ledger say what is live, if no server has it.
fn record(config: &Config) -> Result<()> {
    let changes = ledger::changes_of_versions(&Versions::of(&config.data))?;
    if ledger::record_if_free(&config.data, &changes)? {
        return Ok(());
    }
    output::note("A server has the ledger: within seconds it writes this down, and then serves it.");
    Ok(())
}

fn words(tested: &Tested) -> String {
    let Tested { model, model_name, embedding_model, passed, cases, bar } = tested;
    let model = model.short();
    let lookup = embedding_model.map_or(String::new(), |digest| format!(", documents looked up by {}", digest.short()));
    format!("{passed} of {cases} cases passed on {model_name} ({model}){lookup}, wanted {:.0} %", bar * 100.0)
}
