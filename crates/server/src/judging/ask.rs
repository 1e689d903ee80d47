//! What a caller states about a decision, in the request's `baton` object.

use std::collections::BTreeSet;
use std::str::FromStr;

use baton_authority::Override;
use baton_authority::docket::TypedKey;
use baton_contract::{BlastRadius, Touch, WordError};

use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Most names in one list.
const MAX_NAMES: usize = 32;
/// Most characters of a name.
const MAX_NAME_CHARS: usize = 120;

/// What a caller states. It can raise a decision's tier, and put defaults aside; nothing in it lowers what others ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    /// The pack's topic that the decision is on.
    pub(crate) topic: Option<String>,
    /// What is decided, in terms that are the same whenever the same is decided.
    pub(crate) key: Option<TypedKey>,
    pub(crate) radius: Option<BlastRadius>,
    pub(crate) touches: BTreeSet<Touch>,
    /// Other products that the decision touches.
    pub(crate) products: BTreeSet<String>,
    pub(crate) overrides: Vec<Override>,
}

impl Stated {
    /// Takes the object `baton` out of a body.
    ///
    /// # Errors
    /// Names the first field that is wrong or unknown.
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        Ok(Self::take_given(fields)?.unwrap_or_default())
    }

    /// The same, where it makes a difference that there is none.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) fn take_given(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let Some(mut own) = fields.object("baton")? else { return Ok(None) };
        let topic = name(&mut own, "topic")?;
        let key = name(&mut own, "key")?.or_else(|| topic.clone());
        let key = key.map(|key| key.parse::<TypedKey>());
        let key = key.transpose().map_err(|error| ApiError::invalid(own.path("key"), error.to_string()))?;
        let radius = own.object("radius")?.map(take_radius).transpose()?;
        let touches = names(&mut own, "touches")?;
        let at = own.path("touches");
        let touches = touches.into_iter().map(|word| parsed(&at, &word)).collect::<Result<_, _>>()?;
        let products = names(&mut own, "products")?.into_iter().collect();
        let overrides = take_overrides(&mut own)?;
        own.finish()?;
        Ok(Some(Self { topic, key, radius, touches, products, overrides }))
    }
}

/// What is stated about the model itself, which decides nothing that could be checked.
pub(crate) fn not_of_a_twin() -> ApiError {
    let message = "`baton` is about the checking of a twin's decisions, and this is the model itself; leave it out";
    ApiError::unsupported("baton", message)
}

fn take_radius(mut fields: Fields) -> Result<BlastRadius, ApiError> {
    let reach = take_word(&mut fields, "reach")?;
    let reversibility = take_word(&mut fields, "reversibility")?;
    fields.finish()?;
    Ok(BlastRadius { reach, reversibility })
}

fn take_word<T: FromStr<Err = WordError>>(fields: &mut Fields, name: &str) -> Result<T, ApiError> {
    let at = fields.path(name);
    let word = fields.string(name)?.ok_or_else(|| ApiError::missing(&at))?;
    parsed(&at, &word)
}

fn parsed<T: FromStr<Err = WordError>>(at: &str, word: &str) -> Result<T, ApiError> {
    word.parse().map_err(|error: WordError| ApiError::invalid(at, format!("`{at}`: {error}")))
}

fn take_overrides(fields: &mut Fields) -> Result<Vec<Override>, ApiError> {
    let at = fields.path("overrides");
    let list = fields.list("overrides")?.unwrap_or_default();
    if list.len() > MAX_NAMES {
        return Err(ApiError::invalid(at, format!("one request overrides {MAX_NAMES} defaults at most")));
    }
    let read = list.into_iter().enumerate().map(|(index, value)| {
        let mut fields = Fields::of(value, &format!("{at}[{index}]"))?;
        let mut text = |name: &str| {
            let at = fields.path(name);
            fields.string(name)?.ok_or_else(|| ApiError::missing(at))
        };
        let (rule, reason) = (text("rule")?, text("reason")?);
        fields.finish()?;
        Override::new(&rule, &reason).map_err(|error| ApiError::invalid(format!("{at}[{index}]"), error.to_string()))
    });
    read.collect()
}

/// A list of names, none twice.
fn names(fields: &mut Fields, field: &str) -> Result<Vec<String>, ApiError> {
    let at = fields.path(field);
    let list = fields.list(field)?.unwrap_or_default();
    if list.len() > MAX_NAMES {
        return Err(ApiError::invalid(at, format!("`{field}` takes {MAX_NAMES} at most")));
    }
    let read = list.into_iter().enumerate().map(|(index, value)| match value {
        serde_json::Value::String(text) => checked(&format!("{at}[{index}]"), text),
        other => Err(wrong_type(&format!("{at}[{index}]"), "a string", &other)),
    });
    read.collect()
}

fn name(fields: &mut Fields, field: &str) -> Result<Option<String>, ApiError> {
    let at = fields.path(field);
    fields.string(field)?.map(|text| checked(&at, text)).transpose()
}

fn checked(at: &str, text: String) -> Result<String, ApiError> {
    let good =
        text.trim() == text && (1..=MAX_NAME_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
    let message =
        || format!("`{at}` must be one line of 1 to {MAX_NAME_CHARS} characters without white space around it");
    if good { Ok(text) } else { Err(ApiError::invalid(at, message())) }
}

#[cfg(test)]
mod tests {
    use baton_contract::{Reach, Reversibility};
    use serde_json::{Value, json};

    use super::*;

    fn read(own: &Value) -> Result<Stated, String> {
        let mut fields = Fields::of_body(json!({"baton": own})).unwrap();
        let param = |error: ApiError| serde_json::to_value(error.body()).unwrap()["error"]["param"].to_string();
        Stated::take(&mut fields).map_err(param)
    }

    #[test]
    fn everything_can_be_stated() {
        let stated = read(&json!({
            "topic": "refunds", "radius": {"reach": "outside", "reversibility": "costly"}, "touches": ["money"],
            "products": ["shop"], "overrides": [{"rule": "no-why", "reason": "a drill"}],
        }));
        let stated = stated.unwrap();
        assert_eq!(stated.key.map(|key| key.to_string()).as_deref(), Some("refunds"));
        let radius = BlastRadius { reach: Reach::Outside, reversibility: Reversibility::Costly };
        assert_eq!((stated.radius, stated.touches), (Some(radius), BTreeSet::from([Touch::Money])));
        assert_eq!(stated.overrides[0].reason(), "a drill");
        assert_eq!(read(&Value::Null), Ok(Stated::default()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (json!(7), "baton"),
            (json!({"tier": 1}), "baton.tier"),
            (json!({"radius": {"reach": "task"}}), "baton.radius.reversibility"),
            (json!({"radius": {"reach": "moon", "reversibility": "never"}}), "baton.radius.reach"),
            (json!({"touches": ["money", "gold"]}), "baton.touches"),
            (json!({"products": [" shop"]}), "baton.products[0]"),
            (json!({"overrides": [{"rule": "no-why"}]}), "baton.overrides[0].reason"),
            (json!({"overrides": [{"rule": "no-why", "reason": "  "}]}), "baton.overrides[0]"),
            (json!({"overrides": [{"rule": "No Why", "reason": "x"}]}), "baton.overrides[0]"),
        ];
        for (own, param) in rows {
            assert_eq!(read(&own), Err(format!("\"{param}\"")), "{own}");
        }
    }
}
