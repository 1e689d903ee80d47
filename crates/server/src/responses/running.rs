//! Responses in the background, while they are made. Nobody needs to wait for them; when one has ended, the ledger has it.
//! The events of the last few that have ended are kept for who lost the connection on the way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_contract::ConductorId;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::body::{Head, Status};
use super::chunks::ResponseStream;
use super::log::{Log, Writing};
use crate::cue::Generation;

/// Responses that have ended whose events are kept, at most.
const KEPT: usize = 64;
/// Bytes of all events that are kept of responses that have ended, at most.
const KEPT_BYTES: usize = 16 << 20;

/// All of them.
#[derive(Default)]
pub(crate) struct Running(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    runs: HashMap<String, Run>,
    /// The ids of those that have ended and their events, the oldest first.
    ended: VecDeque<(String, Arc<Log>)>,
}

struct Run {
    head: Head,
    conductor: ConductorId,
    /// Ends when the answer has ended. To abort it cancels the answer, and files what there is of it.
    task: JoinHandle<()>,
    log: Arc<Log>,
}

impl Running {
    /// Goes on with an answer until it has ended; the events of it as they come.
    pub(super) fn start(&self, head: Head, conductor: ConductorId, generation: Generation) -> Arc<Log> {
        let (all, id, log) = (Arc::clone(&self.0), head.id.clone(), Log::new());
        let mut stream = ResponseStream::new(head.clone(), generation);
        let writing = Writing(Arc::clone(&log));
        // Held until it is among them, so that it cannot leave before.
        let mut running = self.all();
        let task = tokio::spawn(async move {
            while let Some(events) = stream.events().await {
                writing.0.add(events);
            }
            if let Some(error) = stream.failure() {
                tracing::warn!(error, "a response in the background failed");
            }
            // Files it.
            drop(stream);
            all.lock().unwrap_or_else(PoisonError::into_inner).ended(&id);
        });
        running.runs.insert(head.id.clone(), Run { head, conductor, task, log: Arc::clone(&log) });
        log
    }

    /// The events of one in progress.
    pub(super) fn log(&self, id: &str, conductor: &ConductorId) -> Option<Arc<Log>> {
        let all = self.all();
        all.runs.get(id).filter(|run| run.conductor == *conductor).map(|run| Arc::clone(&run.log))
    }

    /// The events of one that has ended, if they are kept. Whether the caller may read it was found out already.
    pub(super) fn ended_log(&self, id: &str) -> Option<Arc<Log>> {
        self.all().ended.iter().find(|(ended, _)| ended == id).map(|(_, log)| Arc::clone(log))
    }

    /// Keeps the events of one no longer.
    pub(super) fn forget(&self, id: &str) {
        self.all().ended.retain(|(ended, _)| ended != id);
    }

    /// Whether a conductor's own response is in progress.
    pub(super) fn has(&self, id: &str, conductor: &ConductorId) -> bool {
        self.all().runs.get(id).is_some_and(|run| run.conductor == *conductor)
    }

    /// One in progress.
    pub(super) fn body(&self, id: &str, conductor: &ConductorId) -> Option<Value> {
        let all = self.all();
        let run = all.runs.get(id).filter(|run| run.conductor == *conductor)?;
        Some(run.head.body(Status::InProgress, &[], None, None))
    }

    /// What one in progress is told.
    pub(super) fn input(&self, id: &str, conductor: &ConductorId) -> Option<Vec<Value>> {
        let all = self.all();
        let run = all.runs.get(id).filter(|run| run.conductor == *conductor)?;
        run.head.filed["input"].as_array().cloned()
    }

    /// Cancels one in progress; when it returns, what there is of it was filed.
    pub(super) async fn cancel(&self, id: &str, conductor: &ConductorId) {
        let run = {
            let mut all = self.all();
            if all.runs.get(id).is_none_or(|run| run.conductor != *conductor) {
                return;
            }
            all.runs.remove(id)
        };
        if let Some(run) = run {
            end(run).await;
        }
    }

    /// Cancels all.
    pub(crate) async fn end(&self) {
        let all: Vec<Run> = self.all().runs.drain().map(|(_, run)| run).collect();
        for run in all {
            end(run).await;
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// One has ended by itself.
    fn ended(&mut self, id: &str) {
        let Some(run) = self.runs.remove(id) else { return };
        self.ended.push_back((id.to_owned(), run.log));
        let size = |ended: &VecDeque<(String, Arc<Log>)>| ended.iter().map(|(_, log)| log.size()).sum::<usize>();
        while self.ended.len() > KEPT || size(&self.ended) > KEPT_BYTES {
            self.ended.pop_front();
        }
    }
}

async fn end(run: Run) {
    run.task.abort();
    // It was aborted, or had ended by itself.
    drop(run.task.await);
}
