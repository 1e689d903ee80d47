//! `cases/*.toml` of format 2.

use serde::Deserialize;
use toml::Spanned;

use super::checks::{CheckV2, case_check};
use super::decisions::radius;
use crate::limits::{LINE_CHARS, QUESTION_CHARS};
use crate::source::{Source, clip, did_you_mean};
use crate::v1::cases::says_something;
use crate::wire::{line, text, words};
use crate::{Case, Decisions, Report, Stated};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesV2 {
    case: Vec<Spanned<CaseV2>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseV2 {
    name: Spanned<String>,
    what: Spanned<String>,
    why: Option<Spanned<String>>,
    process: Option<Spanned<String>>,
    product: Option<Spanned<String>>,
    topic: Option<Spanned<String>>,
    #[serde(default)]
    touches: Vec<Spanned<String>>,
    reach: Option<Spanned<String>>,
    reversibility: Option<Spanned<String>>,
    #[serde(default)]
    checks: Vec<Spanned<CheckV2>>,
}

/// Reads one file of cases. All that is wrong goes into the report. Topics are held against those in `decisions`, if
/// the manifest could be read.
pub(crate) fn parse(source: Source<'_>, decisions: Option<&Decisions>, report: &mut Report) -> Vec<Case> {
    match toml::from_str::<CasesV2>(source.text) {
        Ok(wire) => wire.case.iter().map(|wire| case(wire, decisions, source, report)).collect(),
        Err(error) => {
            report.push(source.toml_error(&error));
            Vec::new()
        }
    }
}

fn case(wire: &Spanned<CaseV2>, decisions: Option<&Decisions>, source: Source<'_>, report: &mut Report) -> Case {
    let (span, wire) = (wire.span(), wire.get_ref());
    let case = Case {
        name: line(&wire.name, "name", LINE_CHARS, source, report),
        file: source.path.to_owned(),
        line: source.position(span.start).0,
        what: text(&wire.what, "what", QUESTION_CHARS, source, report),
        why: wire.why.as_ref().map(|why| text(why, "why", QUESTION_CHARS, source, report)),
        stated: stated(wire, decisions, source, report),
        checks: wire.checks.iter().filter_map(|wire| case_check(wire, source, report)).collect(),
    };
    says_something(&case, wire.checks.len(), &span, source, report);
    case
}

fn stated(wire: &CaseV2, decisions: Option<&Decisions>, source: Source<'_>, report: &mut Report) -> Stated {
    if let (Some(topic), Some(decisions)) = (&wire.topic, decisions)
        && !decisions.topics.contains_key(topic.get_ref())
    {
        let known: Vec<&str> = decisions.topics.keys().map(String::as_str).collect();
        let hint = did_you_mean(topic.get_ref(), &known).unwrap_or_else(|| match known.as_slice() {
            [] => "the pack has no topics: see [decisions.topics] of twin.toml".to_owned(),
            known => format!("known here: {}", known.join(", ")),
        });
        let message = format!("the pack has no topic `{}`", clip(topic.get_ref()));
        report.push(source.error(&topic.span(), message).hint(hint));
    }
    let mut short = |value: &Option<Spanned<String>>, name: &str| {
        value.as_ref().map(|value| line(value, name, LINE_CHARS, source, report))
    };
    let (process, product, topic) =
        (short(&wire.process, "process"), short(&wire.product, "product"), short(&wire.topic, "topic"));
    Stated {
        process,
        product,
        topic,
        touches: words(&wire.touches, source, report),
        radius: radius(wire.reach.as_ref(), wire.reversibility.as_ref(), source, report),
    }
}
