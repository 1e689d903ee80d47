//! The answers to one request as one stream of events.

use std::pin::Pin;

use baton_contract::{Emission, FinishReason, Usage};
use baton_engine::{Emissions, EngineHandle};
use futures_util::FutureExt;
use futures_util::stream::{SelectAll, Stream, StreamExt, unfold};

use super::checked::{Checked, checked};
use super::record::Record;
use super::{ChoiceText, Kept, Piece};
use crate::error::ApiError;
use crate::metrics::Meter;

/// What happens to one answer: any number of `Text`s, then one `End` or `Failed`.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Text(Piece),
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
    pub(crate) meter: Meter,
    /// Tokens of prefix and prompt.
    pub(crate) input: usize,
    pub(super) record: Option<Record>,
}

/// Where a choice is.
enum State {
    Running(Box<Choice>),
    /// Its end is still to be told.
    Ending(Event),
    Over,
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
    unfold(State::Running(Box::new(choice)), next)
}

async fn next(state: State) -> Option<(Event, State)> {
    match state {
        State::Running(choice) => Some(advance(choice).await),
        State::Ending(end) => Some((end, State::Over)),
        State::Over => None,
    }
}

/// Reads emissions until there is something to tell.
async fn advance(mut choice: Box<Choice>) -> (Event, State) {
    loop {
        let (piece, end) = match choice.emissions.next().await {
            Some(Emission::Token { token, logprobs }) => {
                choice.meter.token();
                if let Some(record) = &choice.record {
                    record.drew(choice.index, token);
                }
                let (piece, stopped) = choice.text.push(token, logprobs);
                let end = stopped.then(|| Event::end(FinishReason::Stop, choice.usage_so_far()));
                (piece, end)
            }
            Some(Emission::Finished { reason, usage }) => (choice.text.finish(), Some(Event::end(reason, usage))),
            Some(Emission::Failed(message)) => return choice.fail(message),
            None => return choice.fail("the engine ended the answer without saying why".to_owned()),
        };
        if let Some(Event::End { reason, usage, .. }) = &end {
            choice.meter.end(*reason, usage);
        }
        match (end, piece.text.is_empty() && piece.tokens.is_empty()) {
            (None, true) => {}
            (None, false) => return (Event::Text(piece), State::Running(choice)),
            (Some(end), true) => return (end, State::Over),
            (Some(end), false) => return (Event::Text(piece), State::Ending(end)),
        }
    }
}

impl Event {
    fn end(reason: FinishReason, usage: Usage) -> Self {
        Self::End { reason, usage, kept: None }
    }
}

impl Choice {
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

    fn fail(&mut self, message: String) -> (Event, State) {
        self.meter.fail();
        (Event::Failed(ApiError::internal(message)), State::Over)
    }
}
