//! Responses as they are read again, from the ledger.

use std::sync::Arc;

use axum::body::Bytes;
use baton_contract::ConductorId;
use baton_register::{Ended, KeptReply};
use serde_json::{Value, json};

use super::PATH;
use super::body::{Head, Said, Status, usage};
use super::chunks::Teller;
use crate::cue::Call;
use crate::error::ApiError;
use crate::state::AppState;

/// A response that the ledger has.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) head: Head,
    status: Status,
    said: Said,
    tokens: (usize, usize),
}

/// Finds a response of a conductor's own.
///
/// # Errors
/// There is none of theirs that can be read again, or the ledger cannot be read.
pub(super) async fn find(state: &Arc<AppState>, conductor: &ConductorId, id: &str) -> Result<Found, ApiError> {
    let no_such = || ApiError::no_response(id);
    let settled = Arc::clone(state);
    let wait = tokio::task::spawn_blocking(move || settled.filing.settle());
    wait.await.map_err(|_| ApiError::internal("the record could not be read"))??;
    let wanted = id.to_owned();
    let read = move |register: &baton_register::Register| KeptReply::find(&register.ledger().reader()?, &wanted);
    let reply = state.desk.run(read).await?.ok_or_else(no_such)?;
    if reply.conductor != conductor.as_str() || reply.endpoint != PATH {
        return Err(no_such());
    }
    let (request, answer) = reply.texts.as_ref().ok_or_else(no_such)?;
    let filed: Value = serde_json::from_str(request).map_err(|_| ApiError::internal("a response cannot be read"))?;
    if filed["baton"]["store"] != true {
        return Err(no_such());
    }
    let said = said(&filed, answer);
    let baton = json!({"seed": reply.seed});
    let head = Head { id: id.to_owned(), model: reply.target.clone(), filed, baton, store: true };
    Ok(Found { head, status: status(&reply), said, tokens: reply.tokens })
}

fn status(reply: &KeptReply) -> Status {
    match reply.ended {
        Ended::Complete if reply.at_length => Status::Incomplete,
        Ended::Complete => Status::Completed,
        Ended::CutOff => Status::Incomplete,
        Ended::Disconnected => Status::Cancelled,
        Ended::Failed => Status::Failed,
    }
}

/// An answer's text as a row has it: plain, or an object with what was called.
fn said(filed: &Value, answer: &str) -> Said {
    let plain = || Said { text: answer.to_owned(), calls: Vec::new() };
    if filed["tools"].as_array().is_none_or(Vec::is_empty) {
        return plain();
    }
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return plain() };
    let (Some(text), Some(calls)) = (answer["content"].as_str(), answer["tool_calls"].as_array()) else {
        return plain();
    };
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |call: &Value| Call { name: text_of(&call["name"]), arguments: text_of(&call["arguments"]) };
    Said { text: text.to_owned(), calls: calls.iter().map(call).collect() }
}

impl Found {
    /// As it was, but for what is not kept of it.
    pub(super) fn body(&self) -> Value {
        let error = (self.status == Status::Failed).then_some("the answer failed, or broke the twin's spec");
        let spent = usage(self.tokens.0, None, self.tokens.1);
        self.head.body(self.status, &self.head.output(&self.said, self.status), Some(&spent), error)
    }

    /// As events. After the one of number `after` comes the last one alone, for how many there were is not kept.
    pub(super) fn events(&self, after: Option<u64>) -> Vec<Bytes> {
        let teller = Teller::new(self.head.clone());
        match after {
            None => teller.all(&self.said, self.status, &self.body()),
            Some(after) => teller.only_last(after, self.status, &self.body()),
        }
    }

    /// What it was told.
    pub(super) fn input(&self) -> Vec<Value> {
        self.head.filed["input"].as_array().cloned().unwrap_or_default()
    }

    /// What it was told and what it answered, for a response that goes on from it.
    pub(super) fn items(&self) -> Vec<Value> {
        let mut items = self.input();
        items.extend(self.head.output(&self.said, self.status));
        items
    }

    pub(super) fn is_background(&self) -> bool {
        self.head.filed["background"] == true
    }
}
