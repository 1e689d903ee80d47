//! The answers to one request as one stream of events.

use std::collections::VecDeque;
use std::pin::Pin;

use baton_contract::{Emission, FinishReason, Usage};
use baton_engine::{Emissions, EngineHandle};
use baton_text::{CallPart, CallReader};
use futures_util::FutureExt;
use futures_util::stream::{SelectAll, Stream, StreamExt, unfold};

use super::checked::{Checked, checked};
use super::record::Record;
use super::{ChoiceText, Kept, Piece};
use crate::error::ApiError;
use crate::metrics::Meter;

/// What happens to one answer: any number of `Text`s and calls, then one `End` or `Failed`.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Text(Piece),
    /// A call of a tool begins.
    Call {
        name: String,
    },
    /// More of the last call's arguments.
    Arguments(String),
    End {
        reason: FinishReason,
        usage: Usage,
        /// How it was drawn, if it was checked.
        kept: Option<Kept>,
    },
    Failed(ApiError),
}

/// All answers to a request, interleaved as they come. Dropping it cancels what is not finished.
pub(crate) struct Generation {
    events: SelectAll<Events>,
    /// What is written down of it, if anything is.
    records: Vec<Record>,
}

type Events = Pin<Box<dyn Stream<Item = (u32, Event)> + Send>>;

/// One answer in the making.
pub(crate) struct Choice {
    pub(crate) index: u32,
    pub(crate) emissions: Emissions,
    pub(crate) engine: EngineHandle,
    pub(crate) text: ChoiceText,
    /// Reads calls from it, if there may be any.
    pub(crate) calls: Option<CallReader>,
    pub(crate) meter: Meter,
    /// Tokens of prefix and prompt.
    pub(crate) input: usize,
    pub(super) record: Option<Record>,
}

/// Where a choice is.
struct State {
    /// What is still to be told.
    ready: VecDeque<Event>,
    /// None once it has ended.
    choice: Option<Box<Choice>>,
}

impl Generation {
    /// Answers that are told as they come.
    pub(crate) fn new(choices: Vec<Choice>) -> Self {
        let records = choices.first().and_then(|choice| choice.record.clone()).into_iter().collect();
        let streams = choices.into_iter().map(|choice| {
            let (index, record) = (choice.index, choice.record.clone());
            told(index, events(choice), record)
        });
        Self { events: streams.collect(), records }
    }

    /// Answers that are told when they have been checked.
    pub(super) fn checked(choices: Vec<Checked>) -> Self {
        let records = choices.first().and_then(|choice| choice.first.record.clone()).into_iter().collect();
        let streams = choices.into_iter().map(|choice| {
            let (index, record) = (choice.first.index, choice.first.record.clone());
            told(index, checked(choice), record)
        });
        Self { events: streams.collect(), records }
    }

    /// Several as one: an answer's index becomes that of its generation, so each of them has one answer.
    pub(crate) fn join(generations: Vec<Self>) -> Self {
        let (mut streams, mut records) = (SelectAll::new(), Vec::new());
        for (number, generation) in (0_u32..).zip(generations) {
            for events in generation.events {
                streams.push(Box::pin(events.map(move |(_, event)| (number, event))) as Events);
            }
            records.extend(generation.records);
        }
        Self { events: streams, records }
    }

    /// The next event and the index of its answer; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<(u32, Event)> {
        self.events.next().await
    }

    /// The row of an answer that is filed apart and has ended.
    pub(crate) fn take_row(&self) -> Option<baton_register::Cue> {
        self.records.first().and_then(Record::take_row)
    }

    /// Ends it at its deadline; what is not finished is cancelled.
    pub(crate) fn cut(self) {
        for record in &self.records {
            record.cut();
        }
    }
}

/// The events of one answer as they are told: numbered, and written down.
fn told(index: u32, events: impl Stream<Item = Event> + Send + 'static, record: Option<Record>) -> Events {
    Box::pin(events.map(move |event| {
        if let Some(record) = &record {
            record.saw(index, &event);
        }
        (index, event)
    }))
}

/// What happens to one answer.
pub(super) fn events(choice: Choice) -> impl Stream<Item = Event> + Send {
    unfold(State { ready: VecDeque::new(), choice: Some(Box::new(choice)) }, next)
}

async fn next(mut state: State) -> Option<(Event, State)> {
    loop {
        if let Some(event) = state.ready.pop_front() {
            return Some((event, state));
        }
        let mut choice = state.choice.take()?;
        let emission = choice.emissions.next().await;
        if choice.took(emission, &mut state.ready) {
            state.choice = Some(choice);
        }
    }
}

impl From<CallPart> for Event {
    fn from(part: CallPart) -> Self {
        match part {
            CallPart::Text(text) => Self::Text(Piece { text, tokens: Vec::new() }),
            CallPart::Call { name } => Self::Call { name },
            CallPart::Arguments(more) => Self::Arguments(more),
        }
    }
}

impl Event {
    fn end(reason: FinishReason, usage: Usage) -> Self {
        Self::End { reason, usage, kept: None }
    }
}

impl Choice {
    /// Takes the next emission and says what is to be told of it; false if it was the last.
    fn took(&mut self, emission: Option<Emission>, told: &mut VecDeque<Event>) -> bool {
        let (piece, end) = match emission {
            Some(Emission::Token { token, logprobs }) => {
                self.meter.token();
                if let Some(record) = &self.record {
                    record.drew(self.index, token);
                }
                let mark = self.calls.as_mut().and_then(|calls| calls.mark(token));
                told.extend(mark.into_iter().flatten().map(Event::from));
                let (piece, stopped) = self.text.push(token, logprobs);
                let end = stopped.then(|| Event::end(FinishReason::Stop, self.usage_so_far()));
                (piece, end)
            }
            Some(Emission::Finished { reason, usage }) => (self.text.finish(), Some(Event::end(reason, usage))),
            Some(Emission::Failed(message)) => return self.fail(message, told),
            None => return self.fail("the engine ended the answer without saying why".to_owned(), told),
        };
        let ended = end.as_ref().and_then(|end| match end {
            Event::End { reason, .. } => Some(*reason),
            _ => None,
        });
        self.tell(piece, ended, told);
        let Some(end) = end else { return true };
        if let Event::End { reason, usage, .. } = &end {
            self.meter.end(*reason, usage);
        }
        told.push_back(end);
        false
    }

    /// Tells a piece of text, or what is called in it; `ended` says how if it is the last.
    fn tell(&mut self, mut piece: Piece, ended: Option<FinishReason>, told: &mut VecDeque<Event>) {
        let Some(calls) = &mut self.calls else {
            if !(piece.text.is_empty() && piece.tokens.is_empty()) {
                told.push_back(Event::Text(piece));
            }
            return;
        };
        let mut parts = calls.push(&piece.text);
        if let Some(reason) = ended {
            parts.extend(calls.finish(reason == FinishReason::Length));
        }
        // Every token is reported, also where it has become a part of a call.
        if !piece.tokens.is_empty() {
            piece.text.clear();
            told.push_back(Event::Text(piece));
        }
        told.extend(parts.into_iter().map(Event::from));
    }

    /// What the answer has cost when a stop string ends it, which the engine does not know.
    fn usage_so_far(&mut self) -> Usage {
        let output = self.meter.tokens();
        let live = self.engine.status().scheduler.usage.get(&self.emissions.sequence()).map(|usage| usage.cached);
        // The engine may have been faster and finished already.
        let cached = live.or_else(|| {
            loop {
                match self.emissions.next().now_or_never()?? {
                    Emission::Token { .. } => {}
                    Emission::Finished { usage, .. } => return Some(usage.cached),
                    Emission::Failed(_) => return None,
                }
            }
        });
        Usage { input: self.input, cached: cached.unwrap_or(0), output }
    }

    fn fail(&mut self, message: String, told: &mut VecDeque<Event>) -> bool {
        self.meter.fail();
        told.push_back(Event::Failed(ApiError::internal(message)));
        false
    }
}
