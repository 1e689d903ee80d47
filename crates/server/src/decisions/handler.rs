//! One decision request from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_contract::BlastRadius;
use baton_contract::TokenId;
use baton_engine::Score;
use baton_judge::{Exclusion, Judgment, OwnReading, Question, Scope, Temperature};
use baton_text::ChatMessage;

use super::convert::{answered, contact, out_of_scope, scope};
use super::filing::{Asked, Found, file, name_of};
use super::types::{Ask, DecisionBody, DecisionExtra, DecisionRequest, DecisionUsage, InScope, ReadRadius};
use crate::cue::{Cue, Params, Scoring};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::judging::{Stated, not_of_a_twin};
use crate::library::{LookedUp, look_up, lookup_of_decision};
use crate::render::{self, Posed, last_said};
use crate::state::AppState;
use crate::twins::{Model, Twin};

/// Judges all questions.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<DecisionBody>, ApiError> {
    let request = body.to_string();
    let DecisionRequest { model, input, questions: asks, intent, stated } = DecisionRequest::read(body)?;
    let cue = Cue::decide(&state, &principal, &model, Params::of_intent(intent.clone()))?;
    if cue.model.twin().is_none() && stated != Stated::default() {
        return Err(not_of_a_twin());
    }
    let instructions = asks.iter().map(|ask| ask.instructions.as_str());
    let question = lookup_of_decision(last_said(&input), instructions);
    let LookedUp { message, cited } = look_up(&cue.model, &question).await?;
    let extra = cue.extra.clone().with_citations(&cited);
    let mut session = Session::new(&state, cue, message.into_iter().chain(input).collect());
    let asked: Vec<Question> = asks.iter().map(|ask| ask.question.clone()).collect();
    let scope = session.scope.as_ref();
    let about: Vec<Question> =
        asks.iter().filter_map(|ask| scope.map(|scope| scope.question(&ask.instructions))).collect();
    let read = session.own_reading(&asks);
    let counts = (about.len(), read.len());
    // All of them together: what they share is computed once.
    let mut scores = session.score([about, read, asked].concat()).await?;
    let own = scores.split_off(counts.0 + counts.1);
    let read = session.radius(&scores.split_off(counts.0))?;
    let in_scope = scores.iter().map(|scores| session.in_scope(scores)).collect::<Result<Vec<_>, _>>()?;
    let outside: Vec<&str> = asks
        .iter()
        .zip(&in_scope)
        .filter_map(|(ask, in_scope)| (!in_scope.in_scope).then_some(ask.instructions.as_str()))
        .collect();
    let mut excluded = session.excluded(&outside).await?.into_iter();
    let mut found = Found::default();
    for (index, (ask, scores)) in asks.into_iter().zip(&own).enumerate() {
        let in_scope = in_scope.get(index).copied();
        match in_scope {
            Some(in_scope) if !in_scope.in_scope => {
                let matched = excluded.next().flatten();
                let contact = session.contact.as_deref().unwrap_or_default();
                found.outside(out_of_scope(ask.name, in_scope, matched.as_ref(), (contact, session.is_calibrated())));
            }
            in_scope => {
                let judgment = session.judge(scores)?;
                let how = (session.is_calibrated(), session.abstain_below);
                let named = name_of(&ask.kind, &judgment);
                let answer = answered(ask, &judgment, scores, how, (in_scope, session.contact.as_deref()));
                found.answered(answer, &judgment, named);
            }
        }
    }
    let (temperature, abstain_below) = (session.temperature.map(Temperature::value), session.abstain_below);
    let asked_of = session.model.clone();
    let (usage, computed_tokens) = session.end();
    let (seed, calibration) = (extra.seed(), temperature);
    let asked = Asked {
        principal: &principal,
        model: &asked_of,
        intent: &intent,
        stated,
        read,
        request,
        cited,
        seed,
        calibration,
    };
    let (answers, decision) = file(&state, asked, &usage, found).await?;
    let own_reading = read.map(ReadRadius::from);
    let baton = DecisionExtra { own_reading, cue: extra, computed_tokens, temperature, abstain_below, decision };
    Ok(Json(DecisionBody { model, answers, usage, baton }))
}

/// All that the questions of one request have in common.
struct Session<'a> {
    state: &'a AppState,
    model: Model,
    /// What stands before every question.
    shared: Vec<ChatMessage>,
    scoring: Scoring,
    scope: Option<Scope>,
    contact: Option<String>,
    /// Fitted for this pack on this model.
    temperature: Option<Temperature>,
    abstain_below: f64,
    /// How the twin reads the blast radius, if it is asked.
    reads: Option<OwnReading>,
    /// All prompts so far, without the pack's tokens.
    prompts: Vec<Vec<TokenId>>,
    /// Tokens of the pack.
    prefix: usize,
}

impl<'a> Session<'a> {
    fn new(state: &'a AppState, cue: Cue, input: Vec<ChatMessage>) -> Self {
        let model = cue.model.clone();
        let shared = shared(&model, &cue, input);
        let pack = model.twin().map(|twin: &Twin| &twin.pack);
        Self {
            scope: pack.map(scope),
            contact: pack.map(contact),
            temperature: model.twin().and_then(|twin| twin.calibration),
            abstain_below: pack.map_or(0.0, |pack| pack.manifest().decisions.abstain_below),
            reads: pack.and_then(|pack| pack.manifest().decisions.own_reading).map(|at_least| OwnReading { at_least }),
            state,
            model,
            shared,
            scoring: cue.scoring(state),
            prompts: Vec::new(),
            prefix: 0,
        }
    }

    /// The scores of every allowed answer to each question.
    async fn score(&mut self, questions: Vec<Question>) -> Result<Vec<Vec<Score>>, ApiError> {
        let posed = render::questions(self.state, self.model.clone(), self.shared.clone(), questions).await?;
        let scores = self.scoring.score(self.state, &posed).await?;
        for Posed { prefix, asked, .. } in posed {
            self.prefix = prefix.map_or(0, |prefix| prefix.tokens.len());
            self.prompts.push(asked.prompt);
        }
        Ok(scores)
    }

    /// Probabilities at the pack's temperature.
    fn judge(&self, scores: &[Score]) -> Result<Judgment, ApiError> {
        let logprobs: Vec<f64> = scores.iter().map(|score| score.logprob).collect();
        let temperature = self.temperature.unwrap_or(Temperature::ONE);
        Judgment::new(&logprobs, temperature).map_err(|error| ApiError::internal(error.to_string()))
    }

    /// The questions of the twin's own reading of the blast radius, if its pack has it asked.
    fn own_reading(&self, asks: &[Ask]) -> Vec<Question> {
        let instructions: Vec<&str> = asks.iter().map(|ask| ask.instructions.as_str()).collect();
        self.reads.map_or_else(Vec::new, |_| OwnReading::questions(&instructions).into())
    }

    /// What the twin has read, from its scores of the answers to these questions.
    fn radius(&self, scores: &[Vec<Score>]) -> Result<Option<BlastRadius>, ApiError> {
        match (self.reads, scores) {
            (Some(reads), [reach, undo]) => Ok(Some(reads.radius(&self.judge(reach)?, &self.judge(undo)?))),
            _ => Ok(None),
        }
    }

    /// How likely it is that a question is the twin's, from what it said of yes and no.
    fn in_scope(&self, scores: &[Score]) -> Result<InScope, ApiError> {
        Ok(InScope::new(self.judge(scores)?.probabilities()[0]))
    }

    /// The exclusion of the pack that each of these questions falls under, if there is one.
    async fn excluded(&mut self, instructions: &[&str]) -> Result<Vec<Option<Exclusion>>, ApiError> {
        let Some(scope) = self.scope.clone() else { return Ok(Vec::new()) };
        let questions: Vec<Question> = instructions.iter().filter_map(|text| scope.exclusion(text)).collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let scores = self.score(questions).await?;
        let matched = |scores: &Vec<Score>| {
            let best = self.judge(scores)?.best();
            Ok(best.checked_sub(1).and_then(|at| scope.excludes.get(at)).cloned())
        };
        scores.iter().map(matched).collect()
    }

    fn is_calibrated(&self) -> bool {
        self.temperature.is_some()
    }

    /// Ends the cue: what it cost, and the input tokens that were computed in truth.
    fn end(self) -> (DecisionUsage, usize) {
        let cost = self.scoring.end();
        (DecisionUsage::new(&self.prompts, self.prefix, cost), cost.computed)
    }
}

/// The twin's pack, what the cue is for, and what the questions are about.
fn shared(model: &Model, cue: &Cue, input: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let pack = model.twin().map(|twin| ChatMessage::system(&twin.system_text));
    let purpose = model.twin().and_then(|_| cue.params().intent.in_words()).map(ChatMessage::system);
    pack.into_iter().chain(purpose).chain(input).collect()
}
