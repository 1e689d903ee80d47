//! `GET /v1/reports`: what waiting for people costs, and how the line between everybody's rules and anybody's choice
//! could move. Reports propose; nothing changes by itself.

mod types;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use baton_authority::docket::line::{Change, LineSettings, Proposal, Rulings, demotions, promotions, shrinkings};
use baton_authority::docket::tax::{Tax, TaxSettings};
use baton_authority::docket::{Decision, Docket};
use baton_authority::{Act, On, Principal, may};
use baton_contract::TwinId;
use jiff::{SignedDuration, Timestamp};

use crate::error::ApiError;
use crate::http::{Caller, only};
use crate::likeness::{Nearness, typed_keys};
use crate::state::AppState;
pub(crate) use types::ProposalBody;
use types::{Proposals, Reports};

/// How far back the tax is measured if nothing is said, in days.
pub(crate) const USUAL_DAYS: u32 = 90;
/// The most days that can be asked for.
const MOST_DAYS: u32 = 3650;
const HOURS_A_DAY: i64 = 24;

/// Whose decisions are reported.
pub(crate) enum Whose {
    Everybodys,
    /// Those of the caller's own twins.
    Of(BTreeSet<TwinId>),
}

/// All reports as of now.
pub(crate) async fn read(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Reports>, ApiError> {
    only(&query, &["days"])?;
    let days = query.get("days").map_or(Ok(USUAL_DAYS), |text| days(text))?;
    let whose = whose(&state, &principal)?;
    let now = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
    // On a thread of its own: there may be many decisions.
    let likeness = Arc::clone(&state.likeness);
    let reports = state
        .desk
        .run(move |register| {
            let nearness = likeness.of(register.look(typed_keys));
            let both =
                |rulings: &Rulings| register.look(|docket| reports(docket, (rulings, &nearness), &whose, (now, days)));
            Ok(register.rulings(both))
        })
        .await?;
    Ok(Json(reports))
}

/// The tax of the last `days` before `now`.
pub(crate) fn tax<'a>(decisions: impl IntoIterator<Item = &'a Decision>, now: Timestamp, days: u32) -> Tax {
    let since = now.checked_sub(SignedDuration::from_hours(i64::from(days) * HOURS_A_DAY)).unwrap_or(Timestamp::MIN);
    Tax::measure(decisions, now, &TaxSettings::since(since))
}

fn reports(docket: &Docket, known: (&Rulings, &Nearness), whose: &Whose, (now, days): (Timestamp, u32)) -> Reports {
    let decisions = docket.decisions().filter(|decision| whose.has(&decision.opening().twin));
    Reports::new(Proposals::new(proposals(docket, known, whose, now)), &tax(decisions, now, days))
}

/// What could change and waits for an architect, by what was ruled and by how near typed keys are.
pub(crate) fn proposals(
    docket: &Docket,
    (rulings, nearness): (&Rulings, &Nearness),
    whose: &Whose,
    now: Timestamp,
) -> Vec<Proposal> {
    let decisions = || docket.decisions().filter(|decision| whose.has(&decision.opening().twin));
    let settings = LineSettings::default();
    let all = [
        demotions(decisions(), now, &settings),
        promotions(decisions(), now, &settings, |one, other| nearness.between(one, other)),
        shrinkings(decisions(), now, &settings),
    ];
    rulings.open(all.concat(), &settings)
}

/// Whose decisions the caller may have reported: everybody's, or those of their own twins.
pub(crate) fn whose(state: &AppState, principal: &Principal) -> Result<Whose, ApiError> {
    let refused = match may(principal, Act::ReadReports, On::default()) {
        Ok(()) => return Ok(Whose::Everybodys),
        Err(refused) => refused,
    };
    let own = |twin: &&TwinId| may(principal, Act::ReadReports, On { twin: Some(twin), asker: None }).is_ok();
    let twins: BTreeSet<TwinId> = state.models.twins().keys().filter(own).cloned().collect();
    if twins.is_empty() { Err(refused.into()) } else { Ok(Whose::Of(twins)) }
}

fn days(text: &str) -> Result<u32, ApiError> {
    let days = text.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
    days.ok_or_else(|| ApiError::invalid("days", format!("`days` is a number from 1 to {MOST_DAYS}")))
}

impl Whose {
    /// Whether a change is about what the caller may have reported: rules are everybody's.
    pub(crate) fn has_change(&self, change: &Change) -> bool {
        match change {
            Change::Promote { twin, .. } => self.has(twin),
            Change::Demote(_) | Change::Shrink(_) => true,
        }
    }

    fn has(&self, twin: &TwinId) -> bool {
        match self {
            Self::Everybodys => true,
            Self::Of(twins) => twins.contains(twin),
        }
    }
}
