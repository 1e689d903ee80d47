//! One request from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use baton_authority::Principal;
use baton_contract::FinishReason;
use serde_json::{Value, json};

use super::PATH;
use super::body::{Head, Said, Status, usage};
use super::chunks::ResponseStream;
use super::lookup::find;
use super::validate::ResponseRequest;
use crate::chat::chat_messages;
use crate::cue::{Answer, Cue, collect};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, stream};
use crate::render;
use crate::reply::new_id;
use crate::state::AppState;

/// Answers, at once, as a stream, or in the background.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let mut request = ResponseRequest::read(body)?;
    request.store &= state.filing.keeps();
    if request.background && !request.store {
        return Err(ApiError::unsupported(
            "background",
            "this server keeps no responses, so none is in the background",
        ));
    }
    let before = before(&state, &principal, request.previous.as_deref()).await?;
    let context = request.context(before)?;
    let filed = context.filed(&request, (state.clock)());
    let sent = state.filing.take_down(PATH, &filed)?;
    let ResponseRequest { model, tools, schema, params, store, background, stream: streamed, .. } = request;
    let cue = Cue::open(&state, &principal, &model, params, 1)?;
    let cue = cue.drawn_as(&state, schema.map(|schema| (schema, "text.format")), tools.as_ref()).await?;
    let messages = chat_messages(&cue.model, context.messages, &cue.params().intent);
    let id = new_id("resp")?.replacen('-', "_", 1);
    let mut head = Head { id, model: cue.model.name().to_owned(), filed, baton: Value::Null, store };
    let cue = cue.filed(&state, sent.as_ref(), &head.id)?;
    let told = tools.map_or_else(Vec::new, |tools| tools.told);
    let prompts = render::chat(&state, cue.model.clone(), messages, told).await;
    let prompts = prompts.map_err(|error| error.renamed("messages", "input"))?;
    head.baton = serde_json::to_value(cue.extra.clone().with_citations(&prompts.cited)).unwrap_or_default();
    let mut generation = cue.submit(&state, prompts, None, None).map_err(|error| error.or_param("input"))?;
    if background {
        let body = head.body(Status::InProgress, &[], None, None);
        let log = state.running.start(head, principal.conductor().clone(), generation);
        let told = streamed.then(|| stream(log.read(None), state.config.keep_alive));
        return Ok(told.unwrap_or_else(|| Json(body).into_response()));
    }
    if streamed {
        return Ok(stream(ResponseStream::new(head, generation), state.config.keep_alive));
    }
    let answer = collect(&mut generation, 1).await?.pop().ok_or_else(|| ApiError::internal("an answer was lost"))?;
    Ok(Json(answered(&head, answer)).into_response())
}

/// The items of the response to go on from: all that it was told, and what it answered.
async fn before(state: &Arc<AppState>, who: &Principal, previous: Option<&str>) -> Result<Vec<Value>, ApiError> {
    const AT: &str = "previous_response_id";
    let Some(previous) = previous else { return Ok(Vec::new()) };
    if state.running.has(previous, who.conductor()) {
        return Err(ApiError::conflict(format!("the response `{previous}` is still in progress")).param(AT));
    }
    let found = find(state, who.conductor(), previous).await.map_err(|error| error.param(AT))?;
    Ok(found.items())
}

fn answered(head: &Head, answer: Answer) -> Value {
    let status = status_of(answer.reason);
    let mut head = head.clone();
    if let Some(kept) = &answer.kept {
        head.baton["answers"] = json!([kept]);
    }
    let spent = usage(answer.usage.input, Some(answer.usage.cached), answer.usage.output);
    let said = Said { text: answer.text, calls: answer.calls };
    let output = head.output(&said, status);
    head.body(status, &output, Some(&spent), None)
}

/// How a response stands whose answer has ended so.
pub(super) fn status_of(reason: FinishReason) -> Status {
    match reason {
        FinishReason::Stop => Status::Completed,
        FinishReason::Length => Status::Incomplete,
    }
}
