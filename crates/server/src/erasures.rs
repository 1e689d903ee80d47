//! `POST /v1/ledger/erasures`, and the sweep that erases what was kept for long enough.
//!
//! Erasing destroys the keys of free texts; the rows stay and still verify. What the docket remembers of those texts is
//! forgotten with them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use baton_authority::{Act, On, may};
use baton_contract::ConductorId;
use baton_ledger::{EntryId, Erased, Erasure, Error, Receipt, Retention};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::json::{Fields, wrong_type};
use crate::state::AppState;

/// Most entries that one request names.
const MOST_ENTRIES: usize = 1000;
/// How often it is looked for what was kept for long enough.
const SWEEP: Duration = Duration::from_hours(24);
/// How soon a sweep that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_mins(10);
/// Who sweeps.
const SELF: &str = "baton";

/// Whose texts are to be erased.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// Those of these entries.
    Entries(Vec<Place>),
    /// Those of everything about a reply or a decision.
    Subject(String),
    /// Those of everything that somebody did.
    Conductor(ConductorId),
}

/// An entry, as a caller names it.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Index(u64),
    Id(EntryId),
}

#[derive(Serialize)]
pub(crate) struct ErasureBody {
    object: &'static str,
    /// How many texts were erased.
    texts: usize,
    /// The entries that say so.
    entries: Vec<EntryBody>,
    /// Whether nothing of them is left in the files; else that comes with the entries that follow.
    scrubbed: bool,
}

#[derive(Serialize)]
struct EntryBody {
    index: u64,
    id: String,
}

/// Erases texts for a reason.
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<ErasureBody>, ApiError> {
    may(&principal, Act::Erase, On::default())?;
    let (whose, reason) = read(body)?;
    let at = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
    let by = principal.conductor().to_string();
    let erased = state
        .desk
        .run(move |register| {
            let erasure = match whose {
                Whose::Subject(subject) => Erasure::of_subject(&subject, at, &by, &reason)?,
                Whose::Conductor(conductor) => Erasure::of_actor(conductor.as_str(), at, &by, &reason)?,
                Whose::Entries(places) => {
                    let reader = register.ledger().reader()?;
                    let index = |place: Place| match place {
                        Place::Index(index) => Ok(reader.entry(index)?.index),
                        Place::Id(id) => Ok(reader.by_id(&id)?.index),
                    };
                    let indices = places.into_iter().map(index).collect::<Result<Vec<_>, Error>>()?;
                    Erasure::of_entries(indices, at, &by, &reason)?
                }
            };
            register.erase(erasure)
        })
        .await?;
    tracing::info!(texts = erased.texts, "texts were erased, as was asked");
    Ok(Json(erased.into()))
}

/// Erases what was kept for long enough, at once and then daily.
pub(crate) async fn sweep(state: Arc<AppState>, retention: Retention) {
    loop {
        let now = Timestamp::from_second((state.clock)()).unwrap_or(Timestamp::MIN);
        let swept = state.desk.run(move |register| register.sweep(now, retention, SELF)).await;
        let wait = match swept {
            Ok(0) => SWEEP,
            Ok(texts) => {
                tracing::info!(texts, %retention, "texts were erased that were kept for long enough");
                SWEEP
            }
            // The ledger's own fault was logged.
            Err(_) => TRY_AGAIN,
        };
        tokio::time::sleep(wait).await;
    }
}

/// Whose texts, and why.
fn read(body: Value) -> Result<(Whose, String), ApiError> {
    let mut fields = Fields::of_body(body)?;
    let reason = fields.string("reason")?.ok_or_else(|| ApiError::missing("reason"))?;
    let entries = fields.list("entries")?;
    let subject = fields.string("subject")?;
    let conductor = fields.string("conductor")?;
    fields.finish()?;
    let whose = match (entries, subject, conductor) {
        (Some(list), None, None) => {
            if list.is_empty() || list.len() > MOST_ENTRIES {
                let message = format!("`entries` takes 1 to {MOST_ENTRIES} entries, not {}", list.len());
                return Err(ApiError::invalid("entries", message));
            }
            let places = list.iter().enumerate().map(|(at, value)| place(value, &format!("entries[{at}]")));
            Whose::Entries(places.collect::<Result<_, _>>()?)
        }
        (None, Some(subject), None) => Whose::Subject(subject),
        (None, None, Some(conductor)) => {
            let conductor = conductor.parse::<ConductorId>();
            Whose::Conductor(conductor.map_err(|error| ApiError::invalid("conductor", error.to_string()))?)
        }
        _ => {
            let message = "say whose texts: `entries`, or a `subject`, or a `conductor`; one of them";
            return Err(ApiError::invalid("entries", message));
        }
    };
    Ok((whose, reason))
}

fn place(value: &Value, at: &str) -> Result<Place, ApiError> {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(index) => Ok(Place::Index(index)),
            None => Err(wrong_type(at, "an index or an id", value)),
        },
        Value::String(text) => {
            text.parse().map(Place::Id).map_err(|error: Error| ApiError::invalid(at, error.to_string()))
        }
        other => Err(wrong_type(at, "an index or an id", other)),
    }
}

impl From<Erased> for ErasureBody {
    fn from(erased: Erased) -> Self {
        let entry = |receipt: Receipt| EntryBody { index: receipt.index, id: receipt.id.to_string() };
        Self {
            object: "ledger.erasure",
            texts: erased.texts,
            entries: erased.receipts.into_iter().map(entry).collect(),
            scrubbed: erased.scrubbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (json!({"entries": [1]}), "reason"),
            (json!({"reason": "r"}), "entries"),
            (json!({"reason": "r", "entries": []}), "entries"),
            (json!({"reason": "r", "entries": [1], "subject": "dec-1"}), "entries"),
            (json!({"reason": "r", "entries": [1, -1]}), "entries[1]"),
            (json!({"reason": "r", "entries": ["x"]}), "entries[0]"),
            (json!({"reason": "r", "entries": [true]}), "entries[0]"),
            (json!({"reason": "r", "conductor": "A b"}), "conductor"),
            (json!({"reason": "r", "conductor": "ada", "all": true}), "all"),
        ];
        for (body, param) in rows {
            let error = read(body.clone()).unwrap_err();
            let shown = serde_json::to_value(error.body()).unwrap();
            assert_eq!(shown["error"]["param"], param, "{body}");
        }
        let (whose, reason) = read(json!({"reason": "r", "conductor": "ada"})).unwrap();
        assert_eq!((whose, reason.as_str()), (Whose::Conductor("ada".parse().unwrap()), "r"));
    }
}
