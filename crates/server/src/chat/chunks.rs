//! A chat reply in chunks.

use axum::body::Bytes;
use baton_contract::Usage;

use super::convert::ended;
use super::logprobs::chat_logprobs;
use super::types::{CallBody, ChatChunk, ChunkChoice, Delta, FunctionBody};
use crate::cue::{ChunkUsage, Event, Generation, UsageBody, total};
use crate::http::{Sse, done, event};
use crate::reply::Reply;
use crate::tools::call_id;

/// Turns the events of a generation into chunks.
pub(super) struct ChatStream {
    reply: Reply,
    generation: Generation,
    include_usage: bool,
    /// What each finished answer cost.
    usages: Vec<Usage>,
    /// How many tools each answer has called.
    called: Vec<usize>,
    n: u32,
    stage: Stage,
}

enum Stage {
    /// Nothing was sent.
    Opening,
    Streaming,
    Over,
}

impl ChatStream {
    pub(super) fn new(reply: Reply, generation: Generation, n: u32, include_usage: bool) -> Self {
        Self {
            reply,
            generation,
            include_usage,
            usages: Vec::new(),
            called: vec![0; n as usize],
            n,
            stage: Stage::Opening,
        }
    }

    /// The first chunk of every answer says who speaks.
    fn opening(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        for index in 0..self.n {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
            let mut chunk = self.chunk(vec![ChunkChoice { index, delta, logprobs: None, finish_reason: None }]);
            chunk.baton = (index == 0).then(|| self.reply.extra.clone());
            event(&mut piece, &chunk);
        }
        piece
    }

    /// The usage, if it was asked for, and the end.
    fn closing(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        if self.include_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk.usage = Some(ChunkUsage(Some(UsageBody::new(total(&self.usages, self.usages.len())))));
            event(&mut piece, &chunk);
        }
        done(&mut piece);
        piece
    }

    fn told(&mut self, index: u32, happened: Event) -> Vec<u8> {
        let (mut piece, mut extra) = (Vec::new(), None);
        let choice = match happened {
            Event::Text(part) => ChunkChoice {
                index,
                logprobs: chat_logprobs(&self.reply.tokenizer, &part.tokens),
                delta: Delta { content: Some(part.text), ..Delta::default() },
                finish_reason: None,
            },
            Event::Call { name } => self.called(index, Some(name), String::new()),
            Event::Arguments(more) => self.called(index, None, more),
            Event::End { reason, usage, kept } => {
                self.usages.push(usage);
                extra = kept.map(|kept| self.reply.extra.with_answers([kept]));
                let called = self.called.get(index as usize).is_some_and(|called| *called > 0);
                let finish_reason = Some(ended(reason, called));
                ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason }
            }
            Event::Failed(error) => {
                self.stage = Stage::Over;
                event(&mut piece, &error.body());
                return piece;
            }
        };
        event(&mut piece, &ChatChunk { baton: extra, ..self.chunk(vec![choice]) });
        piece
    }

    /// A call that begins, or more of its arguments.
    fn called(&mut self, index: u32, name: Option<String>, arguments: String) -> ChunkChoice {
        let begins = name.is_some();
        let mut number = 0;
        if let Some(called) = self.called.get_mut(index as usize) {
            *called += usize::from(begins);
            number = called.saturating_sub(1);
        }
        let call = CallBody {
            index: Some(number),
            id: begins.then(|| call_id(&self.reply.id, index, number)),
            r#type: begins.then_some("function"),
            function: FunctionBody { name, arguments },
        };
        let delta = Delta { tool_calls: vec![call], ..Delta::default() };
        ChunkChoice { index, delta, logprobs: None, finish_reason: None }
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatChunk<'_> {
        chunk(&self.reply, choices, self.include_usage)
    }
}

/// A chunk of a reply; where usage is asked for, it is null in all but the last.
pub(super) fn chunk(reply: &Reply, choices: Vec<ChunkChoice>, include_usage: bool) -> ChatChunk<'_> {
    ChatChunk {
        id: &reply.id,
        object: "chat.completion.chunk",
        created: reply.created,
        model: &reply.model,
        system_fingerprint: &reply.fingerprint,
        choices,
        usage: include_usage.then_some(ChunkUsage(None)),
        baton: None,
    }
}

impl Sse for ChatStream {
    async fn next(&mut self) -> Option<Bytes> {
        let piece = match self.stage {
            Stage::Opening => {
                self.stage = Stage::Streaming;
                self.opening()
            }
            Stage::Streaming => {
                if let Some((index, happened)) = self.generation.next().await {
                    self.told(index, happened)
                } else {
                    self.stage = Stage::Over;
                    self.closing()
                }
            }
            Stage::Over => return None,
        };
        Some(piece.into())
    }
}
