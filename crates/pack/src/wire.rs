//! Values as they are written in a pack's files, whatever the format: read within bounds, or a finding.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use jiff::civil::Date;
use toml::Spanned;
use toml::value::Datetime;

use crate::Report;
use crate::source::Source;

/// A text within bounds and without blanks around it, or a finding.
pub(crate) fn text(
    value: &Spanned<String>,
    name: &str,
    most: usize,
    source: Source<'_>,
    report: &mut Report,
) -> String {
    let trimmed = value.get_ref().trim();
    if trimmed.is_empty() {
        report.push(source.error(&value.span(), format!("`{name}` is empty")));
    }
    if trimmed.chars().count() > most {
        report.push(source.error(&value.span(), format!("`{name}` is longer than {most} characters")));
    }
    trimmed.to_owned()
}

/// As [`text`], on one line.
pub(crate) fn line(
    value: &Spanned<String>,
    name: &str,
    most: usize,
    source: Source<'_>,
    report: &mut Report,
) -> String {
    let text = text(value, name, most, source, report);
    if text.contains('\n') {
        report.push(source.error(&value.span(), format!("`{name}` must be one line")));
    }
    text
}

/// A day without time, or a finding.
pub(crate) fn date(value: &Spanned<Datetime>, name: &str, source: Source<'_>, report: &mut Report) -> Option<Date> {
    let date = match *value.get_ref() {
        Datetime { date: Some(date), time: None, offset: None } => {
            Date::new(date.year.try_into().unwrap_or(i16::MAX), date.month.cast_signed(), date.day.cast_signed()).ok()
        }
        _ => None,
    };
    if date.is_none() {
        let finding = source.error(&value.span(), format!("`{name}` must be a date without time"));
        report.push(finding.hint("for example 2027-05-22, without quotes"));
    }
    date
}

/// One of a closed list of words, or a name; else a finding.
pub(crate) fn word<T: FromStr<Err: Display>>(
    value: &Spanned<String>,
    source: Source<'_>,
    report: &mut Report,
) -> Option<T> {
    let refuse = |error: T::Err| report.push(source.error(&value.span(), error.to_string()));
    value.get_ref().parse().map_err(refuse).ok()
}

/// A list of them, each once.
pub(crate) fn words<T: FromStr<Err: Display> + Ord>(
    values: &[Spanned<String>],
    source: Source<'_>,
    report: &mut Report,
) -> BTreeSet<T> {
    let mut words = BTreeSet::new();
    for value in values {
        if let Some(word) = word(value, source, report)
            && !words.insert(word)
        {
            report.push(source.error(&value.span(), format!("`{}` is there twice", value.get_ref())));
        }
    }
    words
}

/// A whole number within bounds, or a finding.
pub(crate) fn within(
    value: &Spanned<u32>,
    name: &str,
    most: u32,
    unit: &str,
    source: Source<'_>,
    report: &mut Report,
) -> u32 {
    if !(1..=most).contains(value.get_ref()) {
        report.push(source.error(&value.span(), format!("`{name}` must be between 1 and {most} {unit}")));
    }
    *value.get_ref()
}

/// A share of one, or a finding.
pub(crate) fn share(value: &Spanned<f64>, name: &str, source: Source<'_>, report: &mut Report) -> f64 {
    if !(0.0..=1.0).contains(value.get_ref()) {
        report.push(source.error(&value.span(), format!("`{name}` must be between 0 and 1")));
    }
    *value.get_ref()
}
