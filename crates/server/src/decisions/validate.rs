//! From a body to a checked request.

use baton_judge::{Choice, Error, Level, Question, Value as Answer};
use baton_text::ChatMessage;
use serde_json::Value;

use super::content::{Calls, FULL, content, one_of, required};
use super::types::{Ask, DecisionRequest, Kind};
use crate::cue::{refuse_the_rest, take_intent, take_model};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};
use crate::judging::Stated;

/// Most questions about one input, as in OpenAI's API.
const MAX_QUESTIONS: usize = 400;
/// Most allowed answers of all questions together: each is scored on its own.
const MAX_ANSWERS: usize = 4096;
const MAX_NAME_CHARS: usize = 256;

impl DecisionRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let input = take_input(&mut fields)?;
        let questions = take_questions(&mut fields)?;
        let intent = take_intent(&mut fields)?;
        let stated = Stated::take(&mut fields)?;
        check_cache_options(&mut fields)?;
        refuse_the_rest(fields)?;
        Ok(Self { model, input, questions, intent, stated })
    }
}

fn take_input(fields: &mut Fields) -> Result<Vec<ChatMessage>, ApiError> {
    match fields.take("input") {
        Some(Value::String(text)) => Ok(vec![ChatMessage::user(text)]),
        Some(Value::Array(items)) if items.is_empty() => {
            Err(ApiError::invalid("input", "`input` is empty; give at least one message"))
        }
        Some(Value::Array(items)) => {
            let mut calls = Calls::default();
            items.into_iter().enumerate().map(|(index, item)| calls.read(item, &format!("input[{index}]"))).collect()
        }
        Some(other) => Err(wrong_type("input", "a string or an array of messages", &other)),
        None => Err(ApiError::missing("input")),
    }
}

fn take_questions(fields: &mut Fields) -> Result<Vec<Ask>, ApiError> {
    let list = fields.list("questions")?.ok_or_else(|| ApiError::missing("questions"))?;
    if list.is_empty() || list.len() > MAX_QUESTIONS {
        let message = format!("`questions` takes 1 to {MAX_QUESTIONS} questions, not {}", list.len());
        return Err(ApiError::invalid("questions", message));
    }
    let list = list.into_iter().enumerate();
    let asks: Vec<Ask> =
        list.map(|(index, value)| read_question(value, &format!("questions[{index}]"))).collect::<Result<_, _>>()?;
    let answers: usize = asks.iter().map(|ask| ask.question.answers().len()).sum();
    if answers > MAX_ANSWERS {
        let message = format!("the questions allow {answers} answers in all, and {MAX_ANSWERS} at most; ask in parts");
        return Err(ApiError::invalid("questions", message));
    }
    Ok(asks)
}

fn read_question(value: Value, path: &str) -> Result<Ask, ApiError> {
    let mut fields = Fields::of(value, path)?;
    let at = fields.path("name");
    let name = fields.string("name")?;
    if name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME_CHARS) {
        return Err(ApiError::invalid(at, format!("a name has {MAX_NAME_CHARS} characters at most")));
    }
    let instructions = content(&mut fields, "instructions", FULL)?;
    let at = fields.path("type");
    let (kind, question, list) = match required(&mut fields, "type")?.as_str() {
        "predicate" => (Kind::Predicate, Question::predicate(&instructions), "instructions"),
        "choice" => {
            let choices = each(&mut fields, "choices", read_choice)?;
            let question = Question::choice(&instructions, &choices);
            (Kind::Choice(choices.into_iter().map(|choice| choice.value).collect()), question, "choices")
        }
        "score" => {
            let levels = each(&mut fields, "levels", read_level)?;
            let question = Question::score(&instructions, &levels);
            (Kind::Score(levels), question, "levels")
        }
        other => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`{other}` is no type of question; use predicate, choice or score");
            return Err(ApiError::invalid(at, message));
        }
    };
    let question = question.map_err(|error| {
        let name = if matches!(error, Error::NoInstructions) { "instructions" } else { list };
        ApiError::invalid(fields.path(name), error.to_string())
    })?;
    fields.finish()?;
    Ok(Ask { name, instructions, kind, question })
}

/// Takes a list of objects, each read by `read`.
fn each<T>(fields: &mut Fields, name: &str, read: fn(Fields) -> Result<T, ApiError>) -> Result<Vec<T>, ApiError> {
    let at = fields.path(name);
    let list = fields.list(name)?.ok_or_else(|| ApiError::missing(&at))?;
    let list = list.into_iter().enumerate();
    list.map(|(index, value)| read(Fields::of(value, &format!("{at}[{index}]"))?)).collect()
}

fn read_choice(mut fields: Fields) -> Result<Choice, ApiError> {
    let at = fields.path("value");
    let value = match fields.take("value") {
        Some(Value::String(text)) => Answer::Text(text),
        Some(Value::Bool(flag)) => Answer::Flag(flag),
        Some(other) => return Err(wrong_type(&at, "a string or a boolean", &other)),
        None => return Err(ApiError::missing(at)),
    };
    let description = fields.string("description")?;
    fields.finish()?;
    Ok(Choice { value, description })
}

fn read_level(mut fields: Fields) -> Result<Level, ApiError> {
    let label = required(&mut fields, "label")?;
    let description = fields.string("description")?;
    fields.finish()?;
    Ok(Level { label, description })
}

/// How a cache is to be used; ours is keyed by what is in it, and cannot change an answer.
fn check_cache_options(fields: &mut Fields) -> Result<(), ApiError> {
    let Some(mut options) = fields.object("prompt_cache_options")? else { return Ok(()) };
    one_of(&mut options, "mode", &["implicit", "explicit"])?;
    one_of(&mut options, "ttl", &["30m"])?;
    options.finish()
}
