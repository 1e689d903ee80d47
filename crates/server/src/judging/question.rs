//! One question of a recorded decision, as a case asks it.

use baton_contract::BlastRadius;
use baton_ledger::Record;
use serde_json::Value;

use crate::error::ApiError;

/// The request of a decision's row; nothing if it was erased.
pub(super) fn request_of(row: &Record) -> Option<Value> {
    serde_json::from_str(row.text("request")?).ok()
}

/// The answer of a decision's row: a list of judgments, or a chat's text; nothing if it was erased.
pub(super) fn answer_of(row: &Record) -> Option<Value> {
    let (text, body) = (row.text("answer")?, serde_json::from_str::<Value>(&row.body).ok()?);
    match body["endpoint"].as_str() {
        Some("/v1/decisions") => serde_json::from_str(text).ok(),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// How far a mistake travels, as the request of a decision's row stated it; nothing if it did not, or was erased.
pub(crate) fn stated_radius(row: &Record) -> Option<BlastRadius> {
    let request = request_of(row)?;
    let word = |name: &str| request["baton"]["radius"][name].as_str();
    Some(BlastRadius { reach: word("reach")?.parse().ok()?, reversibility: word("reversibility")?.parse().ok()? })
}

/// What was asked, and what the twin answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) what: String,
    pub(super) why: Option<String>,
    pub(super) answer: String,
    /// The answers that were allowed.
    pub(super) choices: Vec<String>,
}

impl Question {
    /// The question named `wanted` of a request with its answers, or the only one; of a chat, what was said last.
    ///
    /// # Errors
    /// There is no such question, or several and none is named.
    pub(super) fn of(request: &Value, answers: &Value, wanted: Option<&str>) -> Result<Self, ApiError> {
        let why = request["metadata"]["why"].as_str().map(str::to_owned);
        let Some(questions) = request["questions"].as_array() else {
            let what = said(&request["messages"]).pop().unwrap_or_default();
            let answer = answers.as_str().map_or_else(|| answers.to_string(), str::to_owned);
            return Ok(Self { what, why, answer, choices: Vec::new() });
        };
        let place = match wanted {
            Some(name) => questions.iter().position(|question| question["name"] == name),
            None => (questions.len() == 1).then_some(0),
        };
        let place = place.ok_or_else(|| {
            ApiError::invalid("question", "say as `question` which one of the decision's questions: its `name`")
        })?;
        let (question, answer) = (&questions[place], &answers[place]);
        let input = match &request["input"] {
            Value::String(text) => text.clone(),
            items => said(items).join("\n"),
        };
        let what = format!("{input}\n\n{}", text_of(&question["instructions"]));
        let (choices, answer) = judged(question, answer);
        Ok(Self { what, why, answer, choices })
    }
}

/// The answers that a question allows, and the one that was given.
fn judged(question: &Value, answer: &Value) -> (Vec<String>, String) {
    let each = |list: &str, field: &str| -> Vec<String> {
        question[list].as_array().into_iter().flatten().map(|one| text_of(&one[field])).collect()
    };
    match question["type"].as_str() {
        Some("choice") => (each("choices", "value"), text_of(&answer["choice"])),
        Some("score") => {
            let levels = answer["probabilities"].as_array().into_iter().flatten();
            let probability = |level: &&Value| level["probability"].as_f64().unwrap_or_default();
            let best = levels.max_by(|one, other| probability(one).total_cmp(&probability(other)));
            (each("levels", "label"), best.map(|level| text_of(&level["label"])).unwrap_or_default())
        }
        _ => {
            let yes = answer["probability"].as_f64().is_some_and(|probability| probability >= 0.5);
            (["Yes", "No"].map(str::to_owned).to_vec(), if yes { "Yes" } else { "No" }.to_owned())
        }
    }
}

/// The texts of messages.
fn said(messages: &Value) -> Vec<String> {
    messages.as_array().into_iter().flatten().map(|message| text_of(&message["content"])).collect()
}

/// A text, the texts of parts, or a value as it is written.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| text_of(&part["text"])).collect::<Vec<_>>().join("\n"),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_type_of_question_has_its_answers() {
        let request = json!({
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "A column"}]}, {"content": "is read."}],
            "metadata": {"why": "it is old"},
            "questions": [
                {"type": "predicate", "name": "safe", "instructions": "It is safe."},
                {"type": "choice", "name": "next", "instructions": "What next?", "choices": [{"value": "drop it"}, {"value": true}]},
                {"type": "score", "name": "reach", "instructions": "How far?", "levels": [{"label": "near"}, {"label": "far"}]},
            ],
        });
        let answers = json!([
            {"type": "predicate", "probability": 0.4},
            {"type": "choice", "choice": true},
            {"type": "score", "probabilities": [{"label": "near", "probability": 0.2}, {"label": "far", "probability": 0.8}]},
        ]);
        let rows = [
            ("safe", "It is safe.", "No", ["Yes", "No"]),
            ("next", "What next?", "true", ["drop it", "true"]),
            ("reach", "How far?", "far", ["near", "far"]),
        ];
        for (name, instructions, answer, choices) in rows {
            let question = Question::of(&request, &answers, Some(name)).unwrap();
            assert_eq!(question.what, format!("A column\nis read.\n\n{instructions}"));
            assert_eq!((question.why.as_deref(), question.answer.as_str()), (Some("it is old"), answer));
            assert_eq!(question.choices, choices.map(str::to_owned));
        }
        assert!(Question::of(&request, &answers, None).is_err(), "there are three");
        assert!(Question::of(&request, &answers, Some("other")).is_err());
    }

    #[test]
    fn of_a_chat_it_is_what_was_said_last() {
        let request =
            json!({"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Drop it?"}]});
        let question = Question::of(&request, &json!("Yes."), None).unwrap();
        let expected =
            Question { what: "Drop it?".to_owned(), why: None, answer: "Yes.".to_owned(), choices: Vec::new() };
        assert_eq!(question, expected);
    }
}
