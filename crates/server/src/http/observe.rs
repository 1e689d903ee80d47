//! A name, a span and a count for every request, and an answer for one that panicked.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::error::{ApiError, Kind};
use crate::state::AppState;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 64;

/// Gives the request an id and a span, and logs and counts how it was answered.
pub(crate) async fn observe(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_sane(id)).cloned().unwrap_or_else(new_id);
    let span = tracing::info_span!(
        "request",
        request = id.to_str().unwrap_or_default(),
        twin = tracing::field::Empty,
        conductor = tracing::field::Empty,
    );
    let method = request.method().clone();
    let path = request.uri().path().chars().take(200).collect::<String>();
    async move {
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        if let Some(kind) = response.extensions().get::<Kind>().copied() {
            state.metrics.rejected(kind);
            tracing::info!(%method, path, status, reason = kind.label(), "refused");
        } else {
            tracing::debug!(%method, path, status, "replied");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// Answers for a handler that panicked. The message of the panic is not shown: it may hold contents.
pub(crate) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request panicked");
    ApiError::internal("the server failed on this request").into_response()
}

fn is_sane(id: &HeaderValue) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(sane)
}

fn new_id() -> HeaderValue {
    // Without random numbers requests have no name, but they are served.
    let bits = u128::from(getrandom::u64().unwrap_or(0)) << 64 | u128::from(getrandom::u64().unwrap_or(0));
    HeaderValue::from_str(&format!("req-{bits:032x}")).unwrap_or(HeaderValue::from_static("req"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_500_without_its_message() {
        let response = panicked(Box::new("secret"));
        assert_eq!(response.status(), 500);
        assert_eq!(response.extensions().get::<Kind>(), Some(&Kind::Internal));
    }
}
