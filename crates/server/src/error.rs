//! Everything that can be refused or go wrong, as OpenAI's error object. The only file that knows status codes.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use baton_authority::Denied;
use baton_contract::Refusal;
use baton_encoder::{EmbedError, TooLong};
use baton_engine::ScoreError;
use serde::Serialize;

/// A refusal or a fault, ready to be shown to a client.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    kind: Kind,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// What sort of error it is; each has one status code and one OpenAI `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The request is wrong and will stay wrong.
    Invalid,
    /// No valid key.
    Unauthenticated,
    /// A valid key that is not cleared for this.
    Forbidden,
    /// No such route or model.
    NotFound,
    /// The route does not take this method.
    Method,
    /// The body did not arrive in time.
    Timeout,
    /// The body is too large.
    TooLarge,
    /// The body is not declared as JSON.
    MediaType,
    /// What it is about does not stand as the request needs it.
    Conflict,
    /// Too much at once; the same request may be taken later.
    Busy,
    /// A fault of ours.
    Internal,
    /// The twin's answers broke its spec.
    Broken,
    /// The engine is not there, or the server is going away.
    Unavailable,
}

/// OpenAI's error object.
#[derive(Serialize)]
pub(crate) struct ErrorBody {
    error: ErrorObject,
}

#[derive(Serialize)]
struct ErrorObject {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Kind {
    fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            // Not 502 to 504: proxies take those for a server that is away, and would send the request elsewhere.
            Self::Internal | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn openai_type(self) -> &'static str {
        match self {
            Self::Forbidden => "permission_error",
            Self::Busy => "rate_limit_error",
            Self::Internal | Self::Broken | Self::Unavailable => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The label of `baton_http_rejections_total`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Internal => "internal",
            Self::Broken => "broken_work",
            Self::Unavailable => "unavailable",
        }
    }
}

impl ApiError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, code: None, retry_after: None }
    }

    fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Names the field that is wrong.
    pub(crate) fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// Names a field unless one is named already.
    pub(crate) fn or_param(self, param: &str) -> Self {
        let of_request = self.kind == Kind::Invalid && self.param.is_none();
        if of_request { self.param(param) } else { self }
    }

    /// Names another field in the place of `was`: the same thing is called otherwise there.
    pub(crate) fn renamed(self, was: &str, param: &str) -> Self {
        if self.param.as_deref() == Some(was) { self.param(param) } else { self }
    }

    /// The field `param` has a value that cannot be taken.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).param(param).code("invalid_value")
    }

    /// The field `param` would change the answer and cannot be honoured.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message).param(param).code("unsupported_parameter")
    }

    /// The field `param` is not known at all.
    pub(crate) fn unknown(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::new(Kind::Invalid, format!("unrecognized request argument supplied: {param}"))
            .param(param)
            .code("unknown_parameter")
    }

    /// The field `param` is needed.
    pub(crate) fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self::new(Kind::Invalid, format!("you must provide `{param}`")).param(param).code("missing_required_parameter")
    }

    pub(crate) fn malformed(message: impl std::fmt::Display) -> Self {
        Self::new(Kind::Invalid, format!("the body is not JSON that can be accepted: {message}")).code("invalid_json")
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(Kind::Unauthenticated, message).code("invalid_api_key")
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(Kind::NotFound, format!("there is no `{path}` here; see GET /v1/models, POST /v1/chat/completions"))
            .code("unknown_url")
    }

    pub(crate) fn no_model(model: &str) -> Self {
        let model: String = model.chars().take(200).collect();
        Self::new(Kind::NotFound, format!("the model `{model}` does not exist; GET /v1/models lists twins and models"))
            .param("model")
            .code("model_not_found")
    }

    /// The model makes vectors of texts and answers nothing.
    pub(crate) fn embeds_only(model: &str) -> Self {
        Self::invalid(
            "model",
            format!("`{model}` is for POST /v1/embeddings only; GET /v1/models lists twins and models"),
        )
    }

    /// What was asked for vectors makes none; `known` is whether it is there at all, `other` what does make them.
    pub(crate) fn no_encoder(model: &str, known: bool, other: Option<&str>) -> Self {
        let model: String = model.chars().take(200).collect();
        let instead = match other {
            Some(other) => format!("the embedding model is `{other}`"),
            None => "no embedding model is loaded; an operator names one with --embedding-model".to_owned(),
        };
        if known {
            return Self::invalid("model", format!("`{model}` makes no embeddings; {instead}"));
        }
        Self::new(Kind::NotFound, format!("the model `{model}` does not exist; {instead}"))
            .param("model")
            .code("model_not_found")
    }

    /// A text is longer than the embedding model reads; `at` is its place in the request.
    pub(crate) fn text_too_long(at: usize, error: TooLong) -> Self {
        Self::new(Kind::Invalid, format!("text {at} of `input`: {error}"))
            .param("input")
            .code("context_length_exceeded")
    }

    pub(crate) fn method(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(Kind::Method, format!("`{path}` does not take {method}")).code("method_not_supported")
    }

    pub(crate) fn body_timeout(limit: Duration) -> Self {
        let message = format!("the body did not arrive within {} s", limit.as_secs_f32());
        Self::new(Kind::Timeout, message).code("request_timeout")
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        Self::new(Kind::TooLarge, format!("the body is larger than {limit} bytes")).code("request_too_large")
    }

    pub(crate) fn body_broken() -> Self {
        Self::new(Kind::Invalid, "the body ended before it was complete").code("incomplete_body")
    }

    pub(crate) fn media_type() -> Self {
        Self::new(Kind::MediaType, "send the body as `content-type: application/json`").code("unsupported_media_type")
    }

    /// A fault of ours. The message is shown, so it says nothing about contents or insides.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message).code("internal_error")
    }

    /// The twin's answer and the one that replaced it broke its spec; neither is passed on.
    pub(crate) fn broken_work(twin: &str, why: &str) -> Self {
        let message = format!("the twin `{twin}` gave broken work twice, which is not passed on: {why}");
        Self::new(Kind::Broken, message).code("broken_work")
    }

    /// There is no such decision, or it is none of the caller's business.
    pub(crate) fn no_decision(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message).code("decision_not_found")
    }

    /// There is no such response, or it is not the caller's.
    pub(crate) fn no_response(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(Kind::NotFound, format!("there is no response `{id}` of yours")).code("response_not_found")
    }

    /// Nothing of that name is proposed.
    pub(crate) fn no_proposal(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message).code("proposal_not_found")
    }

    /// The conductor waits for as many decisions as one may.
    pub(crate) fn too_many_waits(limit: u32) -> Self {
        let message =
            format!("you wait for {limit} decisions at once already; GET /v1/decisions tells of all in one list");
        let wait = Some(Duration::from_secs(1));
        Self { retry_after: wait, ..Self::new(Kind::Busy, message).code("rate_limit_exceeded") }
    }

    /// The ledger has no such entry.
    pub(crate) fn no_entry(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message).code("entry_not_found")
    }

    /// A valid key that may not do this.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, message).code("not_allowed")
    }

    /// A decision does not stand as the request needs it.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message).code("conflict")
    }

    /// What has to be recorded before it counts cannot be.
    pub(crate) fn no_ledger() -> Self {
        let message = "the ledger cannot be written, so nothing that needs a record is answered; tell an operator";
        Self::new(Kind::Unavailable, message).code("ledger_unavailable")
    }

    /// More waits to be recorded than there is room for.
    pub(crate) fn ledger_busy() -> Self {
        let message = "too much waits to be written to the ledger; try again in a moment";
        let wait = Some(Duration::from_secs(1));
        Self { retry_after: wait, ..Self::new(Kind::Busy, message).code("ledger_busy") }
    }

    /// Whether it is the machine's state and not the request that is in the way.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// The engine is not ready for work.
    pub(crate) fn not_ready(reason: &str) -> Self {
        Self::new(Kind::Unavailable, format!("not ready: {reason}")).code("not_ready")
    }

    /// The sentence alone, for an error that is a part of a reply.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The object alone, for an error in the middle of a stream.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorObject {
                message: self.message.clone(),
                r#type: self.kind.openai_type(),
                param: self.param.clone(),
                code: self.code,
            },
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Busy { retry_after, .. } => {
                Self { retry_after: Some(retry_after), ..Self::new(Kind::Busy, message).code("queue_full") }
            }
            Refusal::TooLong { .. } => Self::new(Kind::Invalid, message).code("context_length_exceeded"),
            Refusal::Invalid(_) => Self::new(Kind::Invalid, message).code("invalid_value"),
            Refusal::Stopped => Self::new(Kind::Unavailable, message).code("engine_stopped"),
            Refusal::Lost => Self::new(Kind::Unavailable, message).code("device_lost"),
        }
    }
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> Self {
        let message = error.to_string();
        match error {
            EmbedError::Busy { .. } => {
                let wait = Some(Duration::from_secs(1));
                Self { retry_after: wait, ..Self::new(Kind::Busy, message).code("queue_full") }
            }
            EmbedError::Stopped => Self::new(Kind::Unavailable, message).code("engine_stopped"),
            EmbedError::Failed(_) => Self::internal(message),
        }
    }
}

impl From<ScoreError> for ApiError {
    fn from(error: ScoreError) -> Self {
        match error {
            ScoreError::Refused(refusal) => refusal.into(),
            ScoreError::Failed(text) => Self::internal(text),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let message = denied.to_string();
        match denied {
            Denied::Twin(_) | Denied::Base => Self::new(Kind::Forbidden, message).param("model").code("not_in_mandate"),
            Denied::Process { .. } | Denied::Product { .. } => {
                Self::new(Kind::Forbidden, message).param("metadata").code("not_in_mandate")
            }
            Denied::Role(_) => Self::new(Kind::Forbidden, message).code("not_in_role"),
            // A request that is too much by itself will stay so.
            Denied::Tokens { in_flight: 0, .. } => Self::new(Kind::Forbidden, message).code("not_in_mandate"),
            Denied::InFlight { .. } | Denied::Tokens { .. } => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(Kind::Busy, message).code("rate_limit_exceeded")
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"baton\""));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if matches!(self.kind, Kind::Invalid | Kind::Forbidden | Kind::Conflict | Kind::Broken) {
            // The official clients retry some errors on their own; these will not change, or were retried already.
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}
