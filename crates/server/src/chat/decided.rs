//! A chat whose blast radius is stated: nothing of the answer goes out before it is known what checking it needs, and then
//! the tier decides as it does of `POST /v1/decisions`.

use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use baton_authority::Principal;
use serde_json::Value;

use super::handler::PATH;
use super::logprobs::chat_logprobs;
use super::types::{AssistantMessage, ChatChoice, ChatChunk, ChatCompletion, ChatRequest, ChunkChoice, Delta};
use super::{chunks, convert};
use crate::cue::{Answer, ChunkUsage, Cue, Generation, UsageBody, collect, finish_reason};
use crate::error::ApiError;
use crate::http::{Sse, done, event, stream};
use crate::judging::{Matter, Stated, not_of_a_twin, settle};
use crate::render;
use crate::reply::Reply;
use crate::state::AppState;
use crate::twins::Model;

/// Draws the answer, settles it, and says what becomes of it. A stream is silent but for what keeps it alive until then.
pub(super) async fn decide(state: Arc<AppState>, principal: Principal, body: Value) -> Result<Response, ApiError> {
    let sent = state.filing.take_down_decided(PATH, &body)?;
    let ChatRequest { model, messages: said, top_logprobs, params, schema, stated, .. } = ChatRequest::read(body)?;
    let (ask, intent) = (params.stream, params.intent.clone());
    let cue = Cue::open(&state, &principal, &model, params, 1)?;
    if cue.model.twin().is_none() {
        return Err(not_of_a_twin());
    }
    let cue = cue.drawn_as(&state, schema.map(|schema| (schema, "response_format")), None).await?;
    let (model, messages) = (cue.model.clone(), convert::messages(&cue.model, said, &intent));
    let mut reply = Reply::new(&state, "chatcmpl", model.name(), cue.extra.clone())?;
    let cue = cue.filed_apart(&state, &sent, &reply.id)?;
    let prompts = render::chat(&state, model.clone(), messages, Vec::new()).await?;
    reply.extra = reply.extra.with_citations(&prompts.cited);
    let generation = cue.submit(&state, prompts, top_logprobs, None).map_err(|error| error.or_param("messages"))?;
    let silence = state.config.keep_alive;
    let asked = Asked { state, principal, model, intent, stated: stated.unwrap_or_default() };
    let told = asked.told(reply, generation);
    match ask {
        Some(ask) => {
            Ok(stream(DecidedStream { told: Some(Box::pin(told)), include_usage: ask.include_usage }, silence))
        }
        None => Ok(Json(told.await?.completion()).into_response()),
    }
}

/// Who asked what.
struct Asked {
    state: Arc<AppState>,
    principal: Principal,
    model: Model,
    intent: baton_contract::Intent,
    stated: Stated,
}

/// An answer that is settled.
struct Told {
    reply: Reply,
    answer: Answer,
    /// Said in its place.
    refusal: Option<String>,
}

impl Asked {
    /// Waits for the answer, and settles it.
    async fn told(self, mut reply: Reply, mut generation: Generation) -> Result<Told, ApiError> {
        let Self { state, principal, model, intent, stated } = self;
        let answers = collect(&mut generation, 1).await?;
        let answer = answers.into_iter().next().ok_or_else(|| ApiError::internal("an answer was lost"))?;
        let cue = generation.take_row().ok_or_else(|| ApiError::internal("an answer has no row"))?;
        let twin = model.twin().ok_or_else(not_of_a_twin)?;
        state.filing.decided(&cue, Some(state.desk.rules_for(twin.pack.id())));
        let matter = Matter {
            principal: &principal,
            model: &model,
            intent: &intent,
            stated,
            read: None,
            confidence: None,
            answer_name: None,
            cue,
        };
        let filed = settle(&state, twin, matter).await?;
        let refusal = (!filed.is_released()).then(|| filed.refusal());
        reply.extra = reply.extra.with_answers(answer.kept.clone()).with_decision(filed);
        Ok(Told { reply, answer, refusal })
    }
}

impl Told {
    /// What is said of the answer: its text, or why it does not go out.
    fn said(&self) -> (Option<String>, Option<String>) {
        (self.refusal.is_none().then(|| self.answer.text.clone()), self.refusal.clone())
    }

    fn completion(&self) -> ChatCompletion<'_> {
        let (content, refusal) = self.said();
        let logprobs = content.as_ref().and_then(|_| chat_logprobs(&self.reply.tokenizer, &self.answer.tokens));
        let message = AssistantMessage { role: "assistant", content, refusal, tool_calls: Vec::new() };
        let choice = ChatChoice { index: 0, logprobs, finish_reason: finish_reason(self.answer.reason), message };
        ChatCompletion {
            id: &self.reply.id,
            object: "chat.completion",
            created: self.reply.created,
            model: &self.reply.model,
            choices: vec![choice],
            usage: UsageBody::new(self.answer.usage),
            system_fingerprint: &self.reply.fingerprint,
            baton: self.reply.extra.clone(),
        }
    }

    /// All chunks: who speaks, what is said, its end.
    fn chunks(&self, include_usage: bool) -> Vec<u8> {
        let mut piece = Vec::new();
        let (content, refusal) = self.said();
        let logprobs = content.as_ref().and_then(|_| chat_logprobs(&self.reply.tokenizer, &self.answer.tokens));
        let chunk = |delta, logprobs, reason| {
            let choice = ChunkChoice { index: 0, delta, logprobs, finish_reason: reason };
            chunks::chunk(&self.reply, vec![choice], include_usage)
        };
        let opening = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
        let baton = Some(self.reply.extra.clone());
        event(&mut piece, &ChatChunk { baton, ..chunk(opening, None, None) });
        event(&mut piece, &chunk(Delta { content, refusal, ..Delta::default() }, logprobs, None));
        event(&mut piece, &chunk(Delta::default(), None, Some(finish_reason(self.answer.reason))));
        if include_usage {
            let usage = Some(ChunkUsage(Some(UsageBody::new(self.answer.usage))));
            event(&mut piece, &ChatChunk { usage, ..chunks::chunk(&self.reply, Vec::new(), true) });
        }
        done(&mut piece);
        piece
    }
}

type Telling = Pin<Box<dyn Future<Output = Result<Told, ApiError>> + Send>>;

/// Everything at once, as soon as it is settled.
struct DecidedStream {
    told: Option<Telling>,
    include_usage: bool,
}

impl Sse for DecidedStream {
    async fn next(&mut self) -> Option<Bytes> {
        // It stays here until it is ready, so that nothing is lost when the wait for it is given up.
        let told = self.told.as_mut()?.await;
        self.told = None;
        let piece = match told {
            Ok(told) => told.chunks(self.include_usage),
            Err(error) => {
                let mut piece = Vec::new();
                event(&mut piece, &error.body());
                piece
            }
        };
        Some(piece.into())
    }
}
