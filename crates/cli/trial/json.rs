//! What came of cases, for programs.

use baton_pack::CaseOutcome;
use baton_server::ModelCard;
use serde_json::{Value, json as object};

use super::{CaseTrial, CheckTrial, Count, PackTrial, SEED, Verdict, by_kind};

/// One object with all packs, cases, checks and answers.
pub(crate) fn json(trials: &[PackTrial], card: &ModelCard) -> Value {
    let kinds: serde_json::Map<String, Value> = by_kind(trials)
        .into_iter()
        .map(|(kind, Count { met, not_met, not_run })| {
            (kind.to_owned(), object!({ "met": met, "not_met": not_met, "not_run": not_run }))
        })
        .collect();
    object!({
        "format": 1,
        "model": { "name": card.id, "digest": card.digest.to_string() },
        "seed": SEED,
        "checks": kinds,
        "packs": trials.iter().map(pack).collect::<Vec<_>>(),
    })
}

fn pack(trial: &PackTrial) -> Value {
    let record = &trial.record;
    object!({
        "twin": record.twin.as_str(),
        "version": record.version,
        "digest": record.pack.to_string(),
        "embedding_model": record.embedding_model.map(|digest| digest.to_string()),
        "bar": record.bar,
        "passed": record.passed(),
        "of": record.cases.len(),
        "meets_bar": record.meets_bar(),
        "cases": trial.cases.iter().map(case).collect::<Vec<_>>(),
    })
}

fn case(case: &CaseTrial) -> Value {
    let outcome = match case.outcome() {
        CaseOutcome::Passed => "passed",
        CaseOutcome::Failed(_) => "failed",
        CaseOutcome::NotRun(_) => "not-run",
    };
    object!({
        "name": case.name,
        "file": case.file,
        "line": case.line,
        "outcome": outcome,
        "checks": case.checks.iter().map(check).collect::<Vec<_>>(),
        "answer": case.answer,
        "passages": case.passages,
    })
}

fn check(check: &CheckTrial) -> Value {
    let (outcome, reason) = match &check.verdict {
        Verdict::Met => ("met", None),
        Verdict::NotMet(instead) => ("not-met", instead.as_deref()),
        Verdict::NotRun(reason) => ("not-run", Some(reason.as_str())),
    };
    object!({ "kind": check.kind, "wanted": check.wanted, "outcome": outcome, "reason": reason })
}
