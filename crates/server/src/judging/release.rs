//! From an approval to the release: over the texts as the ledger has them, under what is loaded now.

use baton_authority::docket::{Approve, Bound, DecisionId, Event, Expert};
use baton_contract::{Adapter, Digest, TwinId};
use baton_register::{Error, Register};
use jiff::Timestamp;

use super::Desk;
use crate::twins::Models;

/// The digests of what is loaded now.
#[derive(Clone, Copy)]
pub(super) struct Loaded {
    pack: Digest,
    model: Digest,
    adapter: Option<Digest>,
    rules: Digest,
}

impl Loaded {
    /// What decisions of `twin` are made from.
    pub(super) fn of(models: &Models, desk: &Desk, twin: &TwinId) -> Self {
        // A twin that is gone has no pack that anything could have been held under.
        let twins = models.twins();
        let loaded = twins.get(twin);
        let pack = loaded.map_or(Digest::of(b""), |twin| twin.pack.digest());
        let adapter = loaded.and_then(|twin| twin.adapter.as_ref()).map(Adapter::digest);
        Self { pack, adapter, model: models.base.digest, rules: desk.rules_for(twin) }
    }
}

/// Approves what is held and releases it at once.
///
/// # Errors
/// The expert may not, it does not wait for that, or the ledger cannot be used.
pub(super) fn approve(
    register: &Register,
    id: &DecisionId,
    expert: &Expert,
    (seen, expires, at): (Digest, Timestamp, Timestamp),
    loaded: Loaded,
) -> Result<(), Error> {
    let current = current(register, id, loaded)?;
    let wish = Approve { id, expert, seen, current: &current, expires };
    let event = register.act(|docket| docket.approve(&wish, at))?;
    if matches!(event, Event::Approved(_)) {
        register.act(|docket| docket.release(id, &current, at))?;
    }
    Ok(())
}

/// Releases what was approved before the server ended, for it may have ended in between. What has changed since is
/// voided, and an approval whose time is over is left to expire.
pub(crate) fn release_approved(desk: &Desk, models: &Models, at: Timestamp) {
    let register = desk.register();
    let ids = register.look(|docket| {
        let approved = docket.approved();
        approved.into_iter().map(|one| (one.id().clone(), one.opening().twin.clone())).collect::<Vec<_>>()
    });
    for (id, twin) in ids {
        let loaded = Loaded::of(models, desk, &twin);
        let released =
            current(register, &id, loaded).and_then(|current| register.act(|docket| docket.release(&id, &current, at)));
        match released {
            Ok(Event::Released { .. }) => {
                tracing::info!(decision = %id, "released, as it was approved before the start");
            }
            Ok(_) => tracing::warn!(decision = %id, "voided: what was approved before the start has changed"),
            Err(Error::Rejected(why)) => {
                tracing::info!(decision = %id, %why, "approved before the start, not released");
            }
            Err(error) => tracing::error!(decision = %id, %error, "what was approved cannot be released"),
        }
    }
}

/// Voids what waits and was made from something that is not loaded any more, so that nobody waits in vain.
///
/// # Errors
/// The ledger cannot be used; what was not voided is when somebody approves it.
pub(crate) fn void_changed(desk: &Desk, models: &Models, at: Timestamp) -> Result<usize, Error> {
    let register = desk.register();
    let waiting = register.look(|docket| {
        let waiting = docket.waiting_for_people().into_iter().filter(|one| one.standing().is_waiting());
        waiting.map(|one| (one.id().clone(), one.opening().twin.clone())).collect::<Vec<_>>()
    });
    let mut voided = 0;
    for (id, twin) in waiting {
        let current = current(register, &id, Loaded::of(models, desk, &twin))?;
        match register.act_if(|docket| docket.recheck(&id, &current, at)) {
            Ok(Some(_)) => voided += 1,
            // Somebody has answered it in between.
            Ok(None) | Err(Error::Rejected(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(voided)
}

/// What a decision is bound to as of now. A text that was erased or changed has another digest than the held one, and
/// so voids the decision.
pub(super) fn current(register: &Register, id: &DecisionId, loaded: Loaded) -> Result<Bound, Error> {
    let row = register.look(|docket| docket.get(id).map(|decision| decision.opening().text))?;
    let record = register.ledger().reader()?.entry(row.0)?;
    let digest = |name: &str| Digest::of(record.text(name).unwrap_or_default().as_bytes());
    let Loaded { pack, model, adapter, rules } = loaded;
    Ok(Bound { request: digest("request"), answer: digest("answer"), pack, model, adapter, rules })
}
