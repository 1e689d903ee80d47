//! From a body to a checked request.

use serde_json::Value;

use super::types::ChatRequest;
use super::{format, messages};
use crate::cue::{Params, refuse_the_rest, take_model};
use crate::error::ApiError;
use crate::json::Fields;
use crate::judging::Stated;
use crate::tools::{Tools, Wire};

impl ChatRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(crate) fn read(body: Value) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let messages = messages::take(&mut fields)?;
        let tools = Tools::take(&mut fields, Wire::Nested)?;
        let params = Params::take(&mut fields)?;
        let top_logprobs = take_logprobs(&mut fields)?;
        let schema = format::take(&mut fields)?;
        let stated = Stated::take_given(&mut fields)?;
        if stated.is_some() && params.n > 1 {
            return Err(ApiError::invalid("n", "an answer that is checked as a decision comes alone; leave `n` out"));
        }
        if tools.is_some() && stated.is_some() {
            let message = "an answer that is checked as a decision calls no tools; leave `tools` out";
            return Err(ApiError::invalid("tools", message));
        }
        if tools.is_some() && schema.is_some() {
            let message = "an answer is held to a form or may call tools; leave one of the two out";
            return Err(ApiError::invalid("response_format", message));
        }
        refuse_the_rest(fields)?;
        Ok(Self { model, messages, tools, top_logprobs, params, schema, stated })
    }
}

fn take_logprobs(fields: &mut Fields) -> Result<Option<u8>, ApiError> {
    let wanted = fields.flag("logprobs")?;
    let top = fields.integer("top_logprobs", 0, 20)?;
    if top.is_some() && !wanted {
        return Err(ApiError::invalid("top_logprobs", "`top_logprobs` is allowed only with `logprobs: true`"));
    }
    Ok(wanted.then(|| u8::try_from(top.unwrap_or(0)).unwrap_or(u8::MAX)))
}
