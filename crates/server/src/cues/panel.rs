//! The answers of all twins while they come in.

use baton_contract::{FinishReason, Usage};
use baton_encoder::EncoderHandle;

use super::agreement::{Agreement, compare_all};
use super::types::{AnswerBody, AnswerEvent, DeltaEvent, Head, Joined, Status};
use crate::cue::{BatonExtra, Event, UsageBody, finish_reason, total};
use crate::error::ApiError;

/// What there is of every twin's answer.
pub(super) struct Panel {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) fingerprint: String,
    pub(super) seats: Vec<Seat>,
    /// Tells what means the same, if a model for it is loaded.
    pub(super) encoder: Option<EncoderHandle>,
}

/// One twin's answer so far.
pub(super) struct Seat {
    pub(super) twin: String,
    pub(super) extra: BatonExtra,
    text: String,
    end: Option<End>,
}

enum End {
    Ended { reason: FinishReason, usage: Usage },
    Failed(ApiError),
}

impl Seat {
    pub(super) fn new(twin: String, extra: BatonExtra) -> Self {
        Self { twin, extra, text: String::new(), end: None }
    }

    fn status(&self) -> Status {
        match &self.end {
            Some(End::Ended { .. }) => Status::Complete,
            Some(End::Failed(_)) => Status::Failed,
            None if self.text.is_empty() => Status::Missing,
            None => Status::Partial,
        }
    }

    fn usage(&self) -> Option<Usage> {
        match &self.end {
            Some(End::Ended { usage, .. }) => Some(*usage),
            Some(End::Failed(_)) | None => None,
        }
    }

    fn body(&self) -> AnswerBody<'_> {
        let (finish_reason, error) = match &self.end {
            Some(End::Ended { reason, .. }) => (Some(finish_reason(*reason)), None),
            Some(End::Failed(error)) => (None, Some(error.message().to_owned())),
            None => (None, None),
        };
        AnswerBody {
            twin: &self.twin,
            status: self.status(),
            content: &self.text,
            finish_reason,
            error,
            usage: self.usage().map(UsageBody::new),
            baton: &self.extra,
        }
    }
}

impl Panel {
    /// Takes what happened to one answer.
    pub(super) fn take(&mut self, index: u32, happened: Event) -> Option<&Seat> {
        let seat = self.seats.get_mut(index as usize)?;
        match happened {
            Event::Text(piece) => seat.text.push_str(&piece.text),
            Event::End { reason, usage, kept } => {
                seat.extra = seat.extra.with_answers(kept);
                seat.end = Some(End::Ended { reason, usage });
            }
            Event::Failed(error) => seat.end = Some(End::Failed(error)),
            // Only chats offer tools.
            Event::Call { .. } | Event::Arguments(_) => {}
        }
        Some(seat)
    }

    pub(super) fn delta<'a>(&self, seat: &'a Seat, delta: &'a str) -> DeltaEvent<'a> {
        DeltaEvent { head: self.head("cue.delta"), twin: &seat.twin, delta }
    }

    pub(super) fn answer<'a>(&self, seat: &'a Seat) -> AnswerEvent<'a> {
        AnswerEvent { head: self.head("cue.answer"), answer: seat.body() }
    }

    /// All answers as they are now, and how they compare.
    pub(super) async fn joined(&self) -> Joined<'_> {
        let usages: Vec<Usage> = self.seats.iter().filter_map(Seat::usage).collect();
        let is_open = |seat: &Seat| matches!(seat.status(), Status::Partial | Status::Missing);
        Joined {
            head: self.head("cue"),
            system_fingerprint: &self.fingerprint,
            answers: self.seats.iter().map(Seat::body).collect(),
            deadline_reached: self.seats.iter().any(is_open),
            agreement: self.agreement().await,
            usage: UsageBody::new(total(&usages, 1)),
        }
    }

    /// An answer that failed has said nothing that counts.
    async fn agreement(&self) -> Agreement {
        let heard = self.seats.iter().filter(|seat| seat.status() != Status::Failed);
        let heard: Vec<_> = heard.map(|seat| (seat.twin.as_str(), seat.text.as_str())).collect();
        compare_all(&heard, self.encoder.as_ref()).await
    }

    fn head(&self, object: &'static str) -> Head {
        Head { id: self.id.clone(), object, created: self.created }
    }
}
