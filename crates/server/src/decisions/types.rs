//! The wire types of `POST /v1/decisions`: the request as it was read, the reply as it is written.

use baton_contract::{BlastRadius, Intent};
use baton_judge::{Level, Question, Value};
use baton_text::ChatMessage;
use serde::{Serialize, Serializer};

use crate::cue::BatonExtra;
use crate::judging::{Filed, Stated};

/// A body whose every field has been read and checked.
#[derive(Debug)]
pub(crate) struct DecisionRequest {
    pub(crate) model: String,
    /// What all questions are about; never empty.
    pub(crate) input: Vec<ChatMessage>,
    /// Never empty.
    pub(crate) questions: Vec<Ask>,
    pub(crate) intent: Intent,
    /// What the caller states about the decision.
    pub(crate) stated: Stated,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Ask {
    /// What the caller calls it.
    pub(crate) name: Option<String>,
    /// What is asked, in the caller's words.
    pub(crate) instructions: String,
    pub(crate) kind: Kind,
    /// As the twin reads it.
    pub(crate) question: Question,
}

/// What sort of answer a question has; in the order of the question's answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Predicate,
    Choice(Vec<Value>),
    Score(Vec<Level>),
}

#[derive(Debug, Serialize)]
pub(crate) struct DecisionBody {
    pub(crate) model: String,
    pub(crate) answers: Vec<AnswerBody>,
    pub(crate) usage: DecisionUsage,
    pub(crate) baton: DecisionExtra,
}

/// OpenAI's answer, and what Baton says beside it.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerBody {
    /// Null for a question without one.
    pub(crate) name: Option<String>,
    #[serde(flatten)]
    pub(crate) answer: Answer,
    pub(crate) baton: AnswerExtra,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    Predicate {
        /// That the statement is true.
        probability: f64,
    },
    Choice {
        choice: WireValue,
        confidence: f64,
        probabilities: Vec<ChoiceProbability>,
    },
    Score {
        /// The mean of the levels' values, by probability.
        score: f64,
        confidence: f64,
        probabilities: Vec<LevelProbability>,
    },
    Refusal,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChoiceProbability {
    pub(crate) value: WireValue,
    pub(crate) probability: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct LevelProbability {
    pub(crate) label: String,
    /// 0 for the first level, and one more for each that follows.
    pub(crate) value: usize,
    pub(crate) probability: f64,
}

/// A string or a boolean.
#[derive(Clone, Debug)]
pub(crate) struct WireValue(pub(crate) Value);

/// OpenAI's usage object for decisions.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DecisionUsage {
    /// What all questions share counts once.
    pub(crate) input_tokens: usize,
    pub(crate) input_tokens_details: InputDetails,
    /// Tokens of answers that were scored.
    pub(crate) output_tokens: usize,
    pub(crate) output_tokens_details: OutputDetails,
    pub(crate) total_tokens: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InputDetails {
    /// The rest: what was computed can be used again.
    pub(crate) cache_write_tokens: usize,
    /// Part of `input_tokens` that did not have to be computed.
    pub(crate) cached_tokens: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OutputDetails {
    /// Always 0: answers are scored as they stand.
    pub(crate) reasoning_tokens: usize,
}

/// What Baton says about the whole reply.
#[derive(Debug, Serialize)]
pub(crate) struct DecisionExtra {
    #[serde(flatten)]
    pub(crate) cue: BatonExtra,
    /// Input tokens that were computed in truth: each answer is scored on its own and computes a part of a block again.
    pub(crate) computed_tokens: usize,
    /// What scores were divided by; absent if nothing was fitted for this pack on this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    /// A twin whose most probable answer is less probable than this does not answer.
    pub(crate) abstain_below: f64,
    /// Absent where the pack does not have the twin asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) own_reading: Option<ReadRadius>,
    /// What became of the decision; absent without a twin, and where nothing was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Filed>,
}

/// What the twin itself reads of the blast radius; it can only raise what others say.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ReadRadius {
    reach: &'static str,
    reversibility: &'static str,
}

impl From<BlastRadius> for ReadRadius {
    fn from(radius: BlastRadius) -> Self {
        Self { reach: radius.reach.as_str(), reversibility: radius.reversibility.as_str() }
    }
}

/// What Baton says about one answer.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerExtra {
    /// Whether the probabilities were fitted to cases whose answer is known.
    pub(crate) calibrated: bool,
    /// The probability that the question is one that the twin answers; absent without a twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_scope: Option<InScope>,
    /// Whether the twin was too unsure to answer.
    pub(crate) abstained: bool,
    /// What the model itself said of every allowed answer; absent for a question out of scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scores: Option<Vec<AnswerScore>>,
    /// Why there is no answer, and who has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<RefusalExtra>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct InScope {
    pub(crate) probability: f64,
    pub(crate) in_scope: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct AnswerScore {
    /// As the model would write it.
    pub(crate) answer: String,
    /// Natural logarithm of the probability that it writes exactly this and ends.
    pub(crate) logprob: f64,
    /// Tokens of it, with the one that ends it.
    pub(crate) tokens: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RefusalExtra {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Who answers it; absent without a twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ask: Option<String>,
}

impl Serialize for WireValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}
