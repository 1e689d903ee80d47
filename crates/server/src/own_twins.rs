//! `GET /v1/twins`: what the caller answers for, and what of it needs them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_authority::docket::{Docket, Standing};
use baton_authority::{Act, On, may};
use baton_contract::TwinId;
use serde::Serialize;

use crate::error::ApiError;
use crate::http::Caller;
use crate::state::AppState;
use crate::twins::Twin;

#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    /// Those that need somebody first: the stale ones, then those on trial.
    data: Vec<TwinBody>,
}

#[derive(Serialize)]
struct TwinBody {
    id: String,
    object: &'static str,
    expert: String,
    pack_version: String,
    pack_digest: String,
    /// The last day on which the pack counts as fresh.
    review_by: String,
    /// The review is overdue: every answer says so, and its decisions go up a tier.
    stale: bool,
    /// Its known-good cases have not passed on this model: nothing of it is decided unchecked.
    on_trial: bool,
    /// Decisions that wait for an approval.
    held: usize,
    /// Decisions that went out on an assumption and wait for a review.
    in_review: usize,
}

/// The twins whose queue the caller may read: experts their own, architects and auditors all.
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
) -> Result<Json<List>, ApiError> {
    let on = |twin: &TwinId| may(&principal, Act::ReadQueue, On { twin: Some(twin), asker: None });
    let twins = state.models.twins();
    let own: Vec<&Arc<Twin>> = twins.iter().filter(|(id, _)| on(id).is_ok()).map(|(_, twin)| twin).collect();
    if own.is_empty() {
        may(&principal, Act::ReadQueue, On::default())?;
    }
    let now = (state.clock)();
    let mut data: Vec<TwinBody> =
        state.desk.register().look(|docket| own.iter().map(|twin| body(twin, docket, now)).collect());
    data.sort_by_key(|twin| (!twin.stale, !twin.on_trial));
    Ok(Json(List { object: "list", data }))
}

fn body(twin: &Twin, docket: &Docket, now: i64) -> TwinBody {
    let (id, manifest) = (twin.pack.id(), twin.pack.manifest());
    let waiting = |standing: Standing| {
        let its = |decision: &&baton_authority::docket::Decision| decision.opening().twin == *id;
        docket.waiting_for_people().into_iter().filter(its).filter(|one| one.standing() == standing).count()
    };
    TwinBody {
        id: id.to_string(),
        object: "twin",
        expert: manifest.expert.name.clone(),
        pack_version: manifest.version.clone(),
        pack_digest: twin.pack.digest().to_string(),
        review_by: manifest.review_by.to_string(),
        stale: twin.is_stale(now),
        on_trial: twin.on_trial,
        held: waiting(Standing::Held),
        in_review: waiting(Standing::InReview),
    }
}
