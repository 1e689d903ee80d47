//! From what a twin has found to what of it goes out: recorded, and checked as its tier asks for.

use baton_authority::Principal;
use baton_contract::{Adapter, BlastRadius, Intent};
use baton_judge::{Judgment, Value};
use baton_register::{Cue, Ended};
use jiff::Timestamp;

use super::types::{Answer, AnswerBody, AnswerExtra, DecisionUsage, Kind, RefusalExtra};
use crate::error::ApiError;
use crate::judging::{Filed, Matter, Stated, settle};
use crate::library::Citation;
use crate::reply::new_id;
use crate::state::AppState;
use crate::twins::Model;

/// Where a request goes, as the ledger has it.
const ENDPOINT: &str = "/v1/decisions";

/// Who asked what.
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Principal,
    pub(super) model: &'a Model,
    pub(super) intent: &'a Intent,
    pub(super) stated: Stated,
    /// What the twin itself reads of the blast radius.
    pub(super) read: Option<BlastRadius>,
    /// The request's body.
    pub(super) request: String,
    /// What was looked up in the pack's documents.
    pub(super) cited: Vec<Citation>,
    pub(super) seed: u64,
    /// The temperature that was fitted for the pack.
    pub(super) calibration: Option<f64>,
}

/// What came of the questions so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) answers: Vec<AnswerBody>,
    /// Of the least certain answer.
    confidence: Option<f64>,
    /// Names of the answers that are none, for the questions that have one.
    names: Vec<String>,
}

impl Found {
    /// Takes an answer; `named` is what it says, if it says anything.
    pub(super) fn answered(&mut self, answer: AnswerBody, judgment: &Judgment, named: String) {
        if !matches!(answer.answer, Answer::Refusal) {
            let confidence = judgment.confidence();
            self.confidence = Some(self.confidence.map_or(confidence, |least| least.min(confidence)));
            self.names.push(named);
        }
        self.answers.push(answer);
    }

    /// Takes the refusal of a question that is somebody else's: nothing of it goes out, so there is nothing to check.
    pub(super) fn outside(&mut self, refusal: AnswerBody) {
        self.answers.push(refusal);
    }
}

/// What an answer says, in one word.
pub(super) fn name_of(kind: &Kind, judgment: &Judgment) -> String {
    let best = judgment.best();
    match kind {
        Kind::Predicate => if judgment.probabilities()[0] >= 0.5 { "yes" } else { "no" }.to_owned(),
        Kind::Choice(values) => match &values[best] {
            Value::Text(text) => text.clone(),
            Value::Flag(flag) => flag.to_string(),
        },
        Kind::Score(levels) => levels[best].label.clone(),
    }
}

/// Records the answers, and says which go out. Where a twin has decided nothing there is nothing to check.
///
/// # Errors
/// An override does not fit, or what has to be recorded cannot be.
pub(super) async fn file(
    state: &AppState,
    asked: Asked<'_>,
    usage: &DecisionUsage,
    found: Found,
) -> Result<(Vec<AnswerBody>, Option<Filed>), ApiError> {
    let Asked { principal, model, intent, stated, read, request, cited, seed, calibration } = asked;
    let answer = serde_json::to_string(&found.answers).map_err(|error| ApiError::internal(error.to_string()))?;
    let cue = Cue {
        id: new_id("dec")?,
        conductor: principal.conductor().clone(),
        key: principal.key().clone(),
        endpoint: ENDPOINT,
        target: model.name().to_owned(),
        pack: model.twin().map(|twin| twin.pack.digest()),
        model: state.models.base.digest,
        adapter: model.adapter().map(Adapter::digest),
        rules: None,
        computed_by: state.computed_by.clone(),
        calibration,
        seed,
        drawn: None,
        passages: cited.iter().map(|one| one.id().to_owned()).collect(),
        why: intent.why.is_some(),
        tokens: (usage.input_tokens, usage.output_tokens),
        ended: Ended::Complete,
        request,
        answer,
        at: Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN),
    };
    state.filing.decided(&cue, model.twin().map(|twin| state.desk.rules_for(twin.pack.id())));
    let Some(twin) = model.twin().filter(|_| !found.names.is_empty()) else {
        state.desk.note(cue).await;
        return Ok((found.answers, None));
    };
    let Found { answers, confidence, mut names } = found;
    let answer_name = names.pop().filter(|_| names.is_empty());
    let matter = Matter { principal, model, intent, stated, read, confidence, answer_name, cue };
    let filed = settle(state, twin, matter).await?;
    let answers = if filed.is_released() { answers } else { withheld(answers, &filed, twin) };
    Ok((answers, Some(filed)))
}

/// Refusals in the place of answers that do not go out: not now, or never.
fn withheld(answers: Vec<AnswerBody>, filed: &Filed, twin: &crate::twins::Twin) -> Vec<AnswerBody> {
    let refuse = |AnswerBody { name, answer, baton }: AnswerBody| {
        if matches!(answer, Answer::Refusal) {
            return AnswerBody { name, answer, baton };
        }
        let refusal = RefusalExtra {
            reason: filed.outcome,
            message: filed.refusal(),
            ask: Some(super::convert::contact(&twin.pack)),
        };
        let AnswerExtra { calibrated, in_scope, .. } = baton;
        let baton = AnswerExtra { calibrated, in_scope, abstained: false, scores: None, refusal: Some(refusal) };
        AnswerBody { name, answer: Answer::Refusal, baton }
    };
    answers.into_iter().map(refuse).collect()
}
