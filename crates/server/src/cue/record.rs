//! What is written down of a cue: one row, as soon as its last answer has ended, its deadline has come or its client has
//! left. Nothing waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_contract::{Adapter, FinishReason, Sampling, TokenId};
use baton_register::{Cue as Row, Drawn, Ended};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Call, Cue, Event};
use crate::Clock;
use crate::error::ApiError;
use crate::filing::{Place, Said};
use crate::library::Citation;
use crate::state::AppState;

/// A cue that is to be written down, before it is submitted.
pub(super) struct Asked {
    row: Row,
    /// None where chats are not filed.
    place: Option<Place>,
    clock: Clock,
    /// The row is taken by whoever settles the answer.
    apart: bool,
}

/// A cue that was submitted. Clones share it; when the last one is dropped, the row is written with what there is.
#[derive(Clone)]
pub(super) struct Record(Arc<Inner>);

/// `None` once the row was written.
struct Inner(Mutex<Option<Open>>);

struct Open {
    asked: Asked,
    sampling: Sampling,
    max_tokens: usize,
    answers: Vec<Progress>,
}

/// One answer so far.
#[derive(Default)]
struct Progress {
    /// What was told of it.
    text: String,
    calls: Vec<Call>,
    /// Tokens that were drawn, thrown away or not.
    drawn: Vec<TokenId>,
    redrawn: bool,
    end: Option<End>,
}

enum End {
    Ended { reason: FinishReason, output: usize },
    Failed,
}

impl Cue {
    /// Has this cue written down as what was asked by `said`, under the id of its reply.
    ///
    /// # Errors
    /// Too much waits to be written.
    pub(crate) fn filed(mut self, state: &AppState, said: Option<&Said>, id: &str) -> Result<Self, ApiError> {
        let Some(said) = said else { return Ok(self) };
        let (row, place) = (self.row(state, said, id), Some(state.filing.place(said)?));
        self.asked_for = Some(Asked { row, place, clock: Arc::clone(&state.clock), apart: false });
        Ok(self)
    }

    /// The same for a cue whose answer is a decision: its row is there to be taken ([`super::Generation::take_row`]) once
    /// the answer has ended. One that nobody has taken is written as that of an answer that nobody has seen.
    ///
    /// # Errors
    /// Too much waits to be written.
    pub(crate) fn filed_apart(mut self, state: &AppState, said: &Said, id: &str) -> Result<Self, ApiError> {
        let place = if state.config.every_cue { Some(state.filing.place(said)?) } else { None };
        let row = self.row(state, said, id);
        self.asked_for = Some(Asked { row, place, clock: Arc::clone(&state.clock), apart: true });
        Ok(self)
    }

    fn row(&self, state: &AppState, said: &Said, id: &str) -> Row {
        Row {
            id: id.to_owned(),
            conductor: self.cleared.conductor().clone(),
            key: self.key.clone(),
            endpoint: said.endpoint,
            target: self.model.name().to_owned(),
            pack: self.model.twin().map(|twin| twin.pack.digest()),
            model: state.models.base.digest,
            adapter: self.model.adapter().map(Adapter::digest),
            rules: None,
            computed_by: state.computed_by.clone(),
            calibration: None,
            seed: self.extra.seed(),
            drawn: None,
            passages: Vec::new(),
            why: self.params().intent.why.is_some(),
            tokens: (0, 0),
            ended: Ended::Complete,
            request: said.body.to_string(),
            answer: String::new(),
            at: Timestamp::MIN,
        }
    }
}

impl Asked {
    /// These passages were looked up for it.
    pub(super) fn cite(&mut self, cited: &[Citation]) {
        self.row.passages = cited.iter().map(|one| one.id().to_owned()).collect();
    }
}

impl Record {
    /// Begins with a number of answers to inputs of so many tokens together.
    pub(super) fn begin(
        mut asked: Asked,
        (sampling, max_tokens): (Sampling, usize),
        answers: usize,
        input: usize,
    ) -> Self {
        asked.row.tokens.0 = input;
        let answers = (0..answers).map(|_| Progress::default()).collect();
        Self(Arc::new(Inner(Mutex::new(Some(Open { asked, sampling, max_tokens, answers })))))
    }

    /// A token of an answer was drawn.
    pub(super) fn drew(&self, index: u32, token: TokenId) {
        self.with(index, |answer| answer.drawn.push(token));
    }

    /// Something was told of an answer.
    pub(super) fn saw(&self, index: u32, event: &Event) {
        self.with(index, |answer| match event {
            Event::Text(piece) => answer.text.push_str(&piece.text),
            Event::Call { name } => answer.calls.push(Call::new(name.clone())),
            Event::Arguments(more) => {
                if let Some(call) = answer.calls.last_mut() {
                    call.arguments.push_str(more);
                }
            }
            Event::End { reason, usage, kept } => {
                answer.redrawn = kept.as_ref().is_some_and(super::Kept::was_redrawn);
                answer.end = Some(End::Ended { reason: *reason, output: usage.output });
            }
            Event::Failed(_) => answer.end = Some(End::Failed),
        });
        let over = |open: &mut Open| !open.asked.apart && open.answers.iter().all(|answer| answer.end.is_some());
        let open = self.0.lock().take_if(over);
        if let Some(open) = open {
            open.file(Ended::Complete);
        }
    }

    /// The row of an answer that has ended, to be written by the caller.
    pub(super) fn take_row(&self) -> Option<Row> {
        let open = self.0.lock().take()?;
        let (row, _place) = open.row(Ended::Complete);
        Some(row)
    }

    /// The deadline has come: what is not over is cut off.
    pub(super) fn cut(&self) {
        let open = self.0.lock().take();
        if let Some(open) = open {
            open.file(Ended::CutOff);
        }
    }

    fn with(&self, index: u32, change: impl FnOnce(&mut Progress)) {
        if let Some(answer) = self.0.lock().as_mut().and_then(|open| open.answers.get_mut(index as usize)) {
            change(answer);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let open = self.lock().take();
        if let Some(open) = open {
            open.file(Ended::Disconnected);
        }
    }
}

impl Open {
    /// Writes the row; `ended` is how it ended unless an answer failed.
    fn file(self, ended: Ended) {
        if let (row, Some(place)) = self.row(ended) {
            place.file(row);
        }
    }

    /// The row, and the place for it.
    fn row(self, ended: Ended) -> (Row, Option<Place>) {
        let Self { asked: Asked { mut row, place, clock, .. }, sampling, max_tokens, answers } = self;
        let is = |wanted: FinishReason| {
            let wanted = |answer: &&Progress| matches!(answer.end, Some(End::Ended { reason, .. }) if reason == wanted);
            answers.iter().filter(wanted).count()
        };
        row.drawn = Some(Drawn {
            sampling,
            max_tokens,
            stopped: is(FinishReason::Stop),
            at_length: is(FinishReason::Length),
            redrawn: answers.iter().filter(|answer| answer.redrawn).count(),
            tokens: answers.iter().map(|answer| answer.drawn.clone()).collect(),
        });
        let failed = answers.iter().any(|answer| matches!(answer.end, Some(End::Failed)));
        row.ended = if failed { Ended::Failed } else { ended };
        row.tokens.1 = answers.iter().map(Progress::output).sum();
        row.answer = text_of(answers);
        row.at = Timestamp::from_second(clock()).unwrap_or(Timestamp::MIN);
        (row, place)
    }
}

impl Progress {
    fn output(&self) -> usize {
        match self.end {
            Some(End::Ended { output, .. }) => output,
            Some(End::Failed) | None => self.drawn.len(),
        }
    }

    /// Its text, or an object with what it called.
    fn json(&self) -> Value {
        if self.calls.is_empty() {
            return Value::from(self.text.as_str());
        }
        let calls: Vec<Value> =
            self.calls.iter().map(|call| json!({"name": call.name, "arguments": call.arguments})).collect();
        json!({"content": self.text, "tool_calls": calls})
    }
}

/// The one answer, or all of them as JSON.
fn text_of(mut answers: Vec<Progress>) -> String {
    match &mut answers[..] {
        [one] if one.calls.is_empty() => std::mem::take(&mut one.text),
        [one] => one.json().to_string(),
        several => several.iter().map(Progress::json).collect::<Value>().to_string(),
    }
}
