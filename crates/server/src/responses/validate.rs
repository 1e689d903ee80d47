//! From a body to a checked request.

use baton_constraint::Schema;
use serde_json::{Map, Value, json};

use super::items::{Item, Reader};
use crate::chat::{Message, Role, named_schema};
use crate::cue::{Params, refuse_the_rest, take_model};
use crate::error::ApiError;
use crate::json::{Fields, wrong_type};
use crate::tools::{Tools, Wire};

/// Fields that would change the answer, not honoured here, each with what can be done instead.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("response_format", "the form of a response is asked for in `text.format`"),
    ("baton", "an answer that is checked as a decision is asked for as a chat, at POST /v1/chat/completions"),
    ("conversation", "go on from a response with `previous_response_id`"),
    ("prompt", "there are no stored prompts; put the text into `input` or `instructions`"),
    ("max_tool_calls", "it counts calls of built-in tools, and there are none"),
    ("context_management", "nothing is left out of the context"),
    ("max_tokens", "the limit of a response is `max_output_tokens`"),
];

/// A body whose every field has been read and checked.
#[derive(Debug)]
pub(super) struct ResponseRequest {
    pub(super) model: String,
    /// The caller's own items.
    pub(super) input: Value,
    pub(super) instructions: Option<String>,
    /// The response to go on from.
    pub(super) previous: Option<String>,
    /// Whether it is to be read again.
    pub(super) store: bool,
    pub(super) background: bool,
    pub(super) stream: bool,
    pub(super) tools: Option<Tools>,
    pub(super) schema: Option<Schema>,
    pub(super) params: Params,
    /// All other fields as they were sent, for the replies.
    pub(super) asked: Map<String, Value>,
}

/// What the model is told, and what is filed of it.
pub(super) struct Context {
    pub(super) messages: Vec<Message>,
    pub(super) items: Vec<Item>,
}

impl ResponseRequest {
    /// Reads every field of the body.
    ///
    /// # Errors
    /// Names the first field that is missing, wrong, not supported or unknown.
    pub(super) fn read(body: Value) -> Result<Self, ApiError> {
        let mut asked = body.as_object().cloned().unwrap_or_default();
        for name in ["input", "previous_response_id", "stream", "stream_options"] {
            asked.shift_remove(name);
        }
        let mut fields = Fields::of_body(body)?;
        let model = take_model(&mut fields)?;
        let input = fields.take("input").ok_or_else(|| ApiError::missing("input"))?;
        if input.as_array().is_some_and(Vec::is_empty) {
            return Err(ApiError::invalid("input", "`input` is empty; give at least one item"));
        }
        let instructions = fields.string("instructions")?;
        let previous = fields.string("previous_response_id")?;
        let store = take_store(&mut fields)?;
        let background = fields.flag("background")?;
        let stream = fields.flag("stream")?;
        take_stream_options(&mut fields, stream)?;
        if background && !store {
            return Err(ApiError::invalid("background", "a response in the background is stored; leave `store` out"));
        }
        let tools = Tools::take(&mut fields, Wire::Flat)?;
        let schema = take_text(&mut fields)?;
        if tools.is_some() && schema.is_some() {
            let message = "an answer is held to a form or may call tools; leave one of the two out";
            return Err(ApiError::invalid("text.format", message));
        }
        let params = Params::of_response(&mut fields)?;
        refuse_what_is_not_there(&mut fields)?;
        refuse_the_rest(fields)?;
        Ok(Self { model, input, instructions, previous, store, background, stream, tools, schema, params, asked })
    }

    /// What the model is told: the instructions, what was said before, the input.
    ///
    /// # Errors
    /// Names the first item that is wrong.
    pub(super) fn context(&self, before: Vec<Value>) -> Result<Context, ApiError> {
        let mut reader = Reader::default();
        reader.take(Value::Array(before), "previous_response_id")?;
        reader.take(self.input.clone(), "input")?;
        let Reader { messages, items, .. } = reader;
        let instructions = self.instructions.iter().map(|text| Message {
            role: Role::System,
            content: text.clone(),
            calls: Vec::new(),
            answered: None,
        });
        Ok(Context { messages: instructions.chain(messages).collect(), items })
    }
}

impl Context {
    /// The body as it is filed: with all items that the answer goes on from, and in `baton` what a reply tells of it.
    pub(super) fn filed(&self, request: &ResponseRequest, created: i64) -> Value {
        let mut filed = request.asked.clone();
        filed.insert("input".to_owned(), self.items.iter().map(|item| item.json(None)).collect());
        let baton = json!({"created_at": created, "previous_response_id": request.previous, "store": request.store});
        filed.insert("baton".to_owned(), baton);
        Value::Object(filed)
    }
}

fn take_store(fields: &mut Fields) -> Result<bool, ApiError> {
    match fields.take("store") {
        None => Ok(true),
        Some(Value::Bool(store)) => Ok(store),
        Some(other) => Err(wrong_type("store", "a boolean", &other)),
    }
}

fn take_stream_options(fields: &mut Fields, stream: bool) -> Result<(), ApiError> {
    let Some(mut options) = fields.object("stream_options")? else { return Ok(()) };
    if !stream {
        return Err(ApiError::invalid("stream_options", "`stream_options` is allowed only with `stream: true`"));
    }
    let at = options.path("include_obfuscation");
    if options.flag("include_obfuscation")? {
        return Err(ApiError::unsupported(at, "streams are not padded here; leave `include_obfuscation` out"));
    }
    options.finish()
}

/// The schema that the caller wants the answer in, from `text.format`.
fn take_text(fields: &mut Fields) -> Result<Option<Schema>, ApiError> {
    let Some(mut text) = fields.object("text")? else { return Ok(None) };
    let at = text.path("verbosity");
    if text.string("verbosity")?.is_some_and(|word| word != "medium") {
        return Err(ApiError::unsupported(at, "this model has no verbosity to set; ask for length in the input"));
    }
    let format = text.object("format")?;
    text.finish()?;
    let Some(mut format) = format else { return Ok(None) };
    let at = format.path("type");
    let schema = match format.string("type")?.as_deref() {
        Some("text") => None,
        Some("json_object") => Some(Schema::any_object()),
        Some("json_schema") => Some(named_schema(&mut format, "text.format")?),
        Some(_) => return Err(ApiError::invalid(at, "a format is of type `text`, `json_object` or `json_schema`")),
        None => return Err(ApiError::missing(at)),
    };
    format.finish()?;
    Ok(schema)
}

fn refuse_what_is_not_there(fields: &mut Fields) -> Result<(), ApiError> {
    for (name, instead) in UNSUPPORTED {
        if fields.take(name).is_some() {
            return Err(ApiError::unsupported(name, format!("`{name}`: {instead}")));
        }
    }
    if fields.list("include")?.is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::unsupported("include", "there is nothing more to include; leave `include` out"));
    }
    if fields.integer("top_logprobs", 0, 20)?.is_some_and(|top| top > 0) {
        let message = "log-probabilities are told of chats; use POST /v1/chat/completions";
        return Err(ApiError::unsupported("top_logprobs", message));
    }
    if fields.string("truncation")?.is_some_and(|word| word != "disabled") {
        return Err(ApiError::unsupported("truncation", "nothing is left out of the context; leave `truncation` out"));
    }
    if let Some(mut reasoning) = fields.object("reasoning")? {
        for name in ["effort", "summary", "generate_summary"] {
            let at = reasoning.path(name);
            if reasoning.take(name).is_some() {
                return Err(ApiError::unsupported(at, "this model has no reasoning to set"));
            }
        }
        reasoning.finish()?;
    }
    Ok(())
}
