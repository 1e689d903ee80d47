//! Waiting for people: until a decision waits no more, for some time or as a stream.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use baton_authority::docket::{DecisionId, Standing};
use tokio::sync::watch;
use tokio::time::Instant;

use super::routes::{Role, status};
use crate::conductors::Slot;
use crate::http::{Sse, done, event};
use crate::state::AppState;

/// Waits until the decision waits no more, until the time is over or the server ends.
pub(super) async fn settled(state: &AppState, id: &DecisionId, wait: Duration) {
    let deadline = Instant::now() + wait;
    let mut changes = state.desk.changes();
    while standing(state, id).is_some_and(Standing::is_waiting) {
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(deadline) => return,
            () = state.desk.ended() => return,
        }
    }
}

/// Tells where a decision stands: at once, whenever it stands elsewhere, and for the last time once it waits no more. A
/// stream that the end of the server cuts has no `[DONE]`; its client asks again.
pub(super) struct Waiting {
    state: Arc<AppState>,
    id: DecisionId,
    role: Role,
    changes: watch::Receiver<u64>,
    /// Where it stood when it was last told.
    told: Option<Standing>,
    over: bool,
    /// Held as long as somebody listens.
    _place: Option<Slot>,
}

impl Waiting {
    pub(super) fn new(state: Arc<AppState>, id: DecisionId, role: Role, place: Option<Slot>) -> Self {
        // From before the first look on, so that nothing is missed after it.
        let changes = state.desk.changes();
        Self { state, id, role, changes, told: None, over: false, _place: place }
    }
}

impl Sse for Waiting {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        loop {
            let stands = standing(&self.state, &self.id)?;
            if self.told != Some(stands) {
                break;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = self.state.desk.ended() => return None,
            }
        }
        let mut piece = Vec::new();
        match status(&self.state, self.id.clone(), self.role).await {
            Ok(status) => {
                // As it is told, which may be later than the look.
                let stands = Standing::from_word(status.standing())?;
                event(&mut piece, &status);
                self.told = Some(stands);
                if !stands.is_waiting() {
                    self.over = true;
                    done(&mut piece);
                }
            }
            Err(error) => {
                event(&mut piece, &error.body());
                self.over = true;
            }
        }
        Some(piece.into())
    }
}

fn standing(state: &AppState, id: &DecisionId) -> Option<Standing> {
    state.desk.register().look(|docket| docket.status(id).map(baton_authority::docket::Decision::standing))
}
