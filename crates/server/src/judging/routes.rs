//! What people do with decisions: read and wait, approve or refuse, review, withdraw, correct.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use baton_authority::docket::{Decision, DecisionId, Docket, Expert, Standing, Verdict, Words};
use baton_authority::{Act, On, Principal, may};
use baton_contract::{Digest, TwinId};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::release::{Loaded, approve};
use super::status::Status;
use crate::error::ApiError;
use crate::http::{Caller, JsonBody, only};
use crate::json::Fields;
use crate::state::AppState;

/// Longest wait for a change, in seconds.
const MAX_WAIT: f32 = 300.0;
/// Longest validity of an approval that can be asked for, in hours.
const MAX_APPROVAL_HOURS: u32 = 24 * 90;
/// Most decisions of one list.
const LISTED: usize = 200;

#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Status>,
}

/// What can be done to a decision.
enum Deed {
    Approve { seen: Digest, hours: Option<u32> },
    Refuse(Words),
    Review(Verdict),
    Correct(Words),
    Withdraw,
}

/// What the caller is to one decision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Asker,
    /// Answers for the twin.
    Answering,
    /// Reads, and changes nothing.
    Reading,
}

/// `GET /v1/decisions`: the caller's own, or with `queue` what waits for them.
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<List>, ApiError> {
    only(&query, &["queue"])?;
    let expert = expert(&state, &principal);
    let shown = |decisions: Vec<&Decision>| decisions.into_iter().take(LISTED).map(Status::of).collect();
    let register = state.desk.register();
    let data = match query.get("queue").map(String::as_str) {
        None | Some("own") => {
            may(&principal, Act::ReadOwn, On::default())?;
            register.look(|docket| shown(docket.of(principal.conductor())))
        }
        Some("held") => register.look(|docket| shown(docket.pending(&expert))),
        Some("review") => register.look(|docket| shown(docket.review_queue(&expert))),
        Some(_) => return Err(ApiError::invalid("queue", "`queue` is `own`, `held` or `review`")),
    };
    Ok(Json(List { object: "list", data }))
}

/// `GET /v1/decisions/{id}`: as it stands, or with `wait` seconds once it no longer waits.
pub(crate) async fn retrieve(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Status>, ApiError> {
    only(&query, &["wait"])?;
    let id = known(&id)?;
    let wait = query.get("wait").map(|text| seconds(text)).transpose()?;
    let role = role(&state, &principal, &id)?;
    if let Some(wait) = wait {
        settled(&state, &id, wait).await;
    }
    if role == Role::Answering {
        // Who may approve it has now seen it, and since when counts.
        let (expert, at, shown) = (expert(&state, &principal), now(&state), id.clone());
        let show = move |docket: &Docket| match docket.show(&shown, &expert, at) {
            Ok(event) => Ok(event),
            // It does not wait for an approval, or not for theirs: looking at it is no event.
            Err(_) => Ok(None),
        };
        state.desk.run(move |register| register.act_if(show)).await?;
    }
    Ok(Json(status(&state, id, role).await?))
}

/// `POST /v1/decisions/{id}/{deed}`.
pub(crate) async fn act(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path((id, deed)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Status>, ApiError> {
    let id = known(&id)?;
    let deed = Deed::read(&deed, body)?;
    let (twin, asker) = state.desk.register().look(|docket| {
        let opening = docket.get(&id)?.opening();
        Ok::<_, ApiError>((opening.twin.clone(), opening.conductor.clone()))
    })?;
    let on = On { twin: Some(&twin), asker: Some(&asker) };
    may(&principal, deed.act(), on)?;
    let expert = expert(&state, &principal);
    let at = now(&state);
    match deed {
        Deed::Approve { seen, hours } => {
            let hours = hours.unwrap_or_else(|| approval_hours(&state, &twin));
            let expires = at.checked_add(SignedDuration::from_hours(hours.into()));
            let expires = expires.map_err(|_| ApiError::internal("no such time"))?;
            let (held, loaded) = (id.clone(), Loaded::of(&state.models, &state.desk, &twin));
            state.desk.run(move |register| approve(register, &held, &expert, (seen, expires, at), loaded)).await?;
        }
        Deed::Refuse(reason) => {
            let held = id.clone();
            state.desk.run(move |register| register.act(|docket| docket.refuse(&held, &expert, reason, at))).await?;
        }
        Deed::Review(verdict) => {
            let released = id.clone();
            let review = move |docket: &Docket| docket.review(&released, &expert, verdict, at);
            state.desk.run(move |register| register.act(review)).await?;
        }
        Deed::Correct(fix) => {
            let released = id.clone();
            let correct = move |docket: &Docket| docket.correct(&released, &expert, fix, at);
            state.desk.run(move |register| register.act(correct)).await?;
        }
        Deed::Withdraw => {
            let (held, by) = (id.clone(), principal.conductor().clone());
            state.desk.run(move |register| register.act(|docket| docket.withdraw(&held, &by, at))).await?;
        }
    }
    let role = role(&state, &principal, &id)?;
    Ok(Json(status(&state, id, role).await?))
}

fn approval_hours(state: &AppState, twin: &TwinId) -> u32 {
    let decisions = state.models.twins.get(twin).map(|twin| &twin.pack.manifest().decisions);
    decisions.map_or(1, |decisions| decisions.approval_hours)
}

impl Deed {
    /// Reads what is to be done.
    ///
    /// # Errors
    /// There is no such deed, or a field is missing, wrong or unknown.
    fn read(name: &str, body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let deed = match name {
            "approve" => {
                let at = "answer_digest";
                let text = fields.string(at)?.ok_or_else(|| ApiError::missing(at))?;
                let seen = text.parse::<Digest>().map_err(|error| ApiError::invalid(at, error.to_string()))?;
                Self::Approve { seen, hours: fields.integer("valid_hours", 1, MAX_APPROVAL_HOURS)? }
            }
            "refuse" => Self::Refuse(words(&mut fields, "reason")?),
            "withdraw" => Self::Withdraw,
            "correct" => Self::Correct(words(&mut fields, "fix")?),
            "review" => match fields.string("verdict")?.as_deref() {
                Some("ok") => Self::Review(Verdict::Ok),
                Some("wrong") => Self::Review(Verdict::Wrong(words(&mut fields, "fix")?)),
                Some(_) => return Err(ApiError::invalid("verdict", "`verdict` is `ok` or `wrong`")),
                None => return Err(ApiError::missing("verdict")),
            },
            other => return Err(ApiError::no_route(&format!("/v1/decisions/…/{other}"))),
        };
        fields.finish()?;
        Ok(deed)
    }

    fn act(&self) -> Act {
        match self {
            Self::Approve { .. } | Self::Refuse(_) => Act::Approve,
            Self::Review(_) | Self::Correct(_) => Act::Review,
            Self::Withdraw => Act::ReadOwn,
        }
    }
}

fn words(fields: &mut Fields, name: &str) -> Result<Words, ApiError> {
    let text = fields.string(name)?.ok_or_else(|| ApiError::missing(name))?;
    Words::new(&text).map_err(|error| ApiError::invalid(name, format!("`{name}`: {error}")))
}

/// The caller as somebody who answers for twins.
fn expert(state: &AppState, principal: &Principal) -> Expert {
    let on = |twin: &TwinId| may(principal, Act::ReadQueue, On { twin: Some(twin), asker: None }).is_ok();
    let twins = state.models.twins.keys().filter(|twin| on(twin)).cloned().collect();
    Expert { id: principal.conductor().clone(), twins }
}

/// What the caller is to a decision.
///
/// # Errors
/// There is none of that id, or it is none of their business: both are told alike.
fn role(state: &AppState, principal: &Principal, id: &DecisionId) -> Result<Role, ApiError> {
    state.desk.register().look(|docket| {
        let decision = docket.get(id)?;
        let twin = On { twin: Some(&decision.opening().twin), asker: None };
        if decision.opening().conductor == *principal.conductor() {
            Ok(Role::Asker)
        } else if may(principal, Act::Approve, On { asker: Some(&decision.opening().conductor), ..twin }).is_ok() {
            Ok(Role::Answering)
        } else if may(principal, Act::ReadLedger, On::default()).is_ok() {
            Ok(Role::Reading)
        } else {
            Err(baton_authority::docket::Rejected::Unknown(id.clone()).into())
        }
    })
}

/// The decision with those of its texts that the caller may read.
async fn status(state: &AppState, id: DecisionId, role: Role) -> Result<Status, ApiError> {
    state
        .desk
        .run(move |register| {
            let (mut status, row, standing) = register.look(|docket| {
                let decision = docket.get(&id)?;
                Ok::<_, baton_register::Error>((Status::of(decision), decision.opening().text, decision.standing()))
            })?;
            let record = register.ledger().reader()?.entry(row.0)?;
            let read = |name: &str| record.text(name).and_then(|text| serde_json::from_str(text).ok());
            status.request = read("request");
            let is_out = !matches!(
                standing,
                Standing::Held
                    | Standing::Approved
                    | Standing::Refused
                    | Standing::Withdrawn
                    | Standing::Voided
                    | Standing::Expired
                    | Standing::Denied
            );
            if role != Role::Asker || is_out {
                status.answer = read("answer");
            }
            Ok(status)
        })
        .await
}

/// Waits until the decision waits no more, or until the time is over.
async fn settled(state: &AppState, id: &DecisionId, wait: Duration) {
    let deadline = Instant::now() + wait;
    let mut changes = state.desk.changes();
    loop {
        let waits = state
            .desk
            .register()
            .look(|docket| docket.status(id).is_some_and(|decision| decision.standing().is_waiting()));
        if !waits || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return;
        }
    }
}

fn known(id: &str) -> Result<DecisionId, ApiError> {
    let shown: String = id.chars().take(80).collect();
    id.parse().map_err(|_| ApiError::no_decision(format!("there is no decision `{shown}`")))
}

fn seconds(text: &str) -> Result<Duration, ApiError> {
    let seconds = text.parse::<f32>().ok().filter(|seconds| (0.0..=MAX_WAIT).contains(seconds));
    let message = || format!("`wait` is a number of seconds up to {MAX_WAIT}");
    seconds.map(Duration::from_secs_f32).ok_or_else(|| ApiError::invalid("wait", message()))
}

fn now(state: &AppState) -> Timestamp {
    Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN)
}
