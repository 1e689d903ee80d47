//! The answers of all twins as they come, until the last or the deadline.

use axum::body::Bytes;
use tokio::time::{Instant, timeout_at};

use super::panel::Panel;
use crate::cue::{Event, Generation};
use crate::http::{Sse, done, event};

/// Turns the events of all twins into events of the stream.
pub(super) struct CueStream {
    pub(super) panel: Panel,
    /// `None` once the joined answer was sent.
    generation: Option<Generation>,
    deadline: Option<Instant>,
}

impl CueStream {
    pub(super) fn new(panel: Panel, generation: Generation, deadline: Option<Instant>) -> Self {
        Self { panel, generation: Some(generation), deadline }
    }

    /// What happens next; `None` after the last answer and at the deadline.
    async fn happened(&mut self) -> Option<(u32, Event)> {
        let generation = self.generation.as_mut()?;
        match self.deadline {
            Some(deadline) => timeout_at(deadline, generation.next()).await.ok()?,
            None => generation.next().await,
        }
    }

    /// Waits for the last answer or the deadline.
    pub(super) async fn collect(mut self) -> Panel {
        while let Some((index, happened)) = self.happened().await {
            self.panel.take(index, happened);
        }
        if let Some(generation) = self.generation.take() {
            generation.cut();
        }
        self.panel
    }

    fn told(&mut self, index: u32, happened: Event) -> Vec<u8> {
        let mut piece = Vec::new();
        let delta = match &happened {
            Event::Text(part) => Some(part.text.clone()),
            Event::End { .. } | Event::Failed(_) => None,
            // Only chats offer tools.
            Event::Call { .. } | Event::Arguments(_) => return piece,
        };
        if self.panel.take(index, happened).is_some() {
            let seat = &self.panel.seats[index as usize];
            match delta {
                Some(delta) => event(&mut piece, &self.panel.delta(seat, &delta)),
                None => event(&mut piece, &self.panel.answer(seat)),
            }
        }
        piece
    }
}

impl Sse for CueStream {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some((index, happened)) = self.happened().await {
            return Some(self.told(index, happened).into());
        }
        self.generation.take()?.cut();
        let mut piece = Vec::new();
        event(&mut piece, &self.panel.joined().await);
        done(&mut piece);
        Some(piece.into())
    }
}
