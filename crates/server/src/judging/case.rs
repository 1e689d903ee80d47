//! A known-good case of a decision that was found wrong, with one call.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use baton_authority::docket::{Asked, CaseDraft, DecisionId, TextRow};
use baton_authority::{Act, On, may};
use baton_register::{Drafted, Register, is_drafted};
use serde::Serialize;

use super::question::{Question, answer_of, request_of};
use super::routes::{known, now};
use crate::CaseShelf;
use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::json::Fields;
use crate::state::AppState;

/// A case as it was drafted.
#[derive(Debug, Serialize)]
pub(crate) struct CaseBody {
    object: &'static str,
    /// The decision.
    id: String,
    twin: String,
    name: String,
    /// As it stands in a pack's file.
    case: String,
    /// Where it lies; null where the server has no folder of packs to put it into.
    file: Option<String>,
}

/// `POST /v1/decisions/{id}/case`: the ledger gets it, then the folder of the twin's pack. It counts once the expert has
/// looked it over and published the pack.
pub(crate) async fn make_case(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<CaseBody>, ApiError> {
    let id = known(&id)?;
    let mut fields = Fields::of_body(body)?;
    let wanted = fields.string("question")?;
    fields.finish()?;
    let (twin, row) = state.desk.register().look(|docket| {
        let opening = docket.get(&id)?.opening();
        Ok::<_, ApiError>((opening.twin.clone(), opening.text))
    })?;
    may(&principal, Act::MakeCase, On { twin: Some(&twin), asker: None })?;
    let (by, at, shelf) = (principal.conductor().clone(), now(&state), state.case_shelf.clone());
    let work = move |register: &Register| {
        let draft = match draft(register, &id, row, wanted.as_deref())? {
            Ok(draft) => draft,
            Err(refused) => return Ok(Err(refused)),
        };
        let case = draft.to_toml();
        let drafted = Drafted { id, twin, name: draft.name, text: case, by, at };
        // Written once, however often it is tried to put the file in its place.
        if !is_drafted(&register.ledger().reader()?, &drafted.id)? {
            register.append(drafted.entry()?)?;
        } else if shelf.is_none() {
            return Ok(Err(ApiError::conflict("a case was made of this decision already")));
        }
        Ok(put(drafted, shelf.as_ref()))
    };
    state.desk.run(work).await?.map(Json)
}

/// Puts the case into its place, if there is one.
fn put(drafted: Drafted, shelf: Option<&CaseShelf>) -> Result<CaseBody, ApiError> {
    let Drafted { id, twin, name, text, .. } = drafted;
    let put = shelf.map(|shelf| shelf(&twin, &name, &text)).transpose();
    let file =
        put.map_err(|problem| ApiError::conflict(format!("the pack of `{twin}` does not take the case: {problem}")))?;
    Ok(CaseBody { object: "case.draft", id: id.to_string(), twin: twin.to_string(), name, case: text, file })
}

/// The case that the decision makes; what is inside says why there is none.
fn draft(
    register: &Register,
    id: &DecisionId,
    row: TextRow,
    wanted: Option<&str>,
) -> Result<Result<CaseDraft, ApiError>, baton_register::Error> {
    let record = register.ledger().reader()?.entry(row.0)?;
    let question = match request_of(&record).zip(answer_of(&record)) {
        None => Err(ApiError::conflict(
            "question or answer was erased from the record, so there is nothing to make a case of",
        )),
        Some((request, answer)) => Question::of(&request, &answer, wanted),
    };
    Ok(question.and_then(|question| {
        let Question { what, why, answer, choices } = &question;
        let asked = Asked { what, why: why.as_deref(), answer, choices };
        register.look(|docket| {
            let draft = CaseDraft::of(docket.get(id)?, asked);
            draft.map_err(|problem| ApiError::conflict(problem.to_string()))
        })
    }))
}
