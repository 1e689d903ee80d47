//! `baton report`: what waiting for people costs, and what could be changed about it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use baton_authority::docket::Docket;
use baton_authority::docket::line::{LineSettings, Proposal, Rulings, demotions, promotions, shrinkings};
use baton_authority::docket::tax::{Tax, TaxSettings};
use baton_register::{Gap, docket_of, gaps_of, rulings_of};
use jiff::{SignedDuration, Timestamp};

use crate::Outcome;
use crate::args::ReportArgs;
use crate::config::Config;
use crate::ledger::open_to_read;
use crate::output;

const HOURS_A_DAY: i64 = 24;

/// Prints the reports and writes the plot.
pub(crate) fn run(args: &ReportArgs, config: &Config) -> Result<Outcome> {
    let reader = open_to_read(&config.data)?;
    let (docket, rulings) = (docket_of(&reader)?, rulings_of(&reader)?);
    let now = Timestamp::now();
    let since = now.checked_sub(SignedDuration::from_hours(i64::from(args.days) * HOURS_A_DAY))?;
    let tax = Tax::measure(docket.decisions(), now, &TaxSettings::since(since));
    output::part(&tax.table())?;
    output::part(&unrecorded(&gaps_of(&reader, since)?))?;
    output::part(&proposals(&docket, &rulings, now))?;
    if let Some(path) = &args.svg {
        write(path, &tax)?;
    }
    Ok(Outcome::Good)
}

/// What the ledger does not have, a line for each time that it could not be written; nothing if it has all.
fn unrecorded(gaps: &[Gap]) -> String {
    if gaps.is_empty() {
        return String::new();
    }
    let answers: u64 = gaps.iter().map(|gap| gap.answers).sum();
    let lines = gaps.iter().map(|gap| {
        let minute = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
        format!("  {} between {} and {}\n", gap.answers, minute(gap.from), minute(gap.until))
    });
    let head = format!("\nAnswers of tier 1 that went out unrecorded, the ledger could not be written: {answers}\n");
    std::iter::once(head).chain(lines).collect()
}

/// What an architect could change, a line each.
fn proposals(docket: &Docket, rulings: &Rulings, now: Timestamp) -> String {
    let settings = LineSettings::default();
    let all: [Vec<Proposal>; 3] = [
        demotions(docket.decisions(), now, &settings),
        // No model for likeness is loaded here: only equal keys are the same question.
        promotions(docket.decisions(), now, &settings, |_, _| 0.0),
        shrinkings(docket.decisions(), now, &settings),
    ];
    let all = rulings.open(all.concat(), &settings);
    if all.is_empty() {
        return "\nNothing is proposed: no rule and no answer has enough that speaks for a change.\n".to_owned();
    }
    let lines = all.iter().map(|proposal| format!("  {}  {proposal}\n", proposal.change.id()));
    std::iter::once("\nProposed, for an architect to accept or refuse\n".to_owned()).chain(lines).collect()
}

fn write(path: &Path, tax: &Tax) -> Result<()> {
    fs::write(path, tax.plot()).with_context(|| format!("cannot write {}", path.display()))?;
    output::note(format!("The plot is in {}", path.display()));
    Ok(())
}
