//! From a default that is overridden while it holds or denies a decision to what is left against that.

use baton_authority::docket::{Bound, Course, Decision, DecisionId, Docket, Event, Override, Rejected, Words};
use baton_contract::Tier;
use baton_register::{Error, Register};
use jiff::{SignedDuration, Timestamp};

use super::release::{Loaded, current};
use super::settle::{HELD_DAYS, HOURS_A_DAY};

/// Puts a default aside for a decision that waits, and lets the decision take the course that is left: the very answer
/// that was held goes out, or waits for less. The override is written before that counts. One that was written by a call
/// that could not finish is taken up by the next.
///
/// # Errors
/// It may not be overridden, it waits for nothing that a default asks for, or the ledger cannot be used.
pub(super) fn override_default(
    register: &Register,
    wish: Override,
    review_days: u32,
    loaded: Loaded,
) -> Result<(), Error> {
    let (id, at) = (wish.id.clone(), wish.at);
    let current = current(register, &id, loaded)?;
    register.act_in_turn(
        |docket| match docket.override_default(wish) {
            Err(Rejected::Overridden(rule)) => match less(docket, &id, &current, (review_days, at))? {
                Some(_) => Ok(None),
                None => Err(Rejected::Overridden(rule)),
            },
            other => other.map(Some),
        },
        |docket| less(docket, &id, &current, (review_days, at)),
    )
}

/// The event by which a decision takes a less strict course, if its overrides leave one.
fn less(
    docket: &Docket,
    id: &DecisionId,
    current: &Bound,
    (review_days, at): (u32, Timestamp),
) -> Result<Option<Event>, Rejected> {
    let decision = docket.get(id)?;
    let is_less = |tier: &Tier| tier.number() < 3 || matches!(decision.course(), Course::Deny);
    let Some(tier) = decision.left().filter(is_less).filter(|_| !decision.overrides().is_empty()) else {
        return Ok(None);
    };
    let in_days = |days: i64| at.saturating_add(SignedDuration::from_hours(days * HOURS_A_DAY));
    let in_days = |days: i64| in_days(days).unwrap_or(Timestamp::MAX);
    let course = match tier {
        Tier::Decide => Course::Release,
        Tier::Assume => Course::Assume { assumption: assumption(decision)?, review_by: in_days(review_days.into()) },
        Tier::CheckFirst => Course::Hold { expires: in_days(HELD_DAYS) },
    };
    docket.lower(id, course, current, at).map(Some)
}

/// What has to be true for an answer to be right that was released by overrides and that nobody has checked.
fn assumption(decision: &Decision) -> Result<Words, Rejected> {
    let rules: Vec<String> = decision.overrides().iter().map(|one| format!("`{}`", one.rule)).collect();
    let text = format!("The question states all that matters, and the reasons to override {} hold.", rules.join(", "));
    Ok(Words::new(&text)?)
}
