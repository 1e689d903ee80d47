//! `twin.toml` of format 2.

use baton_contract::Digest;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::checks::{CheckV2, answer_check};
use super::decisions::{DecisionsV2, SpaceV2};
use crate::check::Places;
use crate::limits::CHECKS;
use crate::source::Source;
use crate::v1::manifest::{ExpertV1, LimitsV1, ManifestV1, SamplingV1, ScopeV1, manifest};
use crate::wire::share;
use crate::{AnswerCheck, Manifest, Report};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestV2 {
    format: i64,
    id: Spanned<String>,
    version: Spanned<String>,
    title: Spanned<String>,
    craft: Spanned<String>,
    review_by: Spanned<Datetime>,
    context_budget: Spanned<u32>,
    expert: ExpertV1,
    scope: ScopeV1,
    #[serde(default)]
    sampling: Option<Spanned<SamplingV1>>,
    #[serde(default)]
    limits: LimitsV1,
    #[serde(default)]
    decisions: DecisionsV2,
    #[serde(default)]
    space: Vec<Spanned<SpaceV2>>,
    #[serde(default)]
    spec: SpecV2,
    #[serde(default)]
    cases: CasesV2,
    adapter: Option<AdapterV2>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SpecV2 {
    #[serde(default)]
    check: Vec<Spanned<CheckV2>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CasesV2 {
    bar: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdapterV2 {
    model: Spanned<String>,
}

/// Reads a manifest. All that is wrong goes into the report; `None` if no manifest can be made of it.
pub(crate) fn parse(source: Source<'_>, report: &mut Report) -> Option<(Manifest, Places)> {
    let wire: ManifestV2 = match toml::from_str(source.text) {
        Ok(wire) => wire,
        Err(error) => {
            report.push(source.toml_error(&error));
            return None;
        }
    };
    let decisions = wire.decisions.read(source, report);
    let (spaces, places_of_spaces) = super::decisions::spaces(&wire.space, source, report);
    let answer_checks = spec(&wire.spec, source, report);
    let case_bar = wire.cases.bar.as_ref().map(|bar| self::bar(bar, source, report));
    let adapter_model = wire.adapter.as_ref().and_then(|adapter| model(&adapter.model, source, report));
    let common = ManifestV1 {
        _format: wire.format,
        id: wire.id,
        version: wire.version,
        title: wire.title,
        craft: wire.craft,
        review_by: wire.review_by,
        context_budget: wire.context_budget,
        expert: wire.expert,
        scope: wire.scope,
        sampling: wire.sampling,
        limits: wire.limits,
    };
    let (manifest, places) = manifest(common, source, report)?;
    let case_bar = case_bar.unwrap_or(manifest.case_bar);
    let manifest = Manifest { decisions, spaces, answer_checks, case_bar, adapter_model, ..manifest };
    Some((manifest, Places { spaces: places_of_spaces, ..places }))
}

fn spec(wire: &SpecV2, source: Source<'_>, report: &mut Report) -> Vec<AnswerCheck> {
    if let Some(check) = wire.check.get(CHECKS) {
        report.push(source.error(&check.span(), format!("the spec has more than {CHECKS} checks")));
    }
    let mut read = |wire: &Spanned<CheckV2>| {
        let span = wire.span();
        if matches!(wire.get_ref(), CheckV2::Choice(_) | CheckV2::MustRefuse(_) | CheckV2::TierAtLeast(_)) {
            let hint = "put it into a case: a spec says what holds for every answer";
            report.push(source.error(&span, "this check is for a case only").hint(hint));
            return None;
        }
        answer_check(wire.get_ref(), &span, source, report)
    };
    wire.check.iter().filter_map(&mut read).collect()
}

/// The digest of a model.
fn model(value: &Spanned<String>, source: Source<'_>, report: &mut Report) -> Option<Digest> {
    let digest = value.get_ref().parse();
    if digest.is_err() {
        let hint = "write the digest that the server gives for the model at /v1/models: blake3: and 64 digits";
        report.push(source.error(&value.span(), "`model` must be a digest").hint(hint));
    }
    digest.ok()
}

fn bar(value: &Spanned<f64>, source: Source<'_>, report: &mut Report) -> f64 {
    if *value.get_ref() == 0.0 {
        let hint = "a bar of 0 lets a pack go live whose cases all fail";
        report.push(source.error(&value.span(), "`bar` must be more than 0").hint(hint));
    }
    share(value, "bar", source, report)
}
