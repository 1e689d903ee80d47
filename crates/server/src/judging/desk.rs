//! What decisions are judged by, and where they are kept.

use std::sync::{Arc, PoisonError, RwLock};

use baton_authority::{DecisionSpace, Standards};
use baton_contract::{Digest, TwinId};
use baton_ledger::Ledger;
use baton_pack::Date;
use baton_register::{Change, Cue, Gap, Held, Register, record};
use baton_rules::RuleSet;
use jiff::Timestamp;
use tokio::sync::watch;

use super::Unrecorded;
use super::moves::moved;
use crate::error::ApiError;
use crate::twins::Models;

/// Who has loaded rules and packs.
const SELF: &str = "baton";

/// What decisions are judged by from now on, until an architect moves the line.
pub(crate) struct Law {
    pub(crate) rules: RuleSet,
    pub(crate) spaces: Vec<DecisionSpace>,
}

/// What decisions are judged by, and where they are kept.
pub(crate) struct Desk {
    register: Arc<Register>,
    /// The rules as they were loaded, before architects moved any.
    loaded: RwLock<RuleSet>,
    law: RwLock<Arc<Law>>,
    /// Answers that went out without a row.
    pub(crate) unrecorded: Arc<Unrecorded>,
    /// Counts what has happened to decisions.
    changed: watch::Receiver<u64>,
    /// Whether the server ends, so that nobody is kept waiting for people.
    ending: watch::Sender<bool>,
}

impl Desk {
    /// Rebuilds the docket from the ledger, and moves the rules as architects have accepted.
    ///
    /// # Errors
    /// The ledger cannot be read, or its rows do not make a docket.
    pub(crate) fn open(
        ledger: Ledger,
        rules: RuleSet,
        spaces: Vec<DecisionSpace>,
    ) -> Result<Self, baton_register::Error> {
        let (tell, changed) = watch::channel(0);
        let register = Register::open(ledger, move |_| tell.send_modify(|count| *count += 1))?;
        let moved = register.rulings(|rulings| moved(&rules, rulings));
        let law = RwLock::new(Arc::new(Law { rules: moved, spaces }));
        Ok(Self {
            register: Arc::new(register),
            loaded: RwLock::new(rules),
            law,
            unrecorded: Arc::default(),
            changed,
            ending: watch::Sender::new(false),
        })
    }

    /// Has the ledger say which rules and packs hold from now on, where it does not say so yet. What cannot be written
    /// now is written at the next start.
    pub(crate) fn take_stock(&self, models: &Models, at: Timestamp) {
        let twins = models.twins();
        let packs = twins.iter().map(|(id, twin)| Held::Pack {
            twin: id.clone(),
            version: twin.pack.manifest().version.clone(),
            digest: twin.pack.digest(),
            rules: self.rules_for(id),
        });
        let held = [Held::Rules { digest: self.law().rules.digest() }].into_iter().chain(packs);
        let changes: Vec<Change> = held.map(|what| Change { what, by: SELF.to_owned(), at }).collect();
        match record(self.register.ledger(), &changes) {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "other rules or packs than before; the ledger has them"),
            Err(error) => tracing::error!(%error, "the ledger does not have the rules and packs in use"),
        }
    }

    /// Docket and ledger, for a short look.
    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// Docket and ledger, for those who keep them.
    pub(crate) fn shared(&self) -> Arc<Register> {
        Arc::clone(&self.register)
    }

    /// Works on docket and ledger on a thread that may block. The work is done even if nobody waits for it any more: what
    /// is in the ledger must count.
    ///
    /// # Errors
    /// What `work` says.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Register) -> Result<T, baton_register::Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let register = Arc::clone(&self.register);
        let done = tokio::task::spawn_blocking(move || work(&register)).await;
        Ok(done.map_err(|_| ApiError::internal("the record could not be kept"))??)
    }

    /// Records an answer that nothing depends on. What cannot be recorded is counted: nobody is to wait for it.
    pub(crate) async fn note(&self, cue: Cue) {
        let at = cue.at;
        let noted = self.run(move |register| register.append(cue.entry()?)).await;
        if noted.is_err() {
            self.missed(at);
        }
    }

    /// Counts an answer that goes out without a row.
    pub(crate) fn missed(&self, at: Timestamp) {
        tracing::error!("an answer was given that the ledger does not have");
        self.unrecorded.miss(Gap::of_one(at));
    }

    /// Has the ledger say how many answers it does not have, if it does not know yet. What cannot be written now is
    /// tried again the next time.
    pub(crate) async fn tell_missed(&self, at: Timestamp) {
        let Some(gap) = self.unrecorded.take() else { return };
        let told = gap.clone();
        match self.run(move |register| register.append(told.entry(SELF, at)?)).await {
            Ok(_) => tracing::warn!(answers = gap.answers, "the ledger now says how many answers it does not have"),
            Err(_) => self.unrecorded.put_back(gap),
        }
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.clone();
        changes.mark_unchanged();
        changes
    }

    /// Lets go of all who wait for people: the server ends.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until the server ends.
    pub(crate) async fn ended(&self) {
        // The sender is here, so it never goes before that.
        drop(self.ending.subscribe().wait_for(|ending| *ending).await);
    }

    /// What decisions are judged by now.
    pub(crate) fn law(&self) -> Arc<Law> {
        Arc::clone(&self.law.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has decisions judged by what architects have accepted so far.
    pub(crate) fn enact(&self) {
        // Under the lock of the rulings, so that the last one enacts what all have accepted.
        self.register.rulings(|rulings| {
            let rules = moved(&self.loaded.read().unwrap_or_else(PoisonError::into_inner), rulings);
            let mut law = self.law.write().unwrap_or_else(PoisonError::into_inner);
            *law = Arc::new(Law { rules, spaces: law.spaces.clone() });
        });
    }

    /// Has decisions judged by other rules, moved as architects have accepted, and by other spaces.
    pub(crate) fn load(&self, rules: RuleSet, spaces: Vec<DecisionSpace>) {
        self.register.rulings(|rulings| {
            let law = Law { rules: moved(&rules, rulings), spaces };
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = rules;
            *self.law.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(law);
        });
    }

    /// The digest of the rules that stand on decisions of `twin`.
    pub(crate) fn rules_for(&self, twin: &TwinId) -> Digest {
        self.law().rules.digest_for(Some(twin))
    }
}

impl Law {
    pub(crate) fn standards(&self, today: Date) -> Standards<'_> {
        Standards { rules: &self.rules, spaces: &self.spaces, today }
    }
}

#[cfg(test)]
mod tests {
    use baton_ledger::{Options, Secret, Signer};
    use baton_register::gaps_of;

    use super::*;

    #[tokio::test]
    async fn answers_without_a_row_are_told_once_there_can_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let drawn = std::sync::atomic::AtomicU8::new(1);
        let ledger = Ledger::open(Options {
            path: folder.path().join("ledger.db"),
            secret: Secret::new(&[7; 32]),
            signer: Signer::from_seed(&[9; 32]),
            random: Arc::new(move |bytes| {
                bytes.fill(drawn.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                Ok(())
            }),
        });
        let ledger = ledger.unwrap();
        let reader = ledger.reader().unwrap();
        let rules = RuleSet::shipped().unwrap();
        let desk = Desk::open(ledger.clone(), rules, Vec::new()).unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let told = || gaps_of(&reader, Timestamp::MIN).unwrap();
        desk.tell_missed(at(0)).await;
        assert_eq!(told(), [], "there is nothing to tell");
        desk.missed(at(1));
        desk.missed(at(5));
        desk.tell_missed(at(9)).await;
        let gap = Gap { answers: 2, from: at(1), until: at(5) };
        assert_eq!(told(), std::slice::from_ref(&gap));
        desk.tell_missed(at(10)).await;
        assert_eq!(told(), [gap], "it is told once");
        // What cannot be told now is not forgotten.
        desk.missed(at(11));
        ledger.close().await.unwrap();
        desk.tell_missed(at(12)).await;
        assert_eq!((desk.unrecorded.take().map(|gap| gap.answers), desk.unrecorded.count()), (Some(1), 3));
    }
}
