//! A completion in chunks.

use axum::body::Bytes;
use baton_contract::Usage;

use super::convert::{Offsets, completion_logprobs};
use super::types::{Completion, CompletionChoice};
use crate::cue::{BatonExtra, ChunkUsage, Event, Generation, UsageBody, finish_reason, total};
use crate::http::{Sse, done, event};
use crate::reply::Reply;

/// Turns the events of a generation into chunks.
pub(super) struct CompletionStream {
    reply: Reply,
    generation: Generation,
    include_usage: bool,
    /// What is said again before each answer; empty where nothing is.
    echoes: Vec<String>,
    offsets: Vec<Offsets>,
    /// What each answer cost, by index.
    usages: Vec<Usage>,
    n: usize,
    stage: Stage,
}

enum Stage {
    /// Nothing was sent.
    Opening,
    /// Something was.
    Streaming,
    Over,
}

impl CompletionStream {
    pub(super) fn new(
        reply: Reply,
        generation: Generation,
        echoes: Vec<String>,
        n: usize,
        include_usage: bool,
    ) -> Self {
        let count = echoes.len();
        let offsets = (0..count).map(|_| Offsets::default()).collect();
        let usages = vec![Usage::default(); count];
        Self { reply, generation, include_usage, echoes, offsets, usages, n, stage: Stage::Opening }
    }

    /// The prompts, if they are to be said again.
    fn opening(&mut self) -> Vec<u8> {
        let mut piece = Vec::new();
        for (index, text) in (0..).zip(std::mem::take(&mut self.echoes)) {
            if !text.is_empty() {
                let choice = CompletionChoice { index, text, logprobs: None, finish_reason: None };
                self.write(&mut piece, choice, None);
            }
        }
        piece
    }

    /// The usage, if it was asked for, and the end.
    fn closing(&self) -> Vec<u8> {
        let mut piece = Vec::new();
        if self.include_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk.usage = Some(ChunkUsage(Some(UsageBody::new(total(&self.usages, self.n)))));
            event(&mut piece, &chunk);
        }
        done(&mut piece);
        piece
    }

    fn told(&mut self, index: u32, happened: Event) -> Vec<u8> {
        let (mut piece, mut extra) = (Vec::new(), None);
        let at = index as usize;
        let choice = match happened {
            Event::Text(part) => {
                self.offsets[at].text(&part.text);
                let logprobs = completion_logprobs(&self.reply.tokenizer, &part.tokens, &mut self.offsets[at]);
                CompletionChoice { index, text: part.text, logprobs, finish_reason: None }
            }
            Event::End { reason, usage, kept } => {
                self.usages[at] = usage;
                extra = kept.map(|kept| self.reply.extra.with_answers([kept]));
                let finish_reason = Some(finish_reason(reason));
                CompletionChoice { index, text: String::new(), logprobs: None, finish_reason }
            }
            Event::Failed(error) => {
                self.stage = Stage::Over;
                event(&mut piece, &error.body());
                return piece;
            }
            // Only chats offer tools.
            Event::Call { .. } | Event::Arguments(_) => return piece,
        };
        self.write(&mut piece, choice, extra);
        piece
    }

    /// Appends a chunk; the first one says what Baton has to say.
    fn write(&mut self, piece: &mut Vec<u8>, choice: CompletionChoice, extra: Option<BatonExtra>) {
        let mut chunk = Completion { baton: extra, ..self.chunk(vec![choice]) };
        if matches!(self.stage, Stage::Opening) && chunk.baton.is_none() {
            chunk.baton = Some(self.reply.extra.clone());
        }
        event(piece, &chunk);
        self.stage = Stage::Streaming;
    }

    fn chunk(&self, choices: Vec<CompletionChoice>) -> Completion<'_> {
        Completion {
            id: &self.reply.id,
            object: "text_completion",
            created: self.reply.created,
            model: &self.reply.model,
            choices,
            usage: self.include_usage.then_some(ChunkUsage(None)),
            system_fingerprint: &self.reply.fingerprint,
            baton: None,
        }
    }
}

impl Sse for CompletionStream {
    async fn next(&mut self) -> Option<Bytes> {
        if matches!(self.stage, Stage::Opening) {
            let piece = self.opening();
            if !piece.is_empty() {
                return Some(piece.into());
            }
        }
        if matches!(self.stage, Stage::Over) {
            return None;
        }
        let piece = if let Some((index, happened)) = self.generation.next().await {
            self.told(index, happened)
        } else {
            self.stage = Stage::Over;
            self.closing()
        };
        Some(piece.into())
    }
}
