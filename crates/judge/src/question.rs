//! Typed questions, and what the model reads of them.

use std::collections::HashMap;
use std::fmt::Write;

use baton_text::ChatMessage;

use crate::Error;

/// A question with its allowed answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the model reads, after everything that the question is about.
    text: String,
    /// What the model may write, one text an answer; at least two, none empty, none twice.
    answers: Vec<String>,
}

/// One option of a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What stands for it.
    pub value: Value,
    /// What it means.
    pub description: Option<String>,
}

/// What stands for an option: a text and a truth value that read alike are two values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
}

/// One level of a scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub label: String,
    /// What it means.
    pub description: Option<String>,
}

/// Options of a choice, as in OpenAI's API.
const CHOICES: (usize, usize) = (2, 255);
/// Levels of a scale, as in OpenAI's API.
const LEVELS: (usize, usize) = (2, 10);
/// Characters of an answer.
const ANSWER_CHARS: usize = 240;

impl Question {
    /// How likely is it that `statement` is true? The answers are yes and no, in this order.
    ///
    /// # Errors
    /// The statement is empty.
    pub fn predicate(statement: &str) -> Result<Self, Error> {
        let statement = said(statement)?;
        let text = format!("Is this statement true?\n\n{statement}\n\nAnswer with one word: Yes or No.");
        Self::new(text, vec!["Yes".to_owned(), "No".to_owned()])
    }

    /// Which of `choices` is right? The answers are in their order.
    ///
    /// # Errors
    /// There are no instructions, too few or too many choices, or one that is empty, too long or there twice.
    pub fn choice(instructions: &str, choices: &[Choice]) -> Result<Self, Error> {
        let instructions = said(instructions)?;
        counted("choices", choices.len(), CHOICES)?;
        let answers = texts(choices);
        let lines = choices.iter().zip(&answers).map(|(choice, answer)| (answer, choice.description.as_deref()));
        let text = format!(
            "{instructions}\n\nChoose one:\n{}\nAnswer with your choice alone, exactly as it is written.",
            list(lines)
        );
        Self::new(text, answers)
    }

    /// Which level of a scale is right? The answers are the levels, from the lowest to the highest.
    ///
    /// # Errors
    /// As [`Self::choice`].
    pub fn score(instructions: &str, levels: &[Level]) -> Result<Self, Error> {
        let instructions = said(instructions)?;
        counted("levels", levels.len(), LEVELS)?;
        let answers: Vec<String> = levels.iter().map(|level| level.label.trim().to_owned()).collect();
        let lines = levels.iter().zip(&answers).map(|(level, answer)| (answer, level.description.as_deref()));
        let text = format!(
            "{instructions}\n\nThe levels, from the lowest to the highest:\n{}\nAnswer with one level alone, exactly as it is written.",
            list(lines)
        );
        Self::new(text, answers)
    }

    /// A question of this crate's own, whose answers are sure to differ.
    pub(crate) fn of(text: String, answers: Vec<String>) -> Self {
        Self { text, answers }
    }

    fn new(text: String, answers: Vec<String>) -> Result<Self, Error> {
        let mut seen = HashMap::new();
        for (at, answer) in answers.iter().enumerate() {
            let found = answer.chars().count();
            if found == 0 {
                return Err(Error::EmptyAnswer(at));
            }
            if found > ANSWER_CHARS {
                return Err(Error::LongAnswer { at, found, most: ANSWER_CHARS });
            }
            if let Some(earlier) = seen.insert(answer.as_str(), at) {
                return Err(Error::SameAnswer(earlier, at));
            }
        }
        Ok(Self { text, answers })
    }

    /// What the model may write.
    pub fn answers(&self) -> &[String] {
        &self.answers
    }

    /// What the model reads last.
    pub fn message(&self) -> ChatMessage {
        ChatMessage::user(self.text.as_str())
    }
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text.trim(),
            Self::Flag(true) => "true",
            Self::Flag(false) => "false",
        }
    }
}

/// What the model may write for each choice: its value; a text that reads like a truth value beside it is quoted.
fn texts(choices: &[Choice]) -> Vec<String> {
    let flags: Vec<&str> = choices
        .iter()
        .filter(|choice| matches!(choice.value, Value::Flag(_)))
        .map(|choice| choice.value.text())
        .collect();
    let text = |choice: &Choice| match &choice.value {
        Value::Text(text) if flags.contains(&text.trim()) => format!("\"{}\"", text.trim()),
        value => value.text().to_owned(),
    };
    choices.iter().map(text).collect()
}

fn said(instructions: &str) -> Result<&str, Error> {
    Some(instructions.trim()).filter(|text| !text.is_empty()).ok_or(Error::NoInstructions)
}

fn counted(what: &'static str, found: usize, (least, most): (usize, usize)) -> Result<(), Error> {
    if (least..=most).contains(&found) { Ok(()) } else { Err(Error::Count { what, found, least, most }) }
}

/// One line an answer, with what it means.
pub(crate) fn list<'a>(lines: impl Iterator<Item = (&'a String, Option<&'a str>)>) -> String {
    let mut text = String::new();
    for (answer, description) in lines {
        // Writing to a String cannot fail.
        let _ = match description.map(str::trim).filter(|text| !text.is_empty()) {
            Some(description) => writeln!(text, "- {answer}: {description}"),
            None => writeln!(text, "- {answer}"),
        };
    }
    text
}
