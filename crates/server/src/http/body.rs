//! A JSON body, read within limits of size and time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::error::ApiError;
use crate::json;
use crate::state::AppState;

/// What is read and thrown away of a body that is too large, so that the client gets to read the answer.
const DISCARD_FACTOR: usize = 8;

/// The body of a request as strict JSON.
pub(crate) struct JsonBody(pub(crate) Value);

impl FromRequest<Arc<AppState>> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiError> {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes()));
        let limit = state.config.max_body;
        let bytes = read(request.into_body(), limit, state.config.body_timeout).await?;
        // Told only now: a client that is still sending would not read it.
        if !is_json {
            return Err(ApiError::media_type());
        }
        json::parse(&bytes).map(Self).map_err(ApiError::malformed)
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, ApiError> {
    tokio::time::timeout(time, collect(body, limit)).await.map_err(|_| ApiError::body_timeout(time))?
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::body_broken())?.into_data() else { continue };
        seen += data.len();
        if seen > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        }
        if seen <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if seen > limit { Err(ApiError::body_too_large(limit)) } else { Ok(bytes.into()) }
}
