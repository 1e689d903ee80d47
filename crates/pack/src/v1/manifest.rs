//! `twin.toml` of format 1.

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use baton_contract::Sampling;

use crate::check::Places;
use crate::limits::{ITEM_CHARS, LINE_CHARS, SCOPE_ITEMS, TOKENS};
use crate::manifest::CASE_BAR;
use crate::source::Source;
use crate::wire::{date, line, within};
use crate::{Decisions, Exclusion, Expert, Limits, Manifest, Report, SamplingDefaults, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestV1 {
    #[serde(rename = "format")]
    pub(crate) _format: i64,
    pub(crate) id: Spanned<String>,
    pub(crate) version: Spanned<String>,
    pub(crate) title: Spanned<String>,
    pub(crate) craft: Spanned<String>,
    pub(crate) review_by: Spanned<Datetime>,
    pub(crate) context_budget: Spanned<u32>,
    pub(crate) expert: ExpertV1,
    pub(crate) scope: ScopeV1,
    #[serde(default)]
    pub(crate) sampling: Option<Spanned<SamplingV1>>,
    #[serde(default)]
    pub(crate) limits: LimitsV1,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpertV1 {
    name: Spanned<String>,
    team: Option<Spanned<String>>,
    contact: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeV1 {
    covers: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    excludes: Vec<ExclusionV1>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExclusionV1 {
    topic: Spanned<String>,
    ask: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplingV1 {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsV1 {
    max_output_tokens: Option<Spanned<u32>>,
}

/// Tables that came with format 2.
const NEWER_TABLES: [&str; 5] = ["decisions", "space", "spec", "cases", "adapter"];

/// Reads a manifest. All that is wrong goes into the report; `None` if no manifest can be made of it.
pub(crate) fn parse(source: Source<'_>, report: &mut Report) -> Option<(Manifest, Places)> {
    match toml::from_str(source.text) {
        Ok(wire) => manifest(wire, source, report),
        Err(error) => {
            let finding = source.toml_error(&error);
            let is_newer = NEWER_TABLES.iter().any(|name| finding.message == format!("unknown field `{name}`"));
            report.push(if is_newer { finding.hint("put `format = 2` in the first line") } else { finding });
            None
        }
    }
}

/// Makes a manifest of what was read; what format 1 has no words for is as if nothing were said about it.
pub(crate) fn manifest(wire: ManifestV1, source: Source<'_>, report: &mut Report) -> Option<(Manifest, Places)> {
    let places = Places {
        review_by: source.position(wire.review_by.span().start),
        context_budget: source.position(wire.context_budget.span().start),
        spaces: Vec::new(),
    };
    let id = wire.id.get_ref().parse().map_err(|error: baton_contract::IdError| {
        report.push(source.error(&wire.id.span(), error.to_string()));
    });
    let review_by = date(&wire.review_by, "review_by", source, report);
    let manifest = Manifest {
        version: version(&wire.version, source, report),
        title: line(&wire.title, "title", LINE_CHARS, source, report),
        craft: line(&wire.craft, "craft", LINE_CHARS, source, report),
        expert: expert(&wire.expert, source, report),
        scope: scope(&wire.scope, source, report),
        context_budget: tokens(&wire.context_budget, "context_budget", source, report),
        sampling: wire.sampling.map(|sampling| self::sampling(&sampling, source, report)).unwrap_or_default(),
        limits: Limits {
            max_output_tokens: wire
                .limits
                .max_output_tokens
                .map(|limit| tokens(&limit, "max_output_tokens", source, report)),
        },
        decisions: Decisions::default(),
        spaces: Vec::new(),
        answer_checks: Vec::new(),
        case_bar: CASE_BAR,
        adapter_model: None,
        id: id.ok()?,
        review_by: review_by?,
    };
    Some((manifest, places))
}

fn expert(wire: &ExpertV1, source: Source<'_>, report: &mut Report) -> Expert {
    Expert {
        name: line(&wire.name, "name", LINE_CHARS, source, report),
        team: wire.team.as_ref().map(|team| line(team, "team", LINE_CHARS, source, report)),
        contact: line(&wire.contact, "contact", LINE_CHARS, source, report),
    }
}

fn scope(wire: &ScopeV1, source: Source<'_>, report: &mut Report) -> Scope {
    let span = wire.covers.span();
    if wire.covers.get_ref().is_empty() {
        report.push(source.error(&span, "`covers` is empty").hint("say what the twin may be asked"));
    }
    if wire.covers.get_ref().len() > SCOPE_ITEMS || wire.excludes.len() > SCOPE_ITEMS {
        let hint = "a twin is a subset: fewer, broader items, or two twins";
        report.push(source.error(&span, format!("the scope has more than {SCOPE_ITEMS} items")).hint(hint));
    }
    let item = |value, name, report: &mut Report| line(value, name, ITEM_CHARS, source, report);
    Scope {
        covers: wire.covers.get_ref().iter().map(|value| item(value, "covers", report)).collect(),
        excludes: wire
            .excludes
            .iter()
            .map(|exclusion| Exclusion {
                topic: item(&exclusion.topic, "topic", report),
                ask: item(&exclusion.ask, "ask", report),
            })
            .collect(),
    }
}

fn version(value: &Spanned<String>, source: Source<'_>, report: &mut Report) -> String {
    let parts: Vec<&str> = value.get_ref().split('.').collect();
    let number = |part: &&str| part.parse::<u32>().is_ok_and(|number| number.to_string() == **part);
    if parts.len() != 3 || !parts.iter().all(number) {
        report.push(source.error(&value.span(), "`version` must be three numbers").hint("for example \"1.0.0\""));
    }
    value.get_ref().clone()
}

fn tokens(value: &Spanned<u32>, name: &str, source: Source<'_>, report: &mut Report) -> usize {
    within(value, name, TOKENS, "tokens", source, report) as usize
}

fn sampling(value: &Spanned<SamplingV1>, source: Source<'_>, report: &mut Report) -> SamplingDefaults {
    let wire = value.get_ref();
    let defaults = SamplingDefaults {
        temperature: wire.temperature,
        top_p: wire.top_p,
        top_k: wire.top_k,
        min_p: wire.min_p,
        repetition_penalty: wire.repetition_penalty,
    };
    if let Err(error) = defaults.over(Sampling::default()).check() {
        report.push(source.error(&value.span(), error.to_string()));
    }
    defaults
}
