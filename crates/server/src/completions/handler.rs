//! One completion request from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::chunks::CompletionStream;
use super::convert::{completion, echoes};
use super::types::CompletionRequest;
use super::validate::DEFAULT_MAX_TOKENS;
use crate::cue::{Cue, collect};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, stream};
use crate::render;
use crate::reply::Reply;
use crate::state::AppState;

/// Continues one or several prompts, at once or as a stream.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let sent = state.filing.take_down("/v1/completions", &body)?;
    let CompletionRequest { model, prompts, echo, top_logprobs, params } = CompletionRequest::read(body)?;
    let cue = Cue::open(&state, &principal, &model, params, prompts.len())?;
    let (n, ask) = (cue.params().n as usize, cue.params().stream);
    let count = prompts.len() * n;
    let echoes = if echo { echoes(&state.tokenizer, &prompts, n) } else { vec![String::new(); count] };
    let mut reply = Reply::new(&state, "cmpl", cue.model.name(), cue.extra.clone())?;
    let cue = cue.filed(&state, sent.as_ref(), &reply.id)?;
    let prompts = render::texts(&state, cue.model.clone(), prompts).await?;
    reply.extra = reply.extra.with_citations(&prompts.cited);
    let mut generation = cue
        .submit(&state, prompts, top_logprobs, Some(DEFAULT_MAX_TOKENS))
        .map_err(|error| error.or_param("prompt"))?;
    if let Some(ask) = ask {
        let events = CompletionStream::new(reply, generation, echoes, n, ask.include_usage);
        return Ok(stream(events, state.config.keep_alive));
    }
    let answers = collect(&mut generation, count).await?;
    Ok(Json(completion(&reply, answers, echoes, n)).into_response())
}
