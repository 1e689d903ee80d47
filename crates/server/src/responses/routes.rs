//! What can be done with a response that is there: only by who has asked for it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use baton_authority::{Act, On, Principal, may};
use baton_register::KeptReply;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::items::Reader;
use super::log::Whole;
use super::lookup::find;
use crate::error::ApiError;
use crate::http::{Caller, only, stream};
use crate::state::AppState;

/// Items of one page, if the caller does not say how many, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 100;

/// `GET /v1/responses/{id}`; with `stream=true` as events, those after the number `starting_after` if that is there.
pub(crate) async fn retrieve(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    may(&principal, Act::ReadOwn, On::default())?;
    only(&query, &["stream", "starting_after"])?;
    if let Some(from) = streamed(&query)? {
        return events(&state, &principal, &id, from).await;
    }
    if let Some(body) = state.running.body(&id, principal.conductor()) {
        return Ok(Json(body).into_response());
    }
    Ok(Json(find(&state, principal.conductor(), &id).await?.body()).into_response())
}

/// Where a stream begins.
#[derive(Clone, Copy)]
enum Begin {
    Start,
    After(u64),
}

/// Whether a stream is asked for, and from where.
fn streamed(query: &HashMap<String, String>) -> Result<Option<Begin>, ApiError> {
    let after = query.get("starting_after").map(|text| text.parse());
    let after = after.transpose().map_err(|_| {
        ApiError::invalid("starting_after", "`starting_after` is the number of an event, as in its `sequence_number`")
    })?;
    match query.get("stream").map(String::as_str) {
        Some("true") => Ok(Some(after.map_or(Begin::Start, Begin::After))),
        None | Some("false") if after.is_none() => Ok(None),
        None | Some("false") => {
            Err(ApiError::invalid("starting_after", "`starting_after` is allowed only with `stream=true`"))
        }
        Some(_) => Err(ApiError::invalid("stream", "`stream` is `true` or `false`")),
    }
}

async fn events(state: &Arc<AppState>, principal: &Principal, id: &str, from: Begin) -> Result<Response, ApiError> {
    let after = match from {
        Begin::Start => None,
        Begin::After(event) => Some(event),
    };
    let silence = state.config.keep_alive;
    if let Some(log) = state.running.log(id, principal.conductor()) {
        return Ok(stream(log.read(after), silence));
    }
    // It may have been deleted or erased since.
    let found = find(state, principal.conductor(), id).await;
    let found = found.inspect_err(|_| state.running.forget(id))?;
    Ok(match state.running.ended_log(id) {
        Some(log) => stream(log.read(after), silence),
        None => stream(Whole(found.events(after)), silence),
    })
}

/// `DELETE /v1/responses/{id}`: it is told no more. The row stays, and its texts until they are erased.
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    may(&principal, Act::ReadOwn, On::default())?;
    state.running.cancel(&id, principal.conductor()).await;
    let found = find(&state, principal.conductor(), &id).await?;
    let at = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
    let entry = KeptReply::deletion(&found.head.id, principal.conductor(), at).map_err(baton_register::Error::from)?;
    state.desk.run(move |register| Ok(register.ledger().append(entry).wait().map(drop)?)).await?;
    state.running.forget(&id);
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

/// `POST /v1/responses/{id}/cancel`: ends one in the background; one that has ended stays as it is.
pub(crate) async fn cancel(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    may(&principal, Act::ReadOwn, On::default())?;
    state.running.cancel(&id, principal.conductor()).await;
    let found = find(&state, principal.conductor(), &id).await?;
    if !found.is_background() {
        let message =
            "only a response that was asked for with `background: true` can be cancelled; leave the stream of another";
        return Err(ApiError::invalid("response_id", message));
    }
    Ok(Json(found.body()))
}

/// `GET /v1/responses/{id}/input_items`: what it was told, the newest first unless `order=asc`.
pub(crate) async fn input_items(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    may(&principal, Act::ReadOwn, On::default())?;
    only(&query, &["after", "limit", "order"])?;
    let input = match state.running.input(&id, principal.conductor()) {
        Some(input) => input,
        None => find(&state, principal.conductor(), &id).await?.input(),
    };
    let mut reader = Reader::default();
    reader.take(Value::Array(input), "input")?;
    let items = reader.items.iter().enumerate();
    let mut items: Vec<Value> = items.map(|(index, item)| item.json(Some(&item.id(&id, index)))).collect();
    match query.get("order").map(String::as_str) {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(_) => return Err(ApiError::invalid("order", "`order` is `asc` or `desc`")),
    }
    if let Some(after) = query.get("after") {
        let at = items.iter().position(|item| item["id"] == after.as_str());
        let at = at.ok_or_else(|| ApiError::invalid("after", "`after` is the id of none of the items"))?;
        items.drain(..=at);
    }
    let limit = match query.get("limit") {
        None => PAGE,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
            limit.ok_or_else(|| ApiError::invalid("limit", format!("`limit` is 1 to {LONGEST_PAGE}")))?
        }
    };
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    Ok(Json(json!({
        "object": "list",
        "first_id": id_of(items.first()),
        "last_id": id_of(items.last()),
        "has_more": has_more,
        "data": items,
    })))
}
