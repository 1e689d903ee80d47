//! What people do with decisions: read and wait, approve or refuse, review, withdraw, correct.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use baton_authority::docket::{Decision, DecisionId, Docket, Expert, Standing};
use baton_authority::{Act, On, Principal, may};
use baton_contract::TwinId;
use jiff::Timestamp;
use serde::Serialize;

use super::deeds::Deed;
use super::question::{answer_of, request_of};
use super::status::Status;
use super::waiting::{Waiting, settled};
use crate::conductors::Slot;
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, flag, only, stream};
use crate::state::AppState;

/// Longest wait for a change, in seconds.
const MAX_WAIT: f32 = 300.0;
/// Most decisions of one list.
const LISTED: usize = 200;

#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Status>,
}

/// What the caller is to one decision.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Asker,
    /// Answers for the twin.
    Answering,
    /// Reads, and changes nothing.
    Reading,
}

/// `GET /v1/decisions`: the caller's own, or with `queue` what waits for them.
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<List>, ApiError> {
    only(&query, &["queue"])?;
    let expert = expert(&state, &principal);
    let shown = |decisions: Vec<&Decision>| decisions.into_iter().take(LISTED).map(Status::of).collect();
    let register = state.desk.register();
    let data = match query.get("queue").map(String::as_str) {
        None | Some("own") => {
            may(&principal, Act::ReadOwn, On::default())?;
            register.look(|docket| shown(docket.of(principal.conductor())))
        }
        Some("held") => register.look(|docket| shown(docket.pending(&expert))),
        Some("review") => register.look(|docket| shown(docket.review_queue(&expert))),
        Some(_) => return Err(ApiError::invalid("queue", "`queue` is `own`, `held` or `review`")),
    };
    Ok(Json(List { object: "list", data }))
}

/// `GET /v1/decisions/{id}`: as it stands; or with `wait` seconds once it no longer waits; or with `stream=true` as it
/// stands and whenever that changes, until it no longer waits.
pub(crate) async fn retrieve(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    only(&query, &["wait", "stream"])?;
    let id = known(&id)?;
    let wait = query.get("wait").map(|text| seconds(text)).transpose()?;
    let is_stream = query.get("stream").map_or(Ok(false), |text| flag("stream", text))?;
    if is_stream && wait.is_some() {
        return Err(ApiError::invalid("wait", "a stream goes on until the decision waits no more; leave `wait` out"));
    }
    let role = role(&state, &principal, &id)?;
    let place = if is_stream || wait.is_some() { Some(place_to_wait(&state, &principal)?) } else { None };
    if let Some(wait) = wait {
        settled(&state, &id, wait).await;
    }
    if role == Role::Answering {
        // Who may approve it has now seen it, and since when counts.
        let (expert, at, shown) = (expert(&state, &principal), now(&state), id.clone());
        let show = move |docket: &Docket| match docket.show(&shown, &expert, at) {
            Ok(event) => Ok(event),
            // It does not wait for an approval, or not for theirs: looking at it is no event.
            Err(_) => Ok(None),
        };
        state.desk.run(move |register| register.act_if(show)).await?;
    }
    if is_stream {
        let silence = state.config.keep_alive;
        return Ok(stream(Waiting::new(state, id, role, place), silence));
    }
    Ok(Json(status(&state, id, role).await?).into_response())
}

/// A place among the decisions that the caller waits for.
///
/// # Errors
/// There are as many as one may wait for.
fn place_to_wait(state: &AppState, principal: &Principal) -> Result<Slot, ApiError> {
    let limit = state.config.max_waits;
    let free = |waits| if waits < limit { Ok(()) } else { Err(ApiError::too_many_waits(limit)) };
    state.waits.take(principal.conductor(), 1, free).map(|((), slot)| slot)
}

/// `POST /v1/decisions/{id}/{deed}`.
pub(crate) async fn act(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path((id, deed)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Status>, ApiError> {
    let id = known(&id)?;
    let deed = Deed::read(&deed, body)?;
    let (twin, asker) = state.desk.register().look(|docket| {
        let opening = docket.get(&id)?.opening();
        Ok::<_, ApiError>((opening.twin.clone(), opening.conductor.clone()))
    })?;
    let on = On { twin: Some(&twin), asker: Some(&asker) };
    may(&principal, deed.act(), on)?;
    let expert = expert(&state, &principal);
    let at = now(&state);
    deed.act_on(&state, id.clone(), (&principal, expert, twin), at).await?;
    let role = role(&state, &principal, &id)?;
    Ok(Json(status(&state, id, role).await?))
}

/// The caller as somebody who answers for twins.
fn expert(state: &AppState, principal: &Principal) -> Expert {
    let on = |twin: &TwinId| may(principal, Act::ReadQueue, On { twin: Some(twin), asker: None }).is_ok();
    let twins = state.models.twins().keys().filter(|twin| on(twin)).cloned().collect();
    Expert { id: principal.conductor().clone(), twins }
}

/// What the caller is to a decision.
///
/// # Errors
/// There is none of that id, or it is none of their business: both are told alike.
fn role(state: &AppState, principal: &Principal, id: &DecisionId) -> Result<Role, ApiError> {
    state.desk.register().look(|docket| {
        let decision = docket.get(id)?;
        let twin = On { twin: Some(&decision.opening().twin), asker: None };
        if decision.opening().conductor == *principal.conductor() {
            Ok(Role::Asker)
        } else if may(principal, Act::Approve, On { asker: Some(&decision.opening().conductor), ..twin }).is_ok() {
            Ok(Role::Answering)
        } else if may(principal, Act::ReadLedger, On::default()).is_ok() {
            Ok(Role::Reading)
        } else {
            Err(baton_authority::docket::Rejected::Unknown(id.clone()).into())
        }
    })
}

/// The decision with those of its texts that the caller may read.
pub(super) async fn status(state: &AppState, id: DecisionId, role: Role) -> Result<Status, ApiError> {
    state
        .desk
        .run(move |register| {
            let (mut status, row, standing) = register.look(|docket| {
                let decision = docket.get(&id)?;
                Ok::<_, baton_register::Error>((Status::of(decision), decision.opening().text, decision.standing()))
            })?;
            let record = register.ledger().reader()?.entry(row.0)?;
            status.request = request_of(&record);
            let is_out = !matches!(
                standing,
                Standing::Held
                    | Standing::Approved
                    | Standing::Refused
                    | Standing::Withdrawn
                    | Standing::Voided
                    | Standing::Expired
                    | Standing::Denied
            );
            if role != Role::Asker || is_out {
                status.answer = answer_of(&record);
            }
            Ok(status)
        })
        .await
}

pub(super) fn known(id: &str) -> Result<DecisionId, ApiError> {
    let shown: String = id.chars().take(80).collect();
    id.parse().map_err(|_| ApiError::no_decision(format!("there is no decision `{shown}`")))
}

fn seconds(text: &str) -> Result<Duration, ApiError> {
    let seconds = text.parse::<f32>().ok().filter(|seconds| (0.0..=MAX_WAIT).contains(seconds));
    let message = || format!("`wait` is a number of seconds up to {MAX_WAIT}");
    seconds.map(Duration::from_secs_f32).ok_or_else(|| ApiError::invalid("wait", message()))
}

pub(super) fn now(state: &AppState) -> Timestamp {
    Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN)
}
