//! A recorded answer, asked for again: the very request goes through the very routes, with the seed that was in use.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use baton_authority::{InstallationSecret, KEY_RANDOM_BYTES, KeyRing, Mandate, Principal};
use baton_contract::ConductorId;
use baton_register::{Cue, EMBEDDINGS, Recorded};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::error::ApiError;
use crate::filing::Filing;
use crate::http::{Caller, JsonBody};
use crate::server::state;
use crate::state::AppState;
use crate::{Error, ServerConfig, Services, chat, completions, cues, decisions, embeddings, responses};

/// Who asks again.
const ASKER: &str = "baton-replay";
/// What changes how an answer is given, not what it is.
const MANNER: [&str; 4] = ["stream", "stream_options", "deadline_seconds", "background"];
/// The endpoints that draw; each takes a seed and a limit.
const DRAWING: [&str; 4] = ["/v1/chat/completions", "/v1/completions", "/v1/cues", RESPONSES];
const RESPONSES: &str = "/v1/responses";

/// Asks again for what a ledger has.
pub struct Replayer {
    state: Arc<AppState>,
    rows: UnboundedReceiver<Cue>,
    caller: Principal,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The entry has no JSON object as its request.
    #[error("its request cannot be read: {0}")]
    Request(String),
    /// This build has no such endpoint, or draws nothing there.
    #[error("nothing is answered at `{0}`")]
    Endpoint(String),
    /// The request is not answered as it once was.
    #[error("the same request is refused now: {0}")]
    Refused(String),
}

impl Replayer {
    /// Made from what a server is made from. Its ledger gets nothing of what is asked again, but what any start writes:
    /// give it one that is thrown away.
    ///
    /// # Errors
    /// As [`crate::Server::new`].
    pub fn new(services: Services) -> Result<Self, Error> {
        let (sender, rows) = unbounded_channel();
        let state = Arc::new(state(ServerConfig::default(), services, Filing::Again(sender))?);
        let asker: ConductorId = ASKER.parse()?;
        let mut ring = KeyRing::new(InstallationSecret::new([0; 32]));
        let mandate = Mandate { max_in_flight: 10_000, ..Mandate::default() };
        let key = ring.issue(&[0; KEY_RANDOM_BYTES], asker, mandate, Timestamp::UNIX_EPOCH)?;
        let caller = ring.identify(&key.text).ok_or_else(|| baton_authority::Error::Unknown(key.id.to_string()))?;
        Ok(Self { state, rows, caller })
    }

    /// The row that an answer to the same request has.
    ///
    /// # Errors
    /// The request cannot be asked, or is refused.
    pub async fn again(&mut self, recorded: &Recorded) -> Result<Cue, ReplayError> {
        let body = body(recorded)?;
        let (state, caller) = (State(Arc::clone(&self.state)), Caller(self.caller.clone()));
        let body = JsonBody(body);
        let answered: Result<Response, ApiError> = match recorded.endpoint.as_str() {
            "/v1/chat/completions" => chat::create(state, caller, body).await,
            "/v1/completions" => completions::create(state, caller, body).await,
            RESPONSES => responses::create(state, caller, body).await,
            "/v1/cues" => cues::create(state, caller, body).await,
            EMBEDDINGS => embeddings::create(state, caller, body).await,
            "/v1/decisions" => decisions::create(state, caller, body).await.map(IntoResponse::into_response),
            other => return Err(ReplayError::Endpoint(other.to_owned())),
        };
        // What was drawn is told even where nothing of it was passed on.
        match (self.rows.try_recv(), answered) {
            (Ok(row), _) => Ok(row),
            (Err(_), Err(error)) => Err(ReplayError::Refused(error.message().to_owned())),
            (Err(_), Ok(_)) => Err(ReplayError::Endpoint(recorded.endpoint.clone())),
        }
    }
}

/// The request as it was, with what the server had chosen for it.
fn body(recorded: &Recorded) -> Result<Value, ReplayError> {
    let mut body: Map<String, Value> =
        serde_json::from_str(&recorded.request).map_err(|error| ReplayError::Request(error.to_string()))?;
    for name in MANNER {
        body.remove(name);
    }
    if !DRAWING.contains(&recorded.endpoint.as_str()) {
        return Ok(Value::Object(body));
    }
    body.insert("seed".to_owned(), json!(recorded.seed));
    let limits = if recorded.endpoint == RESPONSES {
        // It was filed with all that it goes on from; this is only for who reads it.
        body.remove("baton");
        &["max_output_tokens"][..]
    } else {
        &["max_tokens", "max_completion_tokens"]
    };
    let is_limited = limits.iter().any(|name| body.get(*name).is_some_and(|value| !value.is_null()));
    if let Some(most) = recorded.max_tokens.filter(|_| !is_limited) {
        // The limit may have been that of a mandate.
        body.insert(limits[0].to_owned(), json!(most));
    }
    if body.contains_key("twins") {
        // Each twin's answer has a row of its own.
        body.insert("twins".to_owned(), json!([recorded.target]));
    }
    Ok(Value::Object(body))
}
