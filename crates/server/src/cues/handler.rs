//! One cue to several twins, from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use baton_text::ChatMessage;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::chunks::CueStream;
use super::panel::{Panel, Seat};
use super::types::CueRequest;
use crate::cue::{Cue, Generation};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, stream};
use crate::render;
use crate::reply::new_id;
use crate::state::AppState;
use crate::twins::Model;

/// Cues all twins at once; they run in one batch.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let sent = state.filing.take_down("/v1/cues", &body)?;
    let CueRequest { twins, what, deadline, params } = CueRequest::read(body)?;
    let mut cues = Vec::with_capacity(twins.len());
    for (index, twin) in twins.iter().enumerate() {
        let field = format!("twins[{index}]");
        match state.models.find(twin) {
            Some(Model::Twin(_)) => cues.push(Cue::open(&state, &principal, twin, params.clone(), 1)?),
            Some(Model::Base(_)) => {
                let message = format!("`{twin}` is the model itself, not a twin; ask it in a chat");
                return Err(ApiError::invalid(field, message));
            }
            None => return Err(ApiError::no_model(twin).param(field)),
        }
    }
    let prompts = cues.iter().map(|cue| {
        let pack = cue.model.twin().map(|twin| ChatMessage::system(&twin.system_text));
        let purpose = params.intent.in_words().map(ChatMessage::system);
        let said = pack.into_iter().chain(purpose).chain([ChatMessage::user(&what)]).collect();
        render::chat(&state, cue.model.clone(), said, Vec::new())
    });
    let prompts = try_join_all(prompts).await?;
    let mut panel = Panel {
        id: new_id("cue")?,
        created: (state.clock)(),
        fingerprint: state.fingerprint.clone(),
        seats: Vec::with_capacity(cues.len()),
        encoder: state.encoder.clone(),
    };
    // A row for each twin, or for none of them.
    let filed = cues.into_iter().map(|cue| cue.filed(&state, sent.as_ref(), &panel.id));
    let cues = filed.collect::<Result<Vec<_>, _>>()?;
    let mut generations = Vec::with_capacity(cues.len());
    for (cue, prompts) in cues.into_iter().zip(prompts) {
        let extra = cue.extra.clone().with_citations(&prompts.cited);
        panel.seats.push(Seat::new(cue.model.name().to_owned(), extra));
        match cue.submit(&state, prompts, None, None) {
            Ok(generation) => generations.push(generation),
            Err(error) => {
                // If one is refused, those before it are cancelled.
                generations.into_iter().for_each(Generation::cut);
                return Err(error.or_param("what"));
            }
        }
    }
    let answers = CueStream::new(panel, Generation::join(generations), deadline.map(|deadline| began + deadline));
    if params.stream.is_some() {
        return Ok(stream(answers, state.config.keep_alive));
    }
    Ok(Json(answers.collect().await.joined().await).into_response())
}
