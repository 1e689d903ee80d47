//! From a body to a checked request.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_contract::Intent;
use serde_json::Value;

use super::types::CueRequest;
use crate::cue::{Params, refuse_the_rest};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Most twins of one cue.
const MAX_TWINS: usize = 32;
/// Longest text of an intent's field, in characters; as in `metadata`.
const INTENT_CHARS: usize = 512;
/// Longest deadline, in seconds.
const MAX_DEADLINE: f32 = 3600.0;

impl CueRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let twins = take_twins(&mut fields)?;
        let what = fields.string("what")?.ok_or_else(|| ApiError::missing("what"))?;
        if what.trim().is_empty() {
            return Err(ApiError::invalid("what", "`what` is empty; say what is wanted"));
        }
        let deadline = take_deadline(&mut fields)?;
        let said = take_intent(&mut fields)?;
        let mut params = Params::take(&mut fields)?;
        if params.n != 1 {
            return Err(ApiError::unsupported("n", "a cue has one answer a twin; leave `n` out"));
        }
        params.intent = joined(said, params.intent)?;
        refuse_the_rest(fields)?;
        Ok(Self { twins, what, deadline, params })
    }
}

fn take_twins(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let list = fields.list("twins")?.ok_or_else(|| ApiError::missing("twins"))?;
    if list.is_empty() || list.len() > MAX_TWINS {
        let message = format!("`twins` takes 1 to {MAX_TWINS} twins, not {}", list.len());
        return Err(ApiError::invalid("twins", message));
    }
    let mut seen = BTreeSet::new();
    let names = list.into_iter().enumerate().map(|(index, value)| {
        let path = format!("twins[{index}]");
        let Value::String(name) = value else { return Err(wrong_type(&path, "a twin's id", &value)) };
        if seen.insert(name.clone()) {
            Ok(name)
        } else {
            let name: String = name.chars().take(80).collect();
            Err(ApiError::invalid(path, format!("the twin `{name}` is named twice")))
        }
    });
    names.collect()
}

fn take_deadline(fields: &mut Fields) -> Result<Option<Duration>, ApiError> {
    let name = "deadline_seconds";
    let Some(seconds) = fields.number(name)? else { return Ok(None) };
    if !(seconds > 0.0 && seconds <= MAX_DEADLINE) {
        return Err(ApiError::invalid(name, format!("`{name}` must be above 0 and at most {MAX_DEADLINE}")));
    }
    Ok(Some(Duration::from_secs_f32(seconds)))
}

fn take_intent(fields: &mut Fields) -> Result<Intent, ApiError> {
    let mut text = |name: &str| {
        let text = fields.string(name)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| text.chars().count() > INTENT_CHARS) {
            return Err(ApiError::invalid(name, format!("`{name}` takes {INTENT_CHARS} characters at most")));
        }
        Ok(text)
    };
    Ok(Intent { why: text("why")?, product: text("product")?, process: text("process")? })
}

/// The intent may stand in the body or, as in a chat, in `metadata`; it cannot say two different things.
fn joined(said: Intent, tagged: Intent) -> Result<Intent, ApiError> {
    let one = |name: &str, said: Option<String>, tagged: Option<String>| match (said, tagged) {
        (Some(said), Some(tagged)) if said != tagged => {
            Err(ApiError::invalid(name, format!("`{name}` and `metadata.{name}` differ; give one of them")))
        }
        (said, tagged) => Ok(said.or(tagged)),
    };
    Ok(Intent {
        why: one("why", said.why, tagged.why)?,
        product: one("product", said.product, tagged.product)?,
        process: one("process", said.process, tagged.process)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (json!({"what": "x"}), "twins"),
            (json!({"twins": [], "what": "x"}), "twins"),
            (json!({"twins": ["ux", 1], "what": "x"}), "twins[1]"),
            (json!({"twins": ["ux", "ux"], "what": "x"}), "twins[1]"),
            (json!({"twins": ["ux"]}), "what"),
            (json!({"twins": ["ux"], "what": "  "}), "what"),
            (json!({"twins": ["ux"], "what": "x", "deadline_seconds": 0}), "deadline_seconds"),
            (json!({"twins": ["ux"], "what": "x", "deadline_seconds": 3601}), "deadline_seconds"),
            (json!({"twins": ["ux"], "what": "x", "n": 2}), "n"),
            (json!({"twins": ["ux"], "what": "x", "why": "a", "metadata": {"why": "b"}}), "why"),
            (json!({"twins": ["ux"], "what": "x", "product": "p".repeat(513)}), "product"),
            (json!({"twins": ["ux"], "what": "x", "messages": []}), "messages"),
        ];
        for (body, param) in rows {
            let error = CueRequest::read(body.clone()).unwrap_err();
            let shown = serde_json::to_value(error.body()).unwrap();
            assert_eq!(shown["error"]["param"], param, "{body}");
        }
    }

    #[test]
    fn the_intent_may_stand_in_either_place() {
        let body = json!({"twins": ["ux"], "what": "x", "why": " a ", "metadata": {"why": "a", "product": "shop"}});
        let request = CueRequest::read(body).unwrap();
        let expected = Intent { why: Some("a".to_owned()), product: Some("shop".to_owned()), process: None };
        assert_eq!(request.params.intent, expected);
    }
}
