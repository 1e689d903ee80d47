//! A pack's cases, run on the loaded model.
//!
//! All answers of all packs are asked of the engine together, each drawn at temperature 0 from the same seed, so that
//! the same pack on the same model gives the same result. Decisions come after them; they draw nothing.

mod answers;
mod json;
mod junit;
mod report;
mod tiers;

use std::collections::BTreeMap;

use anyhow::Result;
use baton_contract::Digest;
use baton_judge::{Judgment, Temperature};
use baton_pack::{Case, CaseOutcome, Check, Choice, Pack, Timestamp, Trial, TriedCase};
use baton_server::ModelCard;

use crate::judging::{Judge, choices};
use crate::progress::Progress;
use crate::wiring::Runtime;
use answers::{Answered, Answers};
use tiers::Tiers;

pub(crate) use json::json;
pub(crate) use junit::junit;
pub(crate) use report::report;

/// What all draws begin with.
pub(crate) const SEED: u64 = 0;
/// What a check on every answer of the twin is called in reports.
const SPEC: &str = "spec";

/// What came of one pack's cases.
pub(crate) struct PackTrial {
    /// In the pack's order.
    pub(crate) cases: Vec<CaseTrial>,
    /// The result as it is kept.
    pub(crate) record: Trial,
}

/// What came of one case.
#[derive(Debug)]
pub(crate) struct CaseTrial {
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) file: String,
    pub(crate) line: usize,
    /// The text, if one was asked for and came.
    pub(crate) answer: Option<String>,
    /// The passages that were looked up for its text and its decisions, by name.
    pub(crate) passages: Vec<String>,
    pub(crate) checks: Vec<CheckTrial>,
}

/// What came of one check.
#[derive(Debug)]
pub(crate) struct CheckTrial {
    pub(crate) kind: &'static str,
    /// What has to hold.
    pub(crate) wanted: String,
    pub(crate) verdict: Verdict,
}

/// Whether a check is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// It is not; what came instead, where that is known beside the answer's text.
    NotMet(Option<String>),
    /// It could not be looked at, and why.
    NotRun(String),
}

/// How many checks were met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) met: usize,
    pub(crate) not_met: usize,
    pub(crate) not_run: usize,
}

/// Runs the cases of all packs, showing progress; `temperatures` are those that were fitted, by pack, and `now` tells
/// when the cases are over.
pub(crate) async fn run(
    runtime: &Runtime,
    packs: &[Pack],
    temperatures: &BTreeMap<Digest, Temperature>,
    now: fn() -> Timestamp,
) -> Result<Vec<PackTrial>> {
    let grounds = packs.iter().map(|pack| runtime.ground(pack)).collect::<Result<Vec<_>>>()?;
    let mut answers = Answers::of(runtime, packs, &grounds).await?.into_iter();
    let progress = Progress::count("decisions", packs.iter().map(|pack| choices(pack).count()).sum());
    let mut trials = Vec::new();
    for (pack, ground) in packs.iter().zip(grounds) {
        let embedding_model = ground.embedded_by();
        let temperature = temperatures.get(&pack.digest()).copied().unwrap_or(Temperature::ONE);
        let twin = Judge::new(runtime, pack, ground)?;
        let tiers = Tiers::new(pack)?;
        let mut cases = Vec::new();
        for case in pack.cases() {
            let Answered { text, mut passages } = answers.next().unwrap_or_default();
            let mut decided = Vec::new();
            for choice in case.checks.iter().filter_map(Check::choice) {
                let scores = twin.choose(case, choice).await.map(|scored| {
                    passages.extend(scored.passages);
                    scored.scores
                });
                decided.push(decision(pack, choice, scores, temperature));
                progress.advance(1);
            }
            passages.sort_unstable();
            passages.dedup();
            cases.push(CaseTrial { passages, ..judge(&tiers, case, text, decided) });
        }
        trials.push(PackTrial::new(pack, cases, (&runtime.card, embedding_model), now()));
    }
    progress.finish();
    Ok(trials)
}

/// Holds the scores of a choice's answers against it, as the server would judge them.
fn decision(pack: &Pack, choice: &Choice, scores: Result<Vec<f64>>, temperature: Temperature) -> Verdict {
    let judged = scores.and_then(|scores| Ok(Judgment::new(&scores, temperature)?));
    let judgment = match judged {
        Ok(judgment) => judgment,
        Err(error) => return Verdict::NotRun(error.to_string()),
    };
    let best = &choice.answers[judgment.best()];
    let told = format!("{best:?} has a probability of {:.2}", judgment.confidence());
    if judgment.abstains(pack.manifest().decisions.abstain_below) {
        return Verdict::NotMet(Some(format!("the twin abstains: {told}")));
    }
    if choice.passes(judgment.probabilities()) { Verdict::Met } else { Verdict::NotMet(Some(told)) }
}

/// Holds what came of a case against its checks. `answer` is the text, or why there is none; `None` if none was asked
/// for. `decided` are the verdicts on the case's choices, in their order.
fn judge(tiers: &Tiers<'_>, case: &Case, answer: Option<Result<String, String>>, decided: Vec<Verdict>) -> CaseTrial {
    let mut decided = decided.into_iter();
    let check = |check: &Check| {
        let verdict = match (check, &answer) {
            (Check::Answer(check), Some(Ok(answer))) if check.passes(answer) => Verdict::Met,
            (Check::Answer(_), Some(Ok(_))) => Verdict::NotMet(None),
            (Check::Answer(_), Some(Err(reason))) => Verdict::NotRun(reason.clone()),
            (Check::Answer(_), None) => Verdict::NotRun("no answer was asked for".to_owned()),
            (Check::Choice(_), _) => {
                decided.next().unwrap_or_else(|| Verdict::NotRun("no decision was asked for".to_owned()))
            }
            (Check::TierAtLeast(least), _) => tiers.verdict(case, *least),
        };
        CheckTrial { kind: check.kind(), wanted: check.to_string(), verdict }
    };
    let mut checks: Vec<CheckTrial> = case.checks.iter().map(check).collect();
    if let Some(Ok(answer)) = &answer {
        checks.extend(spec(tiers.pack, answer));
    }
    CaseTrial {
        name: case.name.clone(),
        file: case.file.clone(),
        line: case.line,
        answer: answer.and_then(Result::ok),
        passages: Vec::new(),
        checks,
    }
}

/// Whether the answer is broken work by the pack's spec; nothing if the pack has none.
fn spec(pack: &Pack, answer: &str) -> Option<CheckTrial> {
    if pack.spec().is_none() && pack.manifest().answer_checks.is_empty() {
        return None;
    }
    let broken = crate::spec::broken(pack, answer);
    let verdict = if broken.is_empty() { Verdict::Met } else { Verdict::NotMet(Some(broken.join("; "))) };
    Some(CheckTrial { kind: SPEC, wanted: "meets the spec of every answer".to_owned(), verdict })
}

impl PackTrial {
    fn new(
        pack: &Pack,
        cases: Vec<CaseTrial>,
        (card, embedding_model): (&ModelCard, Option<Digest>),
        at: Timestamp,
    ) -> Self {
        let manifest = pack.manifest();
        let tried = |case: &CaseTrial| TriedCase {
            name: case.name.clone(),
            passages: case.passages.clone(),
            outcome: case.outcome(),
        };
        let record = Trial {
            twin: manifest.id.clone(),
            version: manifest.version.clone(),
            pack: pack.digest(),
            model: card.digest,
            model_name: card.id.clone(),
            embedding_model,
            at,
            seed: SEED,
            bar: manifest.case_bar,
            cases: cases.iter().map(tried).collect(),
        };
        Self { cases, record }
    }
}

impl CaseTrial {
    /// Passed only if all checks were looked at and are met.
    pub(crate) fn outcome(&self) -> CaseOutcome {
        let failed: Vec<String> = self.checks.iter().filter_map(CheckTrial::failure).collect();
        if !failed.is_empty() {
            return CaseOutcome::Failed(failed);
        }
        let not_run: Vec<String> = self.checks.iter().filter_map(CheckTrial::omission).collect();
        if not_run.is_empty() { CaseOutcome::Passed } else { CaseOutcome::NotRun(not_run) }
    }
}

impl CheckTrial {
    /// Why it is not met, as a sentence.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.verdict {
            Verdict::NotMet(Some(instead)) => Some(format!("not met: {} ({instead})", self.wanted)),
            Verdict::NotMet(None) => Some(format!("not met: {}", self.wanted)),
            Verdict::Met | Verdict::NotRun(_) => None,
        }
    }

    /// Why it was not looked at, as a sentence.
    pub(crate) fn omission(&self) -> Option<String> {
        match &self.verdict {
            Verdict::NotRun(reason) => Some(format!("not run: {} ({reason})", self.wanted)),
            Verdict::Met | Verdict::NotMet(_) => None,
        }
    }
}

/// How many checks of each kind were met, over all packs.
pub(crate) fn by_kind(trials: &[PackTrial]) -> BTreeMap<&'static str, Count> {
    let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
    for check in trials.iter().flat_map(|trial| &trial.cases).flat_map(|case| &case.checks) {
        let count = counts.entry(check.kind).or_default();
        match check.verdict {
            Verdict::Met => count.met += 1,
            Verdict::NotMet(_) => count.not_met += 1,
            Verdict::NotRun(_) => count.not_run += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests;
