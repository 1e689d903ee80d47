//! What can be done to a decision: as it is asked for, who may, and how it is done.

use baton_authority::docket::{self, DecisionId, Docket, Expert, Verdict, Words};
use baton_authority::{Act, Override, Principal};
use baton_contract::{Digest, TwinId};
use baton_register::Register;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::lower::override_default;
use super::release::{Loaded, approve};
use crate::error::ApiError;
use crate::json::Fields;
use crate::state::AppState;

/// Longest validity of an approval that can be asked for, in hours.
const MAX_APPROVAL_HOURS: u32 = 24 * 90;
/// How long a review may take and an approval counts where the pack that said so is gone, in days and hours.
const USUAL_REVIEW_DAYS: u32 = 14;
const USUAL_APPROVAL_HOURS: u32 = 1;

/// What can be done to a decision.
pub(super) enum Deed {
    Approve { seen: Digest, hours: Option<u32> },
    Refuse(Words),
    Review(Verdict),
    Correct(Words),
    Withdraw,
    Override(Override),
}

impl Deed {
    /// Reads what is to be done.
    ///
    /// # Errors
    /// There is no such deed, or a field is missing, wrong or unknown.
    pub(super) fn read(name: &str, body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let deed = match name {
            "approve" => {
                let at = "answer_digest";
                let text = required(&mut fields, at)?;
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
            "override" => {
                let (rule, reason) = (required(&mut fields, "rule")?, required(&mut fields, "reason")?);
                let wish = Override::new(&rule, &reason);
                Self::Override(wish.map_err(|error| {
                    let name = if matches!(error, baton_authority::OverrideError::Name(_)) { "rule" } else { "reason" };
                    ApiError::invalid(name, error.to_string())
                })?)
            }
            other => return Err(ApiError::no_route(&format!("/v1/decisions/…/{other}"))),
        };
        fields.finish()?;
        Ok(deed)
    }

    /// What sort of act it is.
    pub(super) fn act(&self) -> Act {
        match self {
            Self::Approve { .. } | Self::Refuse(_) => Act::Approve,
            Self::Review(_) | Self::Correct(_) => Act::Review,
            Self::Withdraw => Act::ReadOwn,
            Self::Override(_) => Act::Override,
        }
    }

    /// Does it, as `expert` or else as who asked, to a decision of `twin`.
    ///
    /// # Errors
    /// It does not stand where that can be done, not by them, or the ledger cannot be used.
    pub(super) async fn act_on(
        self,
        state: &AppState,
        id: DecisionId,
        (principal, expert, twin): (&Principal, Expert, TwinId),
        at: Timestamp,
    ) -> Result<(), ApiError> {
        let loaded = Loaded::of(&state.models, &state.desk, &twin);
        let by = principal.conductor().clone();
        let (usual_hours, review_days) = times(state, &twin);
        let work = move |register: &Register| {
            let act =
                |command: &dyn Fn(&Docket) -> Result<docket::Event, docket::Rejected>| register.act(command).map(drop);
            match self {
                Self::Approve { seen, hours } => {
                    let hours = SignedDuration::from_hours(hours.unwrap_or(usual_hours).into());
                    let expires = at.saturating_add(hours).unwrap_or(Timestamp::MAX);
                    approve(register, &id, &expert, (seen, expires, at), loaded)
                }
                Self::Refuse(reason) => act(&|docket| docket.refuse(&id, &expert, reason.clone(), at)),
                Self::Review(verdict) => act(&|docket| docket.review(&id, &expert, verdict.clone(), at)),
                Self::Correct(fix) => act(&|docket| docket.correct(&id, &expert, fix.clone(), at)),
                Self::Withdraw => act(&|docket| docket.withdraw(&id, &by, at)),
                Self::Override(wish) => {
                    let request =
                        register.look(|docket| Ok::<_, docket::Rejected>(docket.get(&id)?.opening().bound.request))?;
                    let rule = wish.rule().as_str().parse().map_err(docket::Rejected::from)?;
                    let reason = Words::new(wish.reason()).map_err(docket::Rejected::from)?;
                    override_default(
                        register,
                        docket::Override { id, request, rule, by, reason, at },
                        review_days,
                        loaded,
                    )
                }
            }
        };
        state.desk.run(work).await
    }
}

/// How long an approval of the twin's decisions counts, in hours, and how long their review may take, in days.
fn times(state: &AppState, twin: &TwinId) -> (u32, u32) {
    let twins = state.models.twins();
    let decisions = twins.get(twin).map(|twin| &twin.pack.manifest().decisions);
    decisions.map_or((USUAL_APPROVAL_HOURS, USUAL_REVIEW_DAYS), |one| (one.approval_hours, one.review_days))
}

fn required(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    fields.string(name)?.ok_or_else(|| ApiError::missing(name))
}

fn words(fields: &mut Fields, name: &str) -> Result<Words, ApiError> {
    Words::new(&required(fields, name)?).map_err(|error| ApiError::invalid(name, format!("`{name}`: {error}")))
}
