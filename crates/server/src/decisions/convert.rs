//! From scores to the reply.

use baton_contract::TokenId;
use baton_engine::Score;
use baton_judge::{Exclusion, Judgment, Level, Scope, Value};
use baton_pack::{Expert, Pack};

use super::types::{
    Answer, AnswerBody, AnswerExtra, AnswerScore, Ask, ChoiceProbability, DecisionUsage, InScope, InputDetails, Kind,
    LevelProbability, OutputDetails, RefusalExtra, WireValue,
};
use crate::cue::Cost;

/// A twin answers a question if this or more is the probability that it is one of its own.
const IN_SCOPE: f64 = 0.5;

impl InScope {
    pub(super) fn new(probability: f64) -> Self {
        Self { probability, in_scope: probability >= IN_SCOPE }
    }
}

/// A pack's scope, for the twin to read.
pub(super) fn scope(pack: &Pack) -> Scope {
    let scope = &pack.manifest().scope;
    let exclusion = |one: &baton_pack::Exclusion| Exclusion { topic: one.topic.clone(), ask: one.ask.clone() };
    Scope { covers: scope.covers.clone(), excludes: scope.excludes.iter().map(exclusion).collect() }
}

/// Who has an answer where the twin has none.
pub(super) fn contact(pack: &Pack) -> String {
    let Expert { name, team, contact } = &pack.manifest().expert;
    match team {
        Some(team) => format!("{name} ({team}, {contact})"),
        None => format!("{name} ({contact})"),
    }
}

/// An answer out of a judgment.
pub(super) fn answer(kind: Kind, judgment: &Judgment) -> Answer {
    let (probabilities, confidence) = (judgment.probabilities(), judgment.confidence());
    match kind {
        Kind::Predicate => Answer::Predicate { probability: probabilities[0] },
        Kind::Choice(values) => {
            let choice = WireValue(values[judgment.best()].clone());
            let each = |(value, probability): (Value, &f64)| ChoiceProbability {
                value: WireValue(value),
                probability: *probability,
            };
            Answer::Choice {
                choice,
                confidence,
                probabilities: values.into_iter().zip(probabilities).map(each).collect(),
            }
        }
        Kind::Score(levels) => {
            let each = |(value, (Level { label, .. }, probability)): (usize, (Level, &f64))| LevelProbability {
                label,
                value,
                probability: *probability,
            };
            let probabilities = levels.into_iter().zip(probabilities).enumerate().map(each).collect();
            Answer::Score { score: judgment.expectation(), confidence, probabilities }
        }
    }
}

/// What is said of one question that the twin may answer: its answer, or that it is too unsure for one.
pub(super) fn answered(
    ask: Ask,
    judgment: &Judgment,
    scores: &[Score],
    (calibrated, abstain_below): (bool, f64),
    (in_scope, contact): (Option<InScope>, Option<&str>),
) -> AnswerBody {
    let texts = ask.question.answers().iter();
    let each = |(text, score): (&String, &Score)| AnswerScore {
        answer: text.clone(),
        // A log-probability that JSON can say; OpenAI's own floor for one token.
        logprob: score.logprob.max(-9999.0),
        tokens: score.usage.output,
    };
    let scores = Some(texts.zip(scores).map(each).collect());
    let abstained = judgment.abstains(abstain_below);
    let refusal = abstained.then(|| RefusalExtra {
        reason: "abstained",
        message: format!(
            "the most probable answer has a probability of {:.2}, and the twin answers from {abstain_below:.2} on",
            judgment.confidence()
        ),
        ask: contact.map(str::to_owned),
    });
    let answer = if abstained { Answer::Refusal } else { answer(ask.kind, judgment) };
    AnswerBody { name: ask.name, answer, baton: AnswerExtra { calibrated, in_scope, abstained, scores, refusal } }
}

/// What is said of a question that is somebody else's: `matched` if it is one that the pack names.
pub(super) fn out_of_scope(
    name: Option<String>,
    in_scope: InScope,
    matched: Option<&Exclusion>,
    (contact, calibrated): (&str, bool),
) -> AnswerBody {
    let (message, ask) = match matched {
        Some(Exclusion { topic, ask }) => (format!("this twin does not answer questions about {topic}"), ask.as_str()),
        None => ("this twin's pack does not cover the question".to_owned(), contact),
    };
    let refusal = RefusalExtra { reason: "out_of_scope", message, ask: Some(ask.to_owned()) };
    let baton =
        AnswerExtra { calibrated, in_scope: Some(in_scope), abstained: false, scores: None, refusal: Some(refusal) };
    AnswerBody { name, answer: Answer::Refusal, baton }
}

impl DecisionUsage {
    /// What questions cost: their prompts after the pack's tokens, and what was computed in truth. What prompts begin
    /// with alike counts once.
    ///
    /// What several answers computed of one block is computed more than once, so that the input less all that was
    /// computed is less than what was there; so is what was there for every answer. The larger counts: no token is said
    /// to be cached that was not.
    pub(super) fn new(prompts: &[Vec<TokenId>], prefix: usize, cost: Cost) -> Self {
        let Cost { computed, scored, there } = cost;
        let mut sorted: Vec<&[TokenId]> = prompts.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable();
        let common = |one: &[TokenId], other: &[TokenId]| one.iter().zip(other).take_while(|(a, b)| a == b).count();
        // Of sorted lists, none has more in common with any earlier one than with the one before it.
        let all: usize = sorted.iter().map(|prompt| prompt.len()).sum();
        let again: usize = sorted.windows(2).map(|pair| common(pair[0], pair[1])).sum();
        let input = prefix + all - again;
        let cached = input.saturating_sub(computed).max(there.min(input));
        Self {
            input_tokens: input,
            input_tokens_details: InputDetails { cache_write_tokens: input - cached, cached_tokens: cached },
            output_tokens: scored,
            output_tokens_details: OutputDetails { reasoning_tokens: 0 },
            total_tokens: input + scored,
        }
    }
}
