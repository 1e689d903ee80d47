//! What waits for whom.

use baton_contract::ConductorId;
use jiff::Timestamp;

use super::{Decision, Docket, Event, Expert, Standing};

impl Docket {
    /// What is held and waits for an approval that `expert` may give, the oldest first.
    pub fn pending<'a>(&'a self, expert: &'a Expert) -> Vec<&'a Decision> {
        self.queue(Standing::Held, expert)
    }

    /// What is released on an assumption that `expert` may check, the oldest first.
    pub fn review_queue<'a>(&'a self, expert: &'a Expert) -> Vec<&'a Decision> {
        self.queue(Standing::InReview, expert)
    }

    /// What is approved and not released yet, the oldest first: a server that starts again goes on with these.
    pub fn approved(&self) -> Vec<&Decision> {
        by_age(self.open().filter(|decision| decision.standing() == Standing::Approved))
    }

    /// Everything that waits for a person: held, approved or in review, the oldest first.
    pub fn waiting_for_people(&self) -> Vec<&Decision> {
        by_age(self.open())
    }

    /// A conductor's own decisions, the newest first.
    pub fn of(&self, conductor: &ConductorId) -> Vec<&Decision> {
        let mut own = by_age(self.ids_of(conductor).filter_map(|id| self.status(id)));
        own.reverse();
        own
    }

    /// An event for each decision whose time is over at `now`, the first that was over first.
    pub fn expire(&self, now: Timestamp) -> Vec<Event> {
        let mut over: Vec<_> = self.open().filter_map(|one| Some((one.due()?, one.id()))).collect();
        over.retain(|(due, _)| *due <= now);
        over.sort();
        over.into_iter().map(|(_, id)| Event::Expired { id: id.clone(), at: now }).collect()
    }

    /// When [`Docket::expire`] will next have something to say.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.open().filter_map(Decision::due).min()
    }

    fn queue<'a>(&'a self, standing: Standing, expert: &'a Expert) -> Vec<&'a Decision> {
        by_age(self.open().filter(|decision| decision.standing() == standing && expert.may_answer(decision).is_ok()))
    }
}

fn by_age<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Vec<&'a Decision> {
    let mut decisions: Vec<_> = decisions.collect();
    decisions.sort_by_key(|decision| (decision.opened_at(), decision.id()));
    decisions
}
