//! What is done with the fields that the endpoints do not read.

use serde_json::Value;

use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Fields that clients send and that cannot change the answer here. They are checked for type and dropped.
///
/// * `user`, `safety_identifier`: who the caller's own user is; the conductor is who the key says.
/// * `prompt_cache_key`, `prompt_cache_retention`: hints for a cache; ours is keyed by what is in it.
/// * `service_tier`: there is one tier, and it is what the mandate says.
/// * `prediction`: a guess at the answer that can only make it faster.
const HARMLESS_STRINGS: [&str; 5] =
    ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"];

/// Fields that would change the answer, known to clients, not honoured here, each with what can be done instead.
const UNSUPPORTED: [(&str, &str); 22] = [
    ("tools", "only chats and responses call tools; use POST /v1/chat/completions"),
    ("tool_choice", "only chats and responses call tools; use POST /v1/chat/completions"),
    ("functions", "functions are not supported; use `tools`"),
    ("function_call", "functions are not supported; use `tool_choice`"),
    ("response_format", "only chats are held to a form; use POST /v1/chat/completions"),
    ("modalities", "only `[\"text\"]` is supported"),
    ("audio", "only text is supported"),
    ("reasoning_effort", "this model has no reasoning effort to set"),
    ("verbosity", "this model has no verbosity to set; ask for length in the messages"),
    ("web_search_options", "nothing leaves this network; put what is to be known into the messages"),
    ("store", "a chat is not stored; a response is, see POST /v1/responses"),
    ("use_beam_search", "only sampling is supported"),
    ("length_penalty", "only sampling is supported"),
    ("early_stopping", "only sampling is supported"),
    ("logits_processors", "logits processors are not supported; see `logit_bias`"),
    ("guided_json", "use OpenAI's `response_format` with a JSON schema"),
    ("guided_regex", "use OpenAI's `response_format` with a JSON schema"),
    ("guided_choice", "use OpenAI's `response_format` with a JSON schema"),
    ("guided_grammar", "use OpenAI's `response_format` with a JSON schema"),
    ("structured_outputs", "use OpenAI's `response_format` with a JSON schema"),
    ("chat_template", "the template is the model's own and cannot be set by a request"),
    ("chat_template_kwargs", "the template is the model's own and takes no arguments"),
];

/// Drops what cannot change the answer and refuses everything else that is left.
///
/// # Errors
/// Names the first field that is of the wrong type, not supported, or unknown.
pub(crate) fn refuse_the_rest(mut fields: Fields) -> Result<(), ApiError> {
    for name in HARMLESS_STRINGS {
        fields.string(name)?;
    }
    fields.take("prediction");
    if let Some(value) = fields.take("parallel_tool_calls")
        && !value.is_boolean()
    {
        return Err(wrong_type("parallel_tool_calls", "a boolean", &value));
    }
    for (name, instead) in UNSUPPORTED {
        if let Some(value) = fields.take(name)
            && !says_nothing(name, &value)
        {
            return Err(ApiError::unsupported(name, format!("`{name}`: {instead}")));
        }
    }
    fields.finish()
}

/// Whether the value asks for just what is done anyway.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        "tool_choice" | "function_call" => value == "none" || value == "auto",
        "response_format" => {
            value.as_object().is_some_and(|format| format.len() == 1 && format.get("type").is_some_and(|t| t == "text"))
        }
        "modalities" => value.as_array().is_some_and(|list| list.len() == 1 && list[0] == "text"),
        "store" | "use_beam_search" => value == false,
        _ => false,
    }
}

/// Takes the name of a twin or of the base model.
///
/// # Errors
/// It is missing or not a string.
pub(crate) fn take_model(fields: &mut Fields) -> Result<String, ApiError> {
    fields.string("model")?.ok_or_else(|| ApiError::missing("model"))
}
