//! `cases/*.toml` of format 1.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::limits::{CHECKS, ITEM_CHARS, LINE_CHARS, PATTERN_CHARS, QUESTION_CHARS};
use crate::source::Source;
use crate::wire::{line, text};
use crate::{AnswerCheck, Case, Check, Pattern, Report, Stated};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesV1 {
    case: Vec<Spanned<CaseV1>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseV1 {
    name: Spanned<String>,
    what: Spanned<String>,
    why: Option<Spanned<String>>,
    #[serde(default)]
    checks: Vec<Spanned<CheckV1>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckV1 {
    Contains(String),
    ContainsAny(Vec<String>),
    NotContains(String),
    Regex(String),
    MaxWords(u32),
}

/// Reads one file of cases. All that is wrong goes into the report.
pub(crate) fn parse(source: Source<'_>, report: &mut Report) -> Vec<Case> {
    match toml::from_str::<CasesV1>(source.text) {
        Ok(wire) => wire.case.iter().map(|wire| case(wire, source, report)).collect(),
        Err(error) => {
            report.push(source.toml_error(&error));
            Vec::new()
        }
    }
}

fn case(wire: &Spanned<CaseV1>, source: Source<'_>, report: &mut Report) -> Case {
    let (span, wire) = (wire.span(), wire.get_ref());
    let case = Case {
        name: line(&wire.name, "name", LINE_CHARS, source, report),
        file: source.path.to_owned(),
        line: source.position(span.start).0,
        what: text(&wire.what, "what", QUESTION_CHARS, source, report),
        why: wire.why.as_ref().map(|why| text(why, "why", QUESTION_CHARS, source, report)),
        stated: Stated::default(),
        checks: wire
            .checks
            .iter()
            .filter_map(|wire| Some(Check::Answer(check(wire.get_ref(), &wire.span(), source, report)?)))
            .collect(),
    };
    says_something(&case, wire.checks.len(), &span, source, report);
    case
}

/// Looks whether the case, with so many checks as it was written, tells a good answer from none.
pub(crate) fn says_something(case: &Case, checks: usize, span: &Range<usize>, source: Source<'_>, report: &mut Report) {
    if checks == 0 {
        let hint = "say what a good answer contains: checks = [{ contains = \"…\" }]";
        report.push(source.error(span, format!("the case `{}` has no check", case.name)).hint(hint));
    } else if checks > CHECKS {
        report.push(source.error(span, format!("the case `{}` has more than {CHECKS} checks", case.name)));
    } else if case.checks.iter().all(|check| matches!(check, Check::Answer(check) if check.passes("")))
        && !case.checks.is_empty()
    {
        let hint = "add a check on what a good answer contains";
        report.push(source.warning(span, format!("an empty answer would pass the case `{}`", case.name)).hint(hint));
    }
}

/// A check that is within its bounds, or a finding.
pub(crate) fn check(
    wire: &CheckV1,
    span: &Range<usize>,
    source: Source<'_>,
    report: &mut Report,
) -> Option<AnswerCheck> {
    let mut refuse = |message: String| report.push(source.error(span, message));
    let fits = |text: &String| !text.trim().is_empty() && text.chars().count() <= ITEM_CHARS;
    let bounds = format!("must have between 1 and {ITEM_CHARS} characters");
    match wire {
        CheckV1::Contains(text) | CheckV1::NotContains(text) if !fits(text) => refuse(format!("the text {bounds}")),
        CheckV1::Contains(text) => return Some(AnswerCheck::Contains(text.clone())),
        CheckV1::NotContains(text) => return Some(AnswerCheck::NotContains(text.clone())),
        CheckV1::ContainsAny(texts) if texts.is_empty() || texts.len() > CHECKS => {
            refuse(format!("`contains_any` must list between 1 and {CHECKS} texts"));
        }
        CheckV1::ContainsAny(texts) if !texts.iter().all(fits) => refuse(format!("each text {bounds}")),
        CheckV1::ContainsAny(texts) => return Some(AnswerCheck::ContainsAny(texts.clone())),
        CheckV1::Regex(pattern) if pattern.chars().count() > PATTERN_CHARS => {
            refuse(format!("the pattern is longer than {PATTERN_CHARS} characters"));
        }
        CheckV1::Regex(pattern) => match Pattern::compile(pattern) {
            Ok(pattern) => return Some(AnswerCheck::Regex(pattern)),
            Err(error) => refuse(format!("the pattern cannot be used: {error}")),
        },
        CheckV1::MaxWords(0) => refuse("`max_words` must be at least 1".to_owned()),
        CheckV1::MaxWords(most) => return Some(AnswerCheck::MaxWords(*most as usize)),
    }
    None
}
