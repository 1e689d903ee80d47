//! One request for vectors from body to reply.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use baton_authority::{Ask, Target, clear};
use baton_contract::TokenId;
use baton_encoder::{EncoderHandle, Words};
use baton_register::EMBEDDINGS;

use super::filing::Filed;
use super::types::{Embedding, EmbeddingExtra, EmbeddingList, EmbeddingUsage, EmbeddingsRequest, Vector};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::render::off_thread;
use crate::reply::new_id;
use crate::state::AppState;

/// Most tokens of one request, as in OpenAI's API.
const MOST_TOKENS: usize = 300_000;

/// Embeds texts.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let sent = state.filing.take_down(EMBEDDINGS, &body)?;
    let EmbeddingsRequest { model, texts, format, dimensions } = EmbeddingsRequest::read(body)?;
    let encoder = find(&state, &model)?;
    let card = encoder.card();
    let dimensions = kept(dimensions, card.dimensions)?;
    // Vectors are the model's own work, as a chat without a twin is, and one request is one answer.
    let ask = |in_flight| clear(&principal, Ask { target: Target::Base, ground: None, answers: 1 }, in_flight);
    let (cleared, mut slot) = state.conductors.take(principal.conductor(), 1, ask)?;
    tracing::Span::current().record("twin", &*card.id);
    let words = card.words.clone();
    let tokens = off_thread(&state, move |_, _| tokens_of(&words, &texts)).await?;
    let count: usize = tokens.iter().map(Vec::len).sum();
    slot.take_tokens(count as u64, |in_flight| cleared.clear_tokens(in_flight, count as u64))?;
    let id = new_id("emb")?;
    let filed = Filed::begin(&state, &principal, card, (sent.as_ref(), &id), count)?;
    let vectors = match encoder.embed(tokens).await {
        Ok(vectors) => vectors.into_iter().map(|vector| beginning(vector, dimensions)).collect::<Vec<_>>(),
        Err(error) => {
            filed.failed();
            return Err(error.into());
        }
    };
    filed.complete(&vectors);
    state.metrics.embedded(vectors.len(), count);
    let one = |(index, vector)| Embedding { object: "embedding", index, vector: Vector::new(vector, format) };
    let list = EmbeddingList {
        object: "list",
        data: vectors.into_iter().enumerate().map(one).collect(),
        model: &card.id,
        usage: EmbeddingUsage { prompt_tokens: count, total_tokens: count },
        baton: EmbeddingExtra { id, model_digest: card.digest.to_string() },
    };
    Ok(Json(list).into_response())
}

/// The encoder that is asked for.
///
/// # Errors
/// There is none of that name.
fn find<'a>(state: &'a AppState, model: &str) -> Result<&'a EncoderHandle, ApiError> {
    let ours = state.encoder.as_ref();
    ours.filter(|encoder| encoder.card().id == model).ok_or_else(|| {
        let known = state.models.find(model).is_some();
        ApiError::no_encoder(model, known, ours.map(|encoder| &*encoder.card().id))
    })
}

/// How many numbers of a vector of `all` are kept.
fn kept(asked: Option<u32>, all: usize) -> Result<usize, ApiError> {
    match asked.map(|asked| asked as usize) {
        Some(asked) if asked > all => {
            let message = format!("`dimensions` is {asked}, but the model's vectors have {all}");
            Err(ApiError::invalid("dimensions", message))
        }
        asked => Ok(asked.unwrap_or(all)),
    }
}

/// The tokens of each text.
fn tokens_of(words: &Words, texts: &[String]) -> Result<Vec<Vec<TokenId>>, ApiError> {
    let (mut all, mut count) = (Vec::new(), 0);
    for (at, text) in texts.iter().enumerate() {
        let tokens = words.tokens(text).map_err(|error| ApiError::text_too_long(at, error))?;
        count += tokens.len();
        if count > MOST_TOKENS {
            let message = format!("`input` has more than {MOST_TOKENS} tokens in all; send it in several requests");
            return Err(ApiError::invalid("input", message));
        }
        all.push(tokens);
    }
    Ok(all)
}

/// The first `dimensions` numbers, as a unit vector if there are more.
fn beginning(mut vector: Vec<f32>, dimensions: usize) -> Vec<f32> {
    if dimensions < vector.len() {
        vector.truncate(dimensions);
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "vectors are given in f32")]
            for x in &mut vector {
                *x = (f64::from(*x) / length) as f32;
            }
        }
    }
    vector
}
