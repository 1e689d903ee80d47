//! Format 1, as it is written down. Frozen: a change here needs a new format number.

mod cases;
mod manifest;

pub(crate) use cases::parse as parse_cases;
pub(crate) use manifest::parse as parse_manifest;

use toml::Spanned;

use crate::Report;
use crate::source::Source;

/// The format number that this module reads.
pub(crate) const FORMAT: i64 = 1;

/// A text within bounds and without blanks around it, or a finding.
fn text(value: &Spanned<String>, name: &str, most: usize, source: Source<'_>, report: &mut Report) -> String {
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
fn line(value: &Spanned<String>, name: &str, most: usize, source: Source<'_>, report: &mut Report) -> String {
    let text = text(value, name, most, source, report);
    if text.contains('\n') {
        report.push(source.error(&value.span(), format!("`{name}` must be one line")));
    }
    text
}
