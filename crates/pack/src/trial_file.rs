//! How a trial is written down: JSON, with a format number. Format 1 is frozen.

use baton_contract::Digest;
use serde::{Deserialize, Serialize};

use crate::{CaseOutcome, Trial, TriedCase};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialV1 {
    format: u32,
    twin: String,
    version: String,
    pack: String,
    model: String,
    model_name: String,
    at: String,
    seed: u64,
    bar: f64,
    cases: Vec<CaseV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseV1 {
    name: String,
    outcome: OutcomeV1,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeV1 {
    Passed,
    Failed,
    NotRun,
}

/// What is looked at first: a file of another format has other fields.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

pub(crate) fn to_json(trial: &Trial) -> String {
    let case = |case: &TriedCase| {
        let (outcome, reasons) = match &case.outcome {
            CaseOutcome::Passed => (OutcomeV1::Passed, Vec::new()),
            CaseOutcome::Failed(reasons) => (OutcomeV1::Failed, reasons.clone()),
            CaseOutcome::NotRun(reasons) => (OutcomeV1::NotRun, reasons.clone()),
        };
        CaseV1 { name: case.name.clone(), outcome, reasons }
    };
    let wire = TrialV1 {
        format: FORMAT,
        twin: trial.twin.to_string(),
        version: trial.version.clone(),
        pack: trial.pack.to_string(),
        model: trial.model.to_string(),
        model_name: trial.model_name.clone(),
        at: trial.at.to_string(),
        seed: trial.seed,
        bar: trial.bar,
        cases: trial.cases.iter().map(case).collect(),
    };
    let mut text = serde_json::to_string_pretty(&wire).expect("texts and numbers can be written");
    text.push('\n');
    text
}

/// Reads a trial, or says in a lowercase sentence what is wrong with it.
pub(crate) fn from_json(text: &str) -> Result<Trial, String> {
    let Head { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!("its format is {format}, and this version of Baton reads format {FORMAT}"));
    }
    let wire: TrialV1 = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !(wire.bar > 0.0 && wire.bar <= 1.0) {
        return Err(format!("its bar is {}, and must be more than 0 and at most 1", wire.bar));
    }
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
    Ok(Trial {
        twin: wire.twin.parse().map_err(|error: baton_contract::IdError| error.to_string())?,
        version: wire.version,
        pack: digest(&wire.pack)?,
        model: digest(&wire.model)?,
        model_name: wire.model_name,
        at: wire.at.parse().map_err(|error: jiff::Error| error.to_string())?,
        seed: wire.seed,
        bar: wire.bar,
        cases: wire.cases.into_iter().map(case).collect::<Result<_, _>>()?,
    })
}

fn case(wire: CaseV1) -> Result<TriedCase, String> {
    let CaseV1 { name, outcome, reasons } = wire;
    let outcome = match outcome {
        OutcomeV1::Passed if reasons.is_empty() => CaseOutcome::Passed,
        OutcomeV1::Passed => return Err(format!("the case `{name}` passed, but has reasons why not")),
        OutcomeV1::Failed => CaseOutcome::Failed(reasons),
        OutcomeV1::NotRun => CaseOutcome::NotRun(reasons),
    };
    Ok(TriedCase { name, outcome })
}
