//! A response as typed events, numbered from 0.

use axum::body::Bytes;
use baton_contract::{FinishReason, Usage};
use serde_json::{Value, json};

use super::body::{Head, Said, Status, text_part, usage};
use super::handler::status_of;
use crate::cue::{Call, Event, Generation, Kept};
use crate::error::ApiError;
use crate::http::{Sse, named_event};

/// Turns the events of a generation into those of a response.
pub(super) struct ResponseStream {
    head: Head,
    generation: Generation,
    said: Said,
    /// The item in progress, if there is one.
    open: Option<Open>,
    /// How many items have begun.
    items: usize,
    sequence: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Message,
    Call,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Opening,
    Streaming,
    Over,
}

impl ResponseStream {
    pub(super) fn new(head: Head, generation: Generation) -> Self {
        let (said, stage) = (Said::default(), Stage::Opening);
        Self { head, generation, said, open: None, items: 0, sequence: 0, stage }
    }

    /// Appends an event.
    fn tell(&mut self, piece: &mut Vec<u8>, name: &'static str, mut fields: Value) {
        fields["type"] = json!(name);
        fields["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        named_event(piece, name, &fields);
    }

    fn opening(&mut self, piece: &mut Vec<u8>) {
        let response = self.head.body(Status::InProgress, &[], None, None);
        self.tell(piece, "response.created", json!({"response": response}));
        self.tell(piece, "response.in_progress", json!({"response": response}));
    }

    fn text(&mut self, piece: &mut Vec<u8>, text: &str) {
        if self.open != Some(Open::Message) {
            self.begin_message(piece);
        }
        if text.is_empty() {
            return;
        }
        self.said.text.push_str(text);
        let id = self.head.message_id();
        let fields = json!({"item_id": id, "output_index": 0, "content_index": 0, "delta": text, "logprobs": []});
        self.tell(piece, "response.output_text.delta", fields);
    }

    fn begin_message(&mut self, piece: &mut Vec<u8>) {
        let mut item = self.head.message("", Status::InProgress);
        item["content"] = json!([]);
        let id = item["id"].clone();
        self.tell(piece, "response.output_item.added", json!({"output_index": 0, "item": item}));
        let fields = json!({"item_id": id, "output_index": 0, "content_index": 0, "part": text_part("")});
        self.tell(piece, "response.content_part.added", fields);
        self.items += 1;
        self.open = Some(Open::Message);
    }

    fn call(&mut self, piece: &mut Vec<u8>, name: String) {
        self.close(piece, Status::Completed);
        let (place, call) = (self.items, Call::new(name));
        let item = self.head.call(place, self.said.calls.len(), &call, Status::InProgress);
        self.said.calls.push(call);
        self.tell(piece, "response.output_item.added", json!({"output_index": place, "item": item}));
        self.items += 1;
        self.open = Some(Open::Call);
    }

    fn arguments(&mut self, piece: &mut Vec<u8>, more: &str) {
        let Some(call) = self.said.calls.last_mut() else { return };
        call.arguments.push_str(more);
        let place = self.items - 1;
        let fields = json!({"item_id": self.head.call_item_id(place), "output_index": place, "delta": more});
        self.tell(piece, "response.function_call_arguments.delta", fields);
    }

    /// Ends the item in progress.
    fn close(&mut self, piece: &mut Vec<u8>, status: Status) {
        match self.open.take() {
            None => {}
            Some(Open::Message) => {
                let (id, text) = (self.head.message_id(), self.said.text.clone());
                let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
                let mut done = at.clone();
                done["text"] = json!(text);
                done["logprobs"] = json!([]);
                self.tell(piece, "response.output_text.done", done);
                let mut part = at;
                part["part"] = text_part(&text);
                self.tell(piece, "response.content_part.done", part);
                let item = self.head.message(&text, status);
                self.tell(piece, "response.output_item.done", json!({"output_index": 0, "item": item}));
            }
            Some(Open::Call) => {
                let Some(call) = self.said.calls.last().cloned() else { return };
                let (place, number) = (self.items - 1, self.said.calls.len() - 1);
                let id = self.head.call_item_id(place);
                let done =
                    json!({"item_id": id, "output_index": place, "name": call.name, "arguments": call.arguments});
                self.tell(piece, "response.function_call_arguments.done", done);
                let item = self.head.call(place, number, &call, status);
                self.tell(piece, "response.output_item.done", json!({"output_index": place, "item": item}));
            }
        }
    }

    fn end(&mut self, piece: &mut Vec<u8>, reason: FinishReason, spent: Usage, kept: Option<Kept>) {
        let status = status_of(reason);
        if self.items == 0 {
            self.begin_message(piece);
        }
        self.close(piece, status);
        if let Some(kept) = kept {
            self.head.baton["answers"] = json!([kept]);
        }
        let spent = usage(spent.input, Some(spent.cached), spent.output);
        let output = self.head.output(&self.said, status);
        let response = self.head.body(status, &output, Some(&spent), None);
        let name = if status == Status::Completed { "response.completed" } else { "response.incomplete" };
        self.tell(piece, name, json!({"response": response}));
    }

    fn fail(&mut self, piece: &mut Vec<u8>, error: &ApiError) {
        self.open = None;
        let output = if self.items == 0 { Vec::new() } else { self.head.output(&self.said, Status::Failed) };
        let response = self.head.body(Status::Failed, &output, None, Some(error.message()));
        self.tell(piece, "response.failed", json!({"response": response}));
    }
}

impl Sse for ResponseStream {
    async fn next(&mut self) -> Option<Bytes> {
        let mut piece = Vec::new();
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Streaming;
                self.opening(&mut piece);
            }
            Stage::Streaming => match self.generation.next().await {
                Some((_, Event::Text(part))) => self.text(&mut piece, &part.text),
                Some((_, Event::Call { name })) => self.call(&mut piece, name),
                Some((_, Event::Arguments(more))) => self.arguments(&mut piece, &more),
                Some((_, Event::End { reason, usage, kept })) => {
                    self.stage = Stage::Over;
                    self.end(&mut piece, reason, usage, kept);
                }
                Some((_, Event::Failed(error))) => {
                    self.stage = Stage::Over;
                    self.fail(&mut piece, &error);
                }
                None => return None,
            },
            Stage::Over => return None,
        }
        Some(piece.into())
    }
}
