//! The checks of format 2: those of format 1, and more.

use std::ops::Range;

use baton_contract::Tier;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::limits::{ANSWERS, ITEM_CHARS, JSON_VALUES, PATTERN_CHARS, QUESTION_CHARS};
use crate::source::{Source, clip};
use crate::v1::cases::{CheckV1, check};
use crate::wire::{line, share, text, word};
use crate::{AnswerCheck, Check, Choice, JsonCheck, JsonPointer, JsonTest, Pattern, Report};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckV2 {
    Contains(String),
    ContainsAny(Vec<String>),
    NotContains(String),
    Regex(String),
    MaxWords(u32),
    Json(JsonV2),
    MustRefuse(Spanned<String>),
    Choice(ChoiceV2),
    TierAtLeast(Spanned<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonV2 {
    at: Spanned<String>,
    equals: Option<Spanned<toml::Value>>,
    matches: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChoiceV2 {
    question: Option<Spanned<String>>,
    of: Spanned<Vec<Spanned<String>>>,
    right: Spanned<String>,
    at_least: Spanned<f64>,
}

/// A check of a case, within its bounds, or a finding.
pub(super) fn case_check(wire: &Spanned<CheckV2>, source: Source<'_>, report: &mut Report) -> Option<Check> {
    match wire.get_ref() {
        CheckV2::Choice(wire) => choice(wire, source, report).map(Check::Choice),
        CheckV2::TierAtLeast(tier) => word::<Tier>(tier, source, report).map(Check::TierAtLeast),
        other => answer_check(other, &wire.span(), source, report).map(Check::Answer),
    }
}

/// A check on the text of an answer, within its bounds, or a finding. `None` without a finding for one that is not.
pub(super) fn answer_check(
    wire: &CheckV2,
    span: &Range<usize>,
    source: Source<'_>,
    report: &mut Report,
) -> Option<AnswerCheck> {
    let old = match wire {
        CheckV2::Contains(text) => CheckV1::Contains(text.clone()),
        CheckV2::ContainsAny(texts) => CheckV1::ContainsAny(texts.clone()),
        CheckV2::NotContains(text) => CheckV1::NotContains(text.clone()),
        CheckV2::Regex(pattern) => CheckV1::Regex(pattern.clone()),
        CheckV2::MaxWords(most) => CheckV1::MaxWords(*most),
        CheckV2::Json(wire) => return json(wire, span, source, report).map(AnswerCheck::Json),
        CheckV2::MustRefuse(ask) => {
            return Some(AnswerCheck::MustRefuse(line(ask, "must_refuse", ITEM_CHARS, source, report)));
        }
        CheckV2::Choice(_) | CheckV2::TierAtLeast(_) => return None,
    };
    check(&old, span, source, report)
}

fn json(wire: &JsonV2, span: &Range<usize>, source: Source<'_>, report: &mut Report) -> Option<JsonCheck> {
    let mut refuse = |span: &Range<usize>, message: String| report.push(source.error(span, message));
    let at = if wire.at.get_ref().chars().count() > PATTERN_CHARS {
        Err(format!("it is longer than {PATTERN_CHARS} characters"))
    } else {
        JsonPointer::parse(wire.at.get_ref())
    };
    let at = at.map_err(|error| refuse(&wire.at.span(), format!("the JSON pointer cannot be used: {error}"))).ok();
    let must = match (&wire.equals, &wire.matches) {
        (Some(value), None) => match plain_json(value.get_ref(), &mut JSON_VALUES.clone()) {
            Ok(value) => Some(JsonTest::Equals(value)),
            Err(error) => {
                refuse(&value.span(), format!("`equals` {error}"));
                None
            }
        },
        (None, Some(pattern)) if pattern.get_ref().chars().count() > PATTERN_CHARS => {
            refuse(&pattern.span(), format!("the pattern is longer than {PATTERN_CHARS} characters"));
            None
        }
        (None, Some(pattern)) => match Pattern::compile(pattern.get_ref()) {
            Ok(pattern) => Some(JsonTest::Matches(pattern)),
            Err(error) => {
                refuse(&pattern.span(), format!("the pattern cannot be used: {error}"));
                None
            }
        },
        (None, None) | (Some(_), Some(_)) => {
            let hint = "for example { json = { at = \"/verdict\", equals = \"stop\" } }";
            report.push(source.error(span, "a check on JSON has either `equals` or `matches`").hint(hint));
            None
        }
    };
    Some(JsonCheck { at: at?, must: must? })
}

/// A TOML value that JSON has, too: texts, numbers, booleans and short lists of them.
fn plain_json(value: &toml::Value, left: &mut usize) -> Result<Value, String> {
    *left = left.checked_sub(1).ok_or_else(|| format!("holds more than {JSON_VALUES} values"))?;
    match value {
        toml::Value::String(text) if text.chars().count() > ITEM_CHARS => {
            Err(format!("holds a text of more than {ITEM_CHARS} characters"))
        }
        toml::Value::String(text) => Ok(text.clone().into()),
        toml::Value::Integer(number) => Ok((*number).into()),
        toml::Value::Float(number) if number.is_finite() => Ok((*number).into()),
        toml::Value::Boolean(truth) => Ok((*truth).into()),
        toml::Value::Array(values) => values.iter().map(|value| plain_json(value, left)).collect(),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Err("must be a text, a number, true, false, or a list of these".to_owned())
        }
    }
}

fn choice(wire: &ChoiceV2, source: Source<'_>, report: &mut Report) -> Option<Choice> {
    let question = wire.question.as_ref().map(|value| text(value, "question", QUESTION_CHARS, source, report));
    let answers: Vec<String> =
        wire.of.get_ref().iter().map(|value| line(value, "of", ITEM_CHARS, source, report)).collect();
    let at_least = share(&wire.at_least, "at_least", source, report);
    if *wire.at_least.get_ref() == 0.0 {
        report.push(source.error(&wire.at_least.span(), "`at_least` must be more than 0"));
    }
    if !(2..=ANSWERS).contains(&answers.len()) {
        report.push(source.error(&wire.of.span(), format!("`of` must list between 2 and {ANSWERS} answers")));
    }
    for (i, answer) in answers.iter().enumerate() {
        if answers[..i].contains(answer) {
            let span = wire.of.get_ref()[i].span();
            report.push(source.error(&span, format!("the answer `{}` is there twice", clip(answer))));
        }
    }
    let right = answers.iter().position(|answer| answer == wire.right.get_ref().trim());
    if right.is_none() {
        let message = format!("the right answer `{}` is none of those in `of`", clip(wire.right.get_ref()));
        report.push(source.error(&wire.right.span(), message));
    }
    Some(Choice { question, answers, right: right?, at_least })
}
