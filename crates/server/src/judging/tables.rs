//! What stands on decisions, for everybody to read: the rules, and the ground that experts have handed over.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_authority::{Act, On, free_ground, may};
use baton_rules::Rule;
use serde::Serialize;

use crate::error::ApiError;
use crate::http::Caller;
use crate::state::AppState;
use crate::twins::date;

#[derive(Serialize)]
pub(crate) struct RuleList {
    object: &'static str,
    /// Of all of them.
    digest: String,
    data: Vec<RuleBody>,
}

#[derive(Serialize)]
struct RuleBody {
    id: String,
    layer: String,
    kind: &'static str,
    effect: &'static str,
    reason: String,
    ask: String,
    text: String,
}

#[derive(Serialize)]
pub(crate) struct SpaceList {
    object: &'static str,
    data: Vec<SpaceCell>,
}

/// What the caller may decide freely.
#[derive(Serialize)]
struct SpaceCell {
    space: String,
    twin: String,
    /// Null is any, and where none is named.
    process: Option<String>,
    product: Option<String>,
    largest_reach: &'static str,
    largest_reversibility: &'static str,
    touches: Vec<&'static str>,
    until: String,
    note: String,
}

/// `GET /v1/rules`.
pub(crate) async fn rules(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
) -> Result<Json<RuleList>, ApiError> {
    may(&principal, Act::ReadRules, On::default())?;
    let body = |rule: &Arc<Rule>| RuleBody {
        id: rule.id.to_string(),
        layer: rule.layer.to_string(),
        kind: rule.kind.as_str(),
        effect: rule.effect.as_str(),
        reason: rule.reason.clone(),
        ask: rule.ask.clone(),
        text: rule.text.clone(),
    };
    let rules = &state.desk.law().rules;
    Ok(Json(RuleList { object: "list", digest: rules.digest().to_string(), data: rules.rules().map(body).collect() }))
}

/// `GET /v1/spaces`: what the caller may decide freely, a cell each.
pub(crate) async fn spaces(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
) -> Result<Json<SpaceList>, ApiError> {
    may(&principal, Act::ReadRules, On::default())?;
    let today = date((state.clock)());
    let law = state.desk.law();
    let cells = free_ground(&law.spaces, std::slice::from_ref(principal.conductor()), today);
    let note = |id: &baton_authority::SpaceId| {
        let space = law.spaces.iter().find(|space| space.id() == id);
        space.map(|space| space.draft().note.clone()).unwrap_or_default()
    };
    let data = cells.into_iter().map(|cell| SpaceCell {
        note: note(&cell.space),
        space: cell.space.to_string(),
        twin: cell.twin.to_string(),
        process: cell.process,
        product: cell.product,
        largest_reach: cell.largest.reach.as_str(),
        largest_reversibility: cell.largest.reversibility.as_str(),
        touches: cell.touches.iter().map(|touch| touch.as_str()).collect(),
        until: cell.until.to_string(),
    });
    Ok(Json(SpaceList { object: "list", data: data.collect() }))
}
