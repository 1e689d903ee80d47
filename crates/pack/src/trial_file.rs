//! How a trial is written down: JSON, with a format number. Format 1 and format 2 are frozen.

use baton_contract::Digest;
use serde::{Deserialize, Serialize};

use crate::{CaseOutcome, Trial, TriedCase};

/// What was looked up is what format 2 has more; where nothing was, format 1 is written.
const FORMATS: [u32; 2] = [1, 2];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialWire {
    format: u32,
    twin: String,
    version: String,
    pack: String,
    model: String,
    model_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_model: Option<String>,
    at: String,
    seed: u64,
    bar: f64,
    cases: Vec<CaseWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseWire {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    passages: Vec<String>,
    outcome: OutcomeWire,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeWire {
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
            CaseOutcome::Passed => (OutcomeWire::Passed, Vec::new()),
            CaseOutcome::Failed(reasons) => (OutcomeWire::Failed, reasons.clone()),
            CaseOutcome::NotRun(reasons) => (OutcomeWire::NotRun, reasons.clone()),
        };
        CaseWire { name: case.name.clone(), passages: case.passages.clone(), outcome, reasons }
    };
    let wire = TrialWire {
        format: FORMATS[usize::from(trial.embedding_model.is_some())],
        twin: trial.twin.to_string(),
        version: trial.version.clone(),
        pack: trial.pack.to_string(),
        model: trial.model.to_string(),
        model_name: trial.model_name.clone(),
        embedding_model: trial.embedding_model.map(|digest| digest.to_string()),
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
    if !FORMATS.contains(&format) {
        return Err(format!("its format is {format}, and this version of Baton reads formats 1 and 2"));
    }
    let wire: TrialWire = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !(wire.bar > 0.0 && wire.bar <= 1.0) {
        return Err(format!("its bar is {}, and must be more than 0 and at most 1", wire.bar));
    }
    let looked_up = wire.embedding_model.is_some();
    if looked_up != (format == 2) || (!looked_up && wire.cases.iter().any(|case| !case.passages.is_empty())) {
        return Err(format!("its format is {format}, which what was looked up contradicts"));
    }
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
    Ok(Trial {
        twin: wire.twin.parse().map_err(|error: baton_contract::IdError| error.to_string())?,
        version: wire.version,
        pack: digest(&wire.pack)?,
        model: digest(&wire.model)?,
        model_name: wire.model_name,
        embedding_model: wire.embedding_model.as_deref().map(digest).transpose()?,
        at: wire.at.parse().map_err(|error: jiff::Error| error.to_string())?,
        seed: wire.seed,
        bar: wire.bar,
        cases: wire.cases.into_iter().map(case).collect::<Result<_, _>>()?,
    })
}

fn case(wire: CaseWire) -> Result<TriedCase, String> {
    let CaseWire { name, passages, outcome, reasons } = wire;
    let outcome = match outcome {
        OutcomeWire::Passed if reasons.is_empty() => CaseOutcome::Passed,
        OutcomeWire::Passed => return Err(format!("the case `{name}` passed, but has reasons why not")),
        OutcomeWire::Failed => CaseOutcome::Failed(reasons),
        OutcomeWire::NotRun => CaseOutcome::NotRun(reasons),
    };
    Ok(TriedCase { name, passages, outcome })
}
