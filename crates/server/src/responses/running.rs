//! Responses in the background, while they are made. Nobody waits for them; when one has ended, the ledger has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_contract::ConductorId;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::body::{Head, Status};
use crate::cue::{Generation, collect};

/// All of them.
#[derive(Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Run>>>);

struct Run {
    head: Head,
    conductor: ConductorId,
    /// Ends when the answer has ended. To abort it cancels the answer, and files what there is of it.
    task: JoinHandle<()>,
}

impl Running {
    /// Goes on with an answer until it has ended.
    pub(super) fn start(&self, head: Head, conductor: ConductorId, mut generation: Generation) {
        let (all, id) = (Arc::clone(&self.0), head.id.clone());
        // Held until it is among them, so that it cannot leave before.
        let mut running = self.all();
        let task = tokio::spawn(async move {
            if let Err(error) = collect(&mut generation, 1).await {
                tracing::warn!(error = error.message(), "a response in the background failed");
            }
            drop(generation);
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        running.insert(head.id.clone(), Run { head, conductor, task });
    }

    /// Whether a conductor's own response is in progress.
    pub(super) fn has(&self, id: &str, conductor: &ConductorId) -> bool {
        self.all().get(id).is_some_and(|run| run.conductor == *conductor)
    }

    /// One in progress.
    pub(super) fn body(&self, id: &str, conductor: &ConductorId) -> Option<Value> {
        let all = self.all();
        let run = all.get(id).filter(|run| run.conductor == *conductor)?;
        Some(run.head.body(Status::InProgress, &[], None, None))
    }

    /// What one in progress is told.
    pub(super) fn input(&self, id: &str, conductor: &ConductorId) -> Option<Vec<Value>> {
        let all = self.all();
        let run = all.get(id).filter(|run| run.conductor == *conductor)?;
        run.head.filed["input"].as_array().cloned()
    }

    /// Cancels one in progress; when it returns, what there is of it was filed.
    pub(super) async fn cancel(&self, id: &str, conductor: &ConductorId) {
        let run = {
            let mut all = self.all();
            if all.get(id).is_none_or(|run| run.conductor != *conductor) {
                return;
            }
            all.remove(id)
        };
        if let Some(run) = run {
            end(run).await;
        }
    }

    /// Cancels all.
    pub(crate) async fn end(&self) {
        let all: Vec<Run> = self.all().drain().map(|(_, run)| run).collect();
        for run in all {
            end(run).await;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end(run: Run) {
    run.task.abort();
    // It was aborted, or had ended by itself.
    drop(run.task.await);
}
