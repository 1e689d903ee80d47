//! Routes for those who run the server.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use baton_authority::{Act, On, may};
use baton_engine::EngineState;
use serde_json::json;

use crate::error::ApiError;
use crate::http::Caller;
use crate::metrics::CONTENT_TYPE;
use crate::state::AppState;

/// `GET /health`: the process answers. Needs no key and tells nothing else.
pub(crate) async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /ready`: the engine has generated a token since the start and takes work, and the ledger can be written.
pub(crate) async fn ready(State(state): State<Arc<AppState>>) -> Result<Response, ApiError> {
    let status = state.engine.status();
    let reason = match (status.state, status.unhealthy) {
        (EngineState::Draining, _) => "the server is shutting down".to_owned(),
        (EngineState::Stopped, _) => "the engine has stopped".to_owned(),
        (EngineState::Lost, fault) => fault.unwrap_or_else(|| "the device is lost".to_owned()),
        (EngineState::Running, Some(fault)) => format!("the engine fails: {fault}"),
        (EngineState::Running, None) if !state.probe.passed() => "no token has been generated yet".to_owned(),
        (EngineState::Running, None) if !state.filing.is_going() => "the ledger cannot be written".to_owned(),
        (EngineState::Running, None) => {
            return Ok(Json(json!({"status": "ready", "model": state.models.base.id})).into_response());
        }
    };
    Err(ApiError::not_ready(&reason))
}

/// `GET /metrics`: everything for Prometheus; what is told of people only to those who may read that.
pub(crate) async fn metrics(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
) -> Result<Response, ApiError> {
    let with_people = may(&principal, Act::ReadMetrics, On::default()).is_ok();
    let text = state.metrics.text(with_people).map_err(|_| ApiError::internal("the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
