//! Proposals to move the line between everybody's rules and anybody's choice: read by those who read reports, accepted or
//! refused by an architect, with a reason. A ruling is in the ledger before it counts, and an accepted one changes what it
//! names and nothing else.

mod types;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use baton_authority::docket::line::{LineSettings, Proposal, Ruling, Rulings, space_draft};
use baton_authority::docket::{Docket, Opening, Words};
use baton_authority::{Act, On, may};
use baton_contract::ConductorId;
use baton_register::Register;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::json::Fields;
use crate::judging::{can_be_made, stated_radius, void_changed};
use crate::likeness::{Nearness, typed_keys};
use crate::reports::{ProposalBody, Whose, proposals, whose};
use crate::state::AppState;
use crate::twins::date;
use types::{List, RulingBody};

/// How long a drafted decision space lasts if its expert sets no other day.
const DRAFT_DAYS: i64 = 180;
const HOURS_A_DAY: i64 = 24;

/// What an architect says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Refuse,
    /// What was accepted is taken back.
    Restore,
}

/// `GET /v1/proposals`: what waits for an architect, and what architects have said.
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
) -> Result<Json<List>, ApiError> {
    let whose = whose(&state, &principal)?;
    let now = now(&state);
    let likeness = Arc::clone(&state.likeness);
    let list = move |register: &Register, rulings: &Rulings, docket: &Docket, nearness: &Nearness| {
        let data = proposals(docket, (rulings, nearness), &whose, now).into_iter().map(ProposalBody::new).collect();
        let rulings = rulings.all().filter(|ruling| whose.has_change(&ruling.change));
        List::new(data, rulings.map(|ruling| told(ruling, docket, register)).collect())
    };
    let read = move |register: &Register| {
        let nearness = likeness.of(register.look(typed_keys));
        Ok(register.rulings(|rulings| register.look(|docket| list(register, rulings, docket, &nearness))))
    };
    Ok(Json(state.desk.run(read).await?))
}

/// `POST /v1/proposals/{id}/{accept|refuse|restore}`.
pub(crate) async fn rule(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path((id, verdict)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<RulingBody>, ApiError> {
    let verdict = match verdict.as_str() {
        "accept" => Verdict::Accept,
        "refuse" => Verdict::Refuse,
        "restore" => Verdict::Restore,
        other => return Err(ApiError::no_route(&format!("/v1/proposals/…/{other}"))),
    };
    may(&principal, Act::AcceptProposal, On::default())?;
    let reason = read_reason(body)?;
    let (by, at, shared) = (principal.conductor().clone(), now(&state), Arc::clone(&state));
    let work = move |register: &Register| {
        let nearness = shared.likeness.of(register.look(typed_keys));
        let ruling = register.rule(|docket, rulings| {
            if verdict == Verdict::Restore {
                let restored = rulings.restore(&id, (&by, reason), at);
                return restored.map_err(|error| baton_register::Error::from(error).into());
            }
            let accepted = verdict == Verdict::Accept;
            let proposal = find(docket, (rulings, &nearness), &id, at)?;
            if accepted {
                can_be_made(&proposal.change, &shared.desk.law().rules)?;
            }
            answer(rulings, &proposal, accepted, (&by, reason), at)
        });
        if ruling.as_ref().is_ok_and(|ruling| ruling.accepted || ruling.restores) {
            enact(&shared, at);
        }
        Ok(ruling.map(|ruling| register.look(|docket| told(&ruling, docket, register))))
    };
    state.desk.run(work).await?.map(Json)
}

/// The proposal of that name as it is now, with everybody's decisions.
fn find(docket: &Docket, known: (&Rulings, &Nearness), id: &str, at: Timestamp) -> Result<Proposal, ApiError> {
    let open = proposals(docket, known, &Whose::Everybodys, at);
    let ruled = || known.0.all().any(|ruling| ruling.change.id() == id);
    open.into_iter().find(|proposal| proposal.change.id() == id).ok_or_else(|| {
        let shown: String = id.chars().take(40).collect();
        if ruled() {
            ApiError::conflict(format!("`{shown}` is ruled on; it is proposed again when enough new speaks for it"))
        } else {
            ApiError::no_proposal(format!("nothing of the name `{shown}` is proposed; GET /v1/proposals lists what is"))
        }
    })
}

fn answer(
    rulings: &Rulings,
    proposal: &Proposal,
    accepted: bool,
    (by, reason): (&ConductorId, Words),
    at: Timestamp,
) -> Result<Ruling, ApiError> {
    let ruling = rulings.rule(proposal, accepted, (by, reason), at, &LineSettings::default());
    ruling.map_err(|error| baton_register::Error::from(error).into())
}

/// Has the change count: for what is decided from now on, and for what waits.
fn enact(state: &AppState, at: Timestamp) {
    state.desk.enact();
    state.desk.take_stock(&state.models, at);
    match void_changed(&state.desk, &state.models, at) {
        Ok(0) => {}
        Ok(voided) => tracing::info!(voided, "decisions that waited were judged by other rules, and are voided"),
        Err(error) => tracing::error!(%error, "what waits could not be looked through for other rules"),
    }
}

/// A ruling as it is told; an accepted promotion with the decision space that it suggests.
fn told(ruling: &Ruling, docket: &Docket, register: &Register) -> RulingBody {
    let until = ruling.at.saturating_add(SignedDuration::from_hours(DRAFT_DAYS * HOURS_A_DAY));
    let until = date(until.unwrap_or(Timestamp::MAX).as_second());
    let reader = register.ledger().reader();
    let radius = |opening: &Opening| stated_radius(&reader.as_ref().ok()?.entry(opening.text.0).ok()?);
    let draft =
        if ruling.accepted { space_draft(&ruling.change, &ruling.decisions, docket, until, radius) } else { None };
    RulingBody::new(ruling).with_draft(draft)
}

fn read_reason(body: Value) -> Result<Words, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let reason = fields.string("reason")?.ok_or_else(|| ApiError::missing("reason"))?;
    fields.finish()?;
    Words::new(&reason).map_err(|error| ApiError::invalid("reason", format!("`reason`: {error}")))
}

fn now(state: &AppState) -> Timestamp {
    Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN)
}
