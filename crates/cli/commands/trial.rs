//! `baton twin test`: runs packs' known-good cases on the loaded model.

use std::fs;

use anyhow::{Context, Result, bail};
use baton_pack::{Pack, Timestamp};

use crate::Outcome;
use crate::args::TestArgs;
use crate::config::Config;
use crate::packs::{self, Packs};
use crate::wiring::{self, Runtime};
use crate::{calibrations, output, trial};

/// Runs the cases of these packs, or of all, shows what came of them and keeps it.
pub(crate) fn run(args: &TestArgs, config: &Config) -> Result<Outcome> {
    // Everything cheap is checked before the model is loaded.
    let (packs, broken) = choose(&args.packs, config)?;
    if let Some(path) = &args.junit {
        // Found out now and not after minutes.
        fs::write(path, "").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let runtime = Runtime::load(config)?;
    let trials = wiring::block_on(async {
        let temperatures = calibrations::read_all(&config.data, &packs, runtime.card.digest);
        let trials = trial::run(&runtime, &packs, &temperatures, Timestamp::now).await?;
        runtime.end().await;
        Ok(trials)
    })?;
    for trial in &trials {
        let path = trial.record.write(&config.data)?;
        tracing::debug!(twin = %trial.record.twin, path = %path.display(), "the result is kept");
    }
    if let Some(path) = &args.junit {
        let text = trial::junit(&trials, &runtime.card);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        output::line(trial::json(&trials, &runtime.card))?;
    } else {
        output::line(trial::report(&trials, &runtime.card))?;
    }
    let passed: Vec<&str> =
        trials.iter().filter(|trial| trial.record.meets_bar()).map(|trial| trial.record.twin.as_str()).collect();
    if !passed.is_empty() {
        let twins = passed.join(" ");
        output::note(format!(
            "A test takes no twin off trial; what passed here goes live with: baton twin publish {twins}"
        ));
    }
    for name in &broken {
        output::note(format!("{name} was not run: the pack has errors; see: baton twin check"));
    }
    let good = broken.is_empty() && trials.iter().all(|trial| trial.record.meets_bar());
    Ok(if good { Outcome::Good } else { Outcome::FoundErrors })
}

/// The packs that are meant, and the folders of those that have errors, unless they are to be left out.
fn choose(packs: &[String], config: &Config) -> Result<(Vec<Pack>, Vec<String>)> {
    if !packs.is_empty() {
        return Ok((packs.iter().map(|name| Ok(packs::locate(name, config)?.1)).collect::<Result<_>>()?, Vec::new()));
    }
    let Some(folder) = &config.packs else {
        bail!("there is no folder of packs\nhint: name one with --packs");
    };
    // Whether a pack fits its budget is for `check` to say.
    let Packs { good, broken, .. } = Packs::read(folder, &|_| 0, false)?;
    Ok((good, broken.into_iter().filter(|_| !config.skip_broken_packs).collect()))
}
