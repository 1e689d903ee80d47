//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::auth::require_key;
use super::observe::{observe, panicked};
use crate::error::ApiError;
use crate::state::AppState;
use crate::{
    chat, completions, cues, decisions, embeddings, erasures, judging, models, operations, own_twins, proposals,
    reports, responses, tokens,
};

pub(crate) fn router(state: Arc<AppState>) -> Router {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::retrieve))
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/{id}", get(responses::retrieve).delete(responses::delete))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items))
        .route("/v1/cues", post(cues::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/decisions", post(decisions::create).get(judging::list))
        .route("/v1/decisions/{id}", get(judging::retrieve))
        .route("/v1/decisions/{id}/case", post(judging::make_case))
        .route("/v1/decisions/{id}/{deed}", post(judging::act))
        .route("/v1/rules", get(judging::rules))
        .route("/v1/spaces", get(judging::spaces))
        .route("/v1/reports", get(reports::read))
        .route("/v1/proposals", get(proposals::list))
        .route("/v1/proposals/{id}/{verdict}", post(proposals::rule))
        .route("/v1/twins", get(own_twins::list))
        .route("/v1/ledger/erasures", post(erasures::create))
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .fallback(async |request: Request| ApiError::no_route(request.uri().path()))
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::method(request.method().as_str(), request.uri().path())
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&state), require_key))
        .layer(from_fn_with_state(Arc::clone(&state), observe))
        .with_state(state)
}
