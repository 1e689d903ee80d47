//! One chat request from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::chunks::ChatStream;
use super::convert::{completion, messages};
use super::decided::decide;
use super::types::ChatRequest;
use crate::cue::{Cue, collect};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, stream};
use crate::render;
use crate::reply::Reply;
use crate::state::AppState;

/// Where a request goes, as the ledger has it.
pub(super) const PATH: &str = "/v1/chat/completions";

/// Answers a chat, at once or as a stream.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    if body.get("baton").is_some_and(|own| !own.is_null()) {
        return decide(state, principal, body).await;
    }
    let sent = state.filing.take_down(PATH, &body)?;
    let ChatRequest { model, messages: said, tools, top_logprobs, params, schema, .. } = ChatRequest::read(body)?;
    let cue = Cue::open(&state, &principal, &model, params, 1)?;
    let form = schema.map(|schema| (schema, "response_format"));
    let cue = cue.drawn_as(&state, form, tools.as_ref()).await?;
    let (n, ask) = (cue.params().n, cue.params().stream);
    let messages = messages(&cue.model, said, &cue.params().intent);
    let mut reply = Reply::new(&state, "chatcmpl", cue.model.name(), cue.extra.clone())?;
    let cue = cue.filed(&state, sent.as_ref(), &reply.id)?;
    let prompts =
        render::chat(&state, cue.model.clone(), messages, tools.map_or_else(Vec::new, |tools| tools.told)).await?;
    reply.extra = reply.extra.with_citations(&prompts.cited);
    let mut generation = cue.submit(&state, prompts, top_logprobs, None).map_err(|error| error.or_param("messages"))?;
    if let Some(ask) = ask {
        let events = ChatStream::new(reply, generation, n, ask.include_usage);
        return Ok(stream(events, state.config.keep_alive));
    }
    let answers = collect(&mut generation, n as usize).await?;
    Ok(Json(completion(&reply, answers)).into_response())
}
