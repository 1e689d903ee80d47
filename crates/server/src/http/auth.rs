//! Who is calling.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use baton_authority::Principal;

use crate::error::ApiError;
use crate::state::AppState;

/// The only route that needs no key: it says nothing but that the process answers.
const OPEN: &str = "/health";

/// The conductor whose key came with the request.
pub(crate) struct Caller(pub(crate) Principal);

/// Lets only requests with a valid key through.
pub(crate) async fn require_key(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.uri().path() != OPEN {
        let principal = principal(&state, &request)?;
        tracing::Span::current().record("conductor", principal.conductor().as_str());
        request.extensions_mut().insert(principal);
    }
    Ok(next.run(request).await)
}

fn principal(state: &AppState, request: &Request) -> Result<Principal, ApiError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::unauthenticated("send your API key once, as `Authorization: Bearer baton_...`"));
    };
    let (scheme, key) = value.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::unauthenticated("send your API key as `Authorization: Bearer baton_...`"));
    }
    let unknown = || ApiError::unauthenticated("the API key is not valid here; `baton key new` makes one");
    state.keys.identify(key.trim()).ok_or_else(unknown)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| ApiError::internal("the request was not authenticated"))
    }
}
