//! `GET /v1/models` and `GET /v1/models/{id}`.

mod types;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use baton_authority::Target;

use crate::error::ApiError;
use crate::http::Caller;
use crate::state::AppState;
use types::{ModelBody, ModelList};

/// The base model, the twins and the embedding model that the caller's mandate covers.
pub(crate) async fn list(State(state): State<Arc<AppState>>, Caller(principal): Caller) -> Json<ModelList> {
    let covered = state.models.all().filter(|model| principal.mandate().covers(&model.target()));
    let mut models: Vec<_> = covered.map(|model| ModelBody::new(&state, &model)).collect();
    let encoder = state.encoder.as_ref().filter(|_| principal.mandate().covers(&Target::Base));
    models.extend(encoder.map(|encoder| ModelBody::of_encoder(&state, encoder.card())));
    Json(ModelList::new(models))
}

/// One of them. A twin outside the mandate is shown too: that it exists is no secret.
pub(crate) async fn retrieve(
    State(state): State<Arc<AppState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelBody>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::no_model(""))?;
    if let Some(encoder) = state.encoder.as_ref().filter(|encoder| encoder.card().id == id) {
        return Ok(Json(ModelBody::of_encoder(&state, encoder.card())));
    }
    let model = state.model(&id)?;
    Ok(Json(ModelBody::new(&state, &model)))
}
