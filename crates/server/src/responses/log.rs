//! The events of a response in the background: who reads them may come late, leave, and come again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::watch;

use crate::http::Sse;

/// What was told so far. An event's number is its place.
pub(super) struct Log {
    told: Mutex<Told>,
    /// Wakes who reads.
    more: watch::Sender<()>,
}

#[derive(Default)]
struct Told {
    events: Vec<Bytes>,
    is_over: bool,
}

/// Reads a log from some event on, as it grows.
pub(super) struct LogStream {
    log: Arc<Log>,
    more: watch::Receiver<()>,
    next: usize,
}

/// Ends a log when it is dropped, however that comes.
pub(super) struct Writing(pub(super) Arc<Log>);

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { told: Mutex::default(), more: watch::Sender::new(()) })
    }

    pub(super) fn add(&self, events: Vec<Bytes>) {
        self.told().events.extend(events);
        self.more.send_replace(());
    }

    /// Bytes of all events.
    pub(super) fn size(&self) -> usize {
        self.told().events.iter().map(Bytes::len).sum()
    }

    /// The events after the one of number `after`, or all.
    pub(super) fn read(self: &Arc<Self>, after: Option<u64>) -> LogStream {
        let next = after.map_or(0, |after| usize::try_from(after).unwrap_or(usize::MAX).saturating_add(1));
        LogStream { log: Arc::clone(self), more: self.more.subscribe(), next }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.told().is_over = true;
        self.0.more.send_replace(());
    }
}

impl Sse for LogStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Before looking, so that nothing is missed that comes in between.
            self.more.mark_unchanged();
            {
                let told = self.log.told();
                if let Some(events) = told.events.get(self.next..).filter(|events| !events.is_empty()) {
                    self.next = told.events.len();
                    return Some(events.concat().into());
                }
                if told.is_over {
                    return None;
                }
            }
            self.more.changed().await.ok()?;
        }
    }
}

/// Events that are all there.
pub(super) struct Whole(pub(super) Vec<Bytes>);

impl Sse for Whole {
    async fn next(&mut self) -> Option<Bytes> {
        let events = std::mem::take(&mut self.0);
        (!events.is_empty()).then(|| events.concat().into())
    }
}
