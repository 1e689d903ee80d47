//! `GET /v1/models` and `GET /v1/models/{id}`.

mod types;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use crate::error::ApiError;
use crate::http::Caller;
use crate::state::AppState;
use types::{ModelBody, ModelList};

/// The base model and the twins that the caller's mandate covers.
pub(crate) async fn list(State(state): State<Arc<AppState>>, Caller(principal): Caller) -> Json<ModelList> {
    let covered = state.models.all().filter(|model| principal.mandate().covers(&model.target()));
    Json(ModelList::new(covered.map(|model| ModelBody::new(&state, &model)).collect()))
}

/// One of them. A twin outside the mandate is shown too: that it exists is no secret.
pub(crate) async fn retrieve(
    State(state): State<Arc<AppState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelBody>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::no_model(""))?;
    let model = state.models.find(&id).ok_or_else(|| ApiError::no_model(&id))?;
    Ok(Json(ModelBody::new(&state, &model)))
}
