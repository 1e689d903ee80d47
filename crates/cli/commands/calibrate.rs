//! `baton twin calibrate`: fits how far the model's probabilities can be taken at their word, from packs' own cases.

use anyhow::Result;
use baton_judge::{Fit, fit};
use baton_pack::Pack;
use jiff::Timestamp;

use crate::Outcome;
use crate::commands::compile::choose;
use crate::config::Config;
use crate::judging::{Judge, choices};
use crate::progress::Progress;
use crate::wiring::{self, Runtime};
use crate::{calibrations, output};

/// Fits and keeps a temperature for each of these packs, or for all.
pub(crate) fn run(twins: &[String], config: &Config) -> Result<Outcome> {
    // Everything cheap is checked before the model is loaded.
    let (packs, broken) = choose(twins, config)?;
    let runtime = Runtime::load(config)?;
    let width =
        packs.iter().map(|pack| pack.id().as_str().len()).chain(broken.iter().map(String::len)).max().unwrap_or(0);
    let mut outcome = Outcome::Good;
    wiring::block_on(async {
        let progress = Progress::count("cases", packs.iter().map(|pack| choices(pack).count()).sum());
        for pack in &packs {
            let known = Judge::new(&runtime, pack, runtime.ground(pack)?)?.known(&|| progress.advance(1)).await?;
            let text = match fit(&known) {
                Ok(fit) => keep(&fit, pack, &runtime, config)?,
                Err(error) => {
                    outcome = Outcome::FoundErrors;
                    format!("not calibrated: {error}")
                }
            };
            output::line(format!("{:width$}  {text}", pack.id().as_str()))?;
        }
        progress.finish();
        runtime.end().await;
        Ok(())
    })?;
    for name in &broken {
        output::line(format!("{name:width$}  failed: the pack has errors; see: baton twin check"))?;
        outcome = Outcome::FoundErrors;
    }
    Ok(outcome)
}

fn keep(fit: &Fit, pack: &Pack, runtime: &Runtime, config: &Config) -> Result<String> {
    calibrations::write(&config.data, pack, runtime.card.digest, fit, Timestamp::now())?;
    let Fit { temperature, cases, accuracy, before, after } = fit;
    Ok(format!(
        "temperature {:.2} from {cases} cases, {:.0} % right; loss {:.2}, was {:.2}; calibration error {:.2}, was {:.2}",
        temperature.value(),
        accuracy * 100.0,
        after.loss,
        before.loss,
        after.calibration_error,
        before.calibration_error
    ))
}
