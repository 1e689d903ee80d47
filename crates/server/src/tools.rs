//! Tools that a caller offers: functions that the model may ask it to run.
//!
//! Every call is drawn by a grammar, whether it is asked for or comes by itself: from the mark that begins it, its name is
//! one of those offered and its arguments meet their schema. So `strict` makes no difference, and a schema that cannot be
//! held to is refused.

use std::collections::BTreeSet;

use baton_constraint::{CallError, CallRules, Schema};
use baton_contract::Digest;
use baton_text::{CallForm, Tool};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::json::{Fields, wrong_type};

/// Most tools in one request.
const MOST: usize = 128;
/// Characters of a tool's description.
const DESCRIPTION: usize = 16 << 10;

/// How a wire format writes tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Chats: a function stands in `function`.
    Nested,
    /// Responses: a function's fields stand beside `type`.
    Flat,
}

/// Tools that may be called in an answer.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// What the model is told of.
    pub(crate) told: Vec<Tool>,
    rules: Vec<(String, Schema)>,
    /// Places in `told` of those that may be called.
    open: Vec<usize>,
    must: bool,
    many: bool,
    wire: Wire,
}

enum Choice {
    None,
    Auto,
    Required,
    Named(String),
    Allowed { names: Vec<String>, must: bool },
}

impl Tools {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls`; none if nothing may be called.
    ///
    /// # Errors
    /// Names the first field that is wrong, or the schema that cannot be held to.
    pub(crate) fn take(fields: &mut Fields, wire: Wire) -> Result<Option<Self>, ApiError> {
        let list = fields.list("tools")?.unwrap_or_default();
        if list.len() > MOST {
            return Err(ApiError::invalid("tools", format!("`tools` takes at most {MOST} tools, not {}", list.len())));
        }
        let many = match fields.take("parallel_tool_calls") {
            None => true,
            Some(Value::Bool(many)) => many,
            Some(other) => return Err(wrong_type("parallel_tool_calls", "a boolean", &other)),
        };
        let (mut told, mut rules, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (index, value) in list.into_iter().enumerate() {
            let path = format!("tools[{index}]");
            let (tool, schema) = read_tool(value, &path, wire)?;
            if !names.insert(tool.name.clone()) {
                return Err(ApiError::invalid(path, format!("two tools are called `{}`", tool.name)));
            }
            rules.push((tool.name.clone(), schema));
            told.push(tool);
        }
        let choice = take_choice(fields, wire)?;
        let place = |name: &str| {
            let unknown = || ApiError::invalid("tool_choice", format!("`{name}` is none of the tools"));
            told.iter().position(|tool| tool.name == name).ok_or_else(unknown)
        };
        let (open, must) = match choice {
            Choice::None => return Ok(None),
            Choice::Auto if told.is_empty() => return Ok(None),
            Choice::Required if told.is_empty() => {
                return Err(ApiError::invalid("tool_choice", "there are no tools to call; give some in `tools`"));
            }
            Choice::Auto => ((0..told.len()).collect(), false),
            Choice::Required => ((0..told.len()).collect(), true),
            Choice::Named(name) => (vec![place(&name)?], true),
            Choice::Allowed { names, must } => {
                let open: BTreeSet<usize> = names.iter().map(|name| place(name)).collect::<Result<_, _>>()?;
                (open.into_iter().collect(), must)
            }
        };
        Ok(Some(Self { told, rules, open, must, many, wire }))
    }

    /// What an answer may call, in a model's form.
    pub(crate) fn rules(&self, form: &CallForm) -> CallRules {
        let tools = self.open.iter().map(|at| self.rules[*at].clone()).collect();
        CallRules { form: form.clone(), tools, must: self.must, many: self.many }
    }

    /// A schema cannot be held to.
    pub(crate) fn refused(&self, error: &CallError) -> ApiError {
        match error.tool.and_then(|tool| self.open.get(tool)) {
            Some(at) => refused(&parameters_path(&format!("tools[{at}]"), self.wire), &error.error),
            None => ApiError::invalid("tools", format!("these tools cannot be offered: {}", error.error)),
        }
    }
}

fn parameters_path(path: &str, wire: Wire) -> String {
    let inner = if wire == Wire::Nested { ".function" } else { "" };
    format!("{path}{inner}.parameters")
}

fn refused(at: &str, error: &baton_constraint::SchemaError) -> ApiError {
    ApiError::invalid(at, format!("arguments cannot be held to `{at}`: {error}"))
}

fn read_tool(value: Value, path: &str, wire: Wire) -> Result<(Tool, Schema), ApiError> {
    let mut fields = Fields::of(value, path)?;
    is_function(&mut fields)?;
    let read = match wire {
        Wire::Flat => read_function(&mut fields)?,
        Wire::Nested => {
            let at = fields.path("function");
            let mut function = fields.object("function")?.ok_or_else(|| ApiError::missing(at))?;
            let read = read_function(&mut function)?;
            function.finish()?;
            read
        }
    };
    fields.finish()?;
    Ok(read)
}

fn is_function(fields: &mut Fields) -> Result<(), ApiError> {
    let at = fields.path("type");
    match fields.string("type")?.as_deref() {
        Some("function") => Ok(()),
        Some(_) => {
            Err(ApiError::unsupported(at, "only tools of type `function` are supported; they are the caller's own"))
        }
        None => Err(ApiError::missing(at)),
    }
}

fn read_function(fields: &mut Fields) -> Result<(Tool, Schema), ApiError> {
    let at = fields.path("name");
    let name = fields.string("name")?.ok_or_else(|| ApiError::missing(&at))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        return Err(ApiError::invalid(at, "the name has 1 to 64 letters, digits, `_` or `-`"));
    }
    let at = fields.path("description");
    let description = fields.string("description")?;
    if description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION) {
        return Err(ApiError::invalid(at, format!("a description has at most {DESCRIPTION} characters")));
    }
    fields.flag("strict")?;
    let at = fields.path("parameters");
    let parameters = fields.take("parameters").unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let schema = Schema::read_arguments(&parameters).map_err(|error| refused(&at, &error))?;
    Ok((Tool { name, description, parameters }, schema))
}

fn take_choice(fields: &mut Fields, wire: Wire) -> Result<Choice, ApiError> {
    const AT: &str = "tool_choice";
    match fields.take(AT) {
        None => Ok(Choice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Ok(Choice::None),
            "auto" => Ok(Choice::Auto),
            "required" => Ok(Choice::Required),
            _ => {
                Err(ApiError::invalid(AT, "`tool_choice` is `none`, `auto`, `required` or an object that names tools"))
            }
        },
        Some(value @ Value::Object(_)) => {
            let mut fields = Fields::of(value, AT)?;
            let choice = named(&mut fields, wire)?;
            fields.finish()?;
            Ok(choice)
        }
        Some(other) => Err(wrong_type(AT, "a string or an object", &other)),
    }
}

fn named(fields: &mut Fields, wire: Wire) -> Result<Choice, ApiError> {
    let at = fields.path("type");
    match fields.string("type")?.as_deref() {
        Some("function") => take_name(fields, wire).map(Choice::Named),
        Some("allowed_tools") if wire == Wire::Flat => allowed(fields, wire),
        Some("allowed_tools") => {
            let at = fields.path("allowed_tools");
            let mut inner = fields.object("allowed_tools")?.ok_or_else(|| ApiError::missing(at))?;
            let choice = allowed(&mut inner, wire)?;
            inner.finish()?;
            Ok(choice)
        }
        Some(_) => Err(ApiError::unsupported(at, "a choice is of type `function` or `allowed_tools`")),
        None => Err(ApiError::missing(at)),
    }
}

fn take_name(fields: &mut Fields, wire: Wire) -> Result<String, ApiError> {
    let name = |fields: &mut Fields| {
        let at = fields.path("name");
        fields.string("name")?.ok_or_else(|| ApiError::missing(at))
    };
    if wire == Wire::Flat {
        return name(fields);
    }
    let at = fields.path("function");
    let mut function = fields.object("function")?.ok_or_else(|| ApiError::missing(at))?;
    let name = name(&mut function)?;
    function.finish()?;
    Ok(name)
}

fn allowed(fields: &mut Fields, wire: Wire) -> Result<Choice, ApiError> {
    let at = fields.path("mode");
    let must = match fields.string("mode")?.as_deref() {
        Some("auto") => false,
        Some("required") => true,
        Some(_) => return Err(ApiError::invalid(at, "a mode is `auto` or `required`")),
        None => return Err(ApiError::missing(at)),
    };
    let at = fields.path("tools");
    let list = fields.list("tools")?.ok_or_else(|| ApiError::missing(&at))?;
    if list.is_empty() {
        return Err(ApiError::invalid(at, "at least one tool is allowed; to allow none, say `none`"));
    }
    let read = |(index, value)| {
        let mut fields = Fields::of(value, &format!("{at}[{index}]"))?;
        is_function(&mut fields)?;
        let name = take_name(&mut fields, wire)?;
        fields.finish()?;
        Ok(name)
    };
    let names = list.into_iter().enumerate().map(read).collect::<Result<_, ApiError>>()?;
    Ok(Choice::Allowed { names, must })
}

/// The arguments of a call that is sent back: a JSON object in a string.
///
/// # Errors
/// They are something else.
pub(crate) fn read_arguments(text: &str, at: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match crate::json::parse(text.as_bytes()) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) | Err(_) => Err(ApiError::invalid(at, format!("`{at}` must be a JSON object in a string"))),
    }
}

/// The id of a call: of the `number`th of the `index`th answer of a reply.
pub(crate) fn call_id(reply: &str, index: u32, number: usize) -> String {
    derived_id("call", &format!("{reply} {index} {number}"))
}

/// An id that follows from what it is the id of: `label` and 24 hex digits.
pub(crate) fn derived_id(label: &str, of: &str) -> String {
    let digest = Digest::of(format!("{label} {of}").as_bytes()).to_string();
    let hex: String = digest.chars().skip_while(|c| *c != ':').skip(1).take(24).collect();
    format!("{label}_{hex}")
}
