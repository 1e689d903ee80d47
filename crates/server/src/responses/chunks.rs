//! A response as typed events, numbered from 0.
//!
//! An event is told as the bytes that are sent, one by one, so that who comes later can begin at any of them.

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
    teller: Teller,
    generation: Generation,
    stage: Stage,
    /// Why it failed, if it has.
    failure: Option<String>,
}

/// Tells a response, whether it is just made or was made once.
pub(super) struct Teller {
    head: Head,
    said: Said,
    /// The item in progress, if there is one.
    open: Option<Open>,
    /// How many items have begun.
    items: usize,
    sequence: u64,
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

impl Teller {
    pub(super) fn new(head: Head) -> Self {
        Self { head, said: Said::default(), open: None, items: 0, sequence: 0 }
    }

    /// All events of a response that has ended. Its text and each of its arguments come in one piece.
    pub(super) fn all(mut self, said: &Said, status: Status, response: &Value) -> Vec<Bytes> {
        let mut told = Vec::new();
        self.opening(&mut told);
        if said.calls.is_empty() || !said.text.is_empty() {
            self.text(&mut told, &said.text);
        }
        for call in &said.calls {
            self.call(&mut told, call.name.clone());
            self.arguments(&mut told, &call.arguments);
        }
        self.close(&mut told, status);
        self.last(&mut told, status, response);
        told
    }

    /// The event alone that ends a response, where `after` was the last that was received.
    pub(super) fn only_last(mut self, after: u64, status: Status, response: &Value) -> Vec<Bytes> {
        self.sequence = after.saturating_add(1);
        let mut told = Vec::new();
        self.last(&mut told, status, response);
        told
    }

    fn last(&mut self, told: &mut Vec<Bytes>, status: Status, response: &Value) {
        let name = match status {
            Status::Completed => "response.completed",
            Status::Failed => "response.failed",
            Status::Incomplete | Status::Cancelled | Status::InProgress => "response.incomplete",
        };
        self.tell(told, name, json!({"response": response}));
    }

    /// Appends an event.
    fn tell(&mut self, told: &mut Vec<Bytes>, name: &'static str, mut fields: Value) {
        fields["type"] = json!(name);
        fields["sequence_number"] = json!(self.sequence);
        self.sequence = self.sequence.saturating_add(1);
        let mut event = Vec::new();
        named_event(&mut event, name, &fields);
        told.push(event.into());
    }

    fn opening(&mut self, told: &mut Vec<Bytes>) {
        let response = self.head.body(Status::InProgress, &[], None, None);
        self.tell(told, "response.created", json!({"response": response}));
        self.tell(told, "response.in_progress", json!({"response": response}));
    }

    fn text(&mut self, told: &mut Vec<Bytes>, text: &str) {
        if self.open != Some(Open::Message) {
            self.begin_message(told);
        }
        if text.is_empty() {
            return;
        }
        self.said.text.push_str(text);
        let id = self.head.message_id();
        let fields = json!({"item_id": id, "output_index": 0, "content_index": 0, "delta": text, "logprobs": []});
        self.tell(told, "response.output_text.delta", fields);
    }

    fn begin_message(&mut self, told: &mut Vec<Bytes>) {
        let mut item = self.head.message("", Status::InProgress);
        item["content"] = json!([]);
        let id = item["id"].clone();
        self.tell(told, "response.output_item.added", json!({"output_index": 0, "item": item}));
        let fields = json!({"item_id": id, "output_index": 0, "content_index": 0, "part": text_part("")});
        self.tell(told, "response.content_part.added", fields);
        self.items += 1;
        self.open = Some(Open::Message);
    }

    fn call(&mut self, told: &mut Vec<Bytes>, name: String) {
        self.close(told, Status::Completed);
        let (place, call) = (self.items, Call::new(name));
        let item = self.head.call(place, self.said.calls.len(), &call, Status::InProgress);
        self.said.calls.push(call);
        self.tell(told, "response.output_item.added", json!({"output_index": place, "item": item}));
        self.items += 1;
        self.open = Some(Open::Call);
    }

    fn arguments(&mut self, told: &mut Vec<Bytes>, more: &str) {
        let Some(call) = self.said.calls.last_mut() else { return };
        call.arguments.push_str(more);
        let place = self.items - 1;
        let fields = json!({"item_id": self.head.call_item_id(place), "output_index": place, "delta": more});
        self.tell(told, "response.function_call_arguments.delta", fields);
    }

    /// Ends the item in progress.
    fn close(&mut self, told: &mut Vec<Bytes>, status: Status) {
        match self.open.take() {
            None => {}
            Some(Open::Message) => {
                let (id, text) = (self.head.message_id(), self.said.text.clone());
                let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
                let mut done = at.clone();
                done["text"] = json!(text);
                done["logprobs"] = json!([]);
                self.tell(told, "response.output_text.done", done);
                let mut part = at;
                part["part"] = text_part(&text);
                self.tell(told, "response.content_part.done", part);
                let item = self.head.message(&text, status);
                self.tell(told, "response.output_item.done", json!({"output_index": 0, "item": item}));
            }
            Some(Open::Call) => {
                let Some(call) = self.said.calls.last().cloned() else { return };
                let (place, number) = (self.items - 1, self.said.calls.len() - 1);
                let id = self.head.call_item_id(place);
                let done =
                    json!({"item_id": id, "output_index": place, "name": call.name, "arguments": call.arguments});
                self.tell(told, "response.function_call_arguments.done", done);
                let item = self.head.call(place, number, &call, status);
                self.tell(told, "response.output_item.done", json!({"output_index": place, "item": item}));
            }
        }
    }

    fn end(&mut self, told: &mut Vec<Bytes>, reason: FinishReason, spent: Usage, kept: Option<Kept>) {
        let status = status_of(reason);
        if self.items == 0 {
            self.begin_message(told);
        }
        self.close(told, status);
        if let Some(kept) = kept {
            self.head.baton["answers"] = json!([kept]);
        }
        let spent = usage(spent.input, Some(spent.cached), spent.output);
        let output = self.head.output(&self.said, status);
        let response = self.head.body(status, &output, Some(&spent), None);
        self.last(told, status, &response);
    }

    fn fail(&mut self, told: &mut Vec<Bytes>, error: &ApiError) {
        self.open = None;
        let output = if self.items == 0 { Vec::new() } else { self.head.output(&self.said, Status::Failed) };
        let response = self.head.body(Status::Failed, &output, None, Some(error.message()));
        self.last(told, Status::Failed, &response);
    }
}

impl ResponseStream {
    pub(super) fn new(head: Head, generation: Generation) -> Self {
        Self { teller: Teller::new(head), generation, stage: Stage::Opening, failure: None }
    }

    /// The next events, each by itself; none at the end.
    pub(super) async fn events(&mut self) -> Option<Vec<Bytes>> {
        let (mut told, teller) = (Vec::new(), &mut self.teller);
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Streaming;
                teller.opening(&mut told);
            }
            Stage::Streaming => match self.generation.next().await? {
                (_, Event::Text(part)) => teller.text(&mut told, &part.text),
                (_, Event::Call { name }) => teller.call(&mut told, name),
                (_, Event::Arguments(more)) => teller.arguments(&mut told, &more),
                (_, Event::End { reason, usage, kept }) => {
                    self.stage = Stage::Over;
                    teller.end(&mut told, reason, usage, kept);
                }
                (_, Event::Failed(error)) => {
                    self.stage = Stage::Over;
                    teller.fail(&mut told, &error);
                    self.failure = Some(error.message().to_owned());
                }
            },
            Stage::Over => return None,
        }
        Some(told)
    }

    /// Why it failed, if it has.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl Sse for ResponseStream {
    async fn next(&mut self) -> Option<Bytes> {
        self.events().await.map(|events| events.concat().into())
    }
}
