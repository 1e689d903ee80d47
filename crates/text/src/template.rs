//! Chat templates: the Jinja text that a model brings, under Hugging Face's conventions.
//!
//! White space is handled as `transformers` does (`trim_blocks`, `lstrip_blocks`), with `break` and `continue`,
//! Python's string methods, `raise_exception` and `tojson` without HTML escapes. `strftime_now` is absent: the same
//! messages give the same prompt on any day, and templates that ask for it first fall back to their fixed date.

use std::fmt;
use std::sync::Arc;
use std::thread;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::{Map, Value as Json, json};

use crate::message::{SystemMessages, place_system};
use crate::shield::{Shield, has_marks};
use crate::tools::writing::{Place, Shows, mark_json, mark_members, short_id, written};
use crate::tools::{Answered, CallForm, Tool, ToolCall};
use crate::{ChatMessage, Error, Tokenizer};

/// Longest template source, in bytes: longer ones can exhaust the compiler's stack whatever its size.
const SOURCE_LIMIT: usize = 32 << 10;
/// Stack of the threads that compile and render: values can be nested as deep as `FUEL` lets them, and are dropped
/// level by level. It is reserved, not used.
const STACK: usize = 256 << 20;
/// What a template may cost: one an instruction, and one for 64 bytes that it makes. A real one takes about a hundred for
/// each message and a tenth of its content's bytes.
const FUEL: u64 = 1_000_000;
/// Macros that may call each other.
const RECURSION_LIMIT: usize = 50;
const NAME: &str = "chat";

/// A compiled chat template of one model. Cheap to clone.
#[derive(Clone)]
pub struct ChatTemplate {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Environment<'static>,
    tokenizer: Tokenizer,
    bos: String,
    eos: String,
    system: SystemMessages,
    calls: CallForm,
    shows: Shows,
}

/// A rendered chat. Content is told from scaffold inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    marked: String,
}

impl Rendered {
    /// The text, with marks around what might be mistaken for scaffold.
    pub(crate) fn marked(&self) -> &str {
        &self.marked
    }

    /// The text for people; where it spells a special token nothing tells scaffold from content.
    pub fn text(&self) -> String {
        Shield::remove(&self.marked).into_owned()
    }
}

impl ChatTemplate {
    /// Compiles a model's template for its tokenizer, and finds out which system messages and what of tools it takes.
    ///
    /// # Errors
    /// If the source is too long, not Jinja, or fails for a single user message.
    pub fn compile(source: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        if source.len() > SOURCE_LIMIT {
            return Err(Error::BadTemplate(format!("it has {} bytes; at most {SOURCE_LIMIT} fit", source.len())));
        }
        if has_marks(source) {
            return Err(Error::BadTemplate("it uses the noncharacters U+FDD0 or U+FDD1".to_owned()));
        }
        on_big_stack(|| Self::compile_here(source.to_owned(), tokenizer.clone()))
            .unwrap_or_else(|| Err(Error::BadTemplate("compiling it failed".to_owned())))
    }

    fn compile_here(source: String, tokenizer: Tokenizer) -> Result<Self, Error> {
        let (calls, is_known) = CallForm::of(&source, &tokenizer);
        let compiled = environment().and_then(|mut environment| {
            environment.add_template_owned(NAME, source)?;
            Ok(environment)
        });
        let environment =
            compiled.map_err(|error| Error::BadTemplate(format!("{error} (line {})", error.line().unwrap_or(0))))?;
        let roles = tokenizer.special_tokens();
        let (bos, eos) = (tokenizer.spelling(roles.bos), tokenizer.spelling(roles.eos));
        let (system, shows) = (SystemMessages::Anywhere, Shows::default());
        let mut inner = Inner { environment, tokenizer, bos, eos, system, calls, shows };
        inner.system = inner.probe_system()?;
        if is_known {
            inner.probe_tools();
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The messages as the model was trained to read them. A developer message is a system message; system messages
    /// that the template would refuse or drop are put into the user message that follows, under the heading
    /// `Instructions:`.
    ///
    /// # Errors
    /// If the template refuses the messages (the caller's fault), or fails.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<Rendered, Error> {
        self.render_with(messages, &[], add_generation_prompt)
    }

    /// The same with tools that the model may call. What the template does not show of them, of calls and of results is
    /// written into the messages: the tools as a system message after those that come first, calls in the model's own
    /// form, results as the user's.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_with(
        &self,
        messages: &[ChatMessage],
        tools: &[Tool],
        add_generation_prompt: bool,
    ) -> Result<Rendered, Error> {
        on_big_stack(|| self.inner.render_placed(messages, tools, add_generation_prompt))
            .unwrap_or_else(|| Err(Error::Render("it panicked, or there was no thread to run it on".to_owned())))
    }

    /// How the model writes calls of tools.
    pub fn call_form(&self) -> &CallForm {
        &self.inner.calls
    }

    /// Whether the template tells of tools by itself, before or after the first system message.
    pub fn tells_of_tools(&self) -> bool {
        self.inner.shows.tools != Place::Nowhere
    }
}

impl Inner {
    fn render_placed(&self, messages: &[ChatMessage], tools: &[Tool], open: bool) -> Result<Rendered, Error> {
        let shield = self.tokenizer.specials().shield();
        let tools: Vec<Json> = tools.iter().map(|tool| mark_json(shield, &tool.described())).collect();
        let messages = messages.iter().map(|message| marked(shield, message)).collect();
        let placed = place_system(&written(messages, &tools, &self.calls, self.shows), self.system);
        self.render(&placed, &tools, open)
    }

    /// Renders what is marked already.
    fn render(&self, messages: &[ChatMessage], tools: &[Json], add_generation_prompt: bool) -> Result<Rendered, Error> {
        let mut shown: Vec<Map<String, Json>> = messages.iter().map(|message| self.shown(message)).collect();
        let place = if tools.is_empty() { Place::Nowhere } else { self.shows.tools };
        if place == Place::InSystem {
            if shown.first().is_none_or(|first| first["role"] != "system") {
                shown.insert(0, self.shown(&ChatMessage::system("")));
            }
            shown[0].insert("tools".to_owned(), json!(python_json(&json!(tools))));
        }
        let context = context! {
            messages => shown.iter().map(value_of_members).collect::<Vec<_>>(),
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let context = if place == Place::Beside {
            context! { tools => tools.iter().map(value_of).collect::<Vec<_>>(), ..context }
        } else {
            context
        };
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(context));
        rendered.map(|marked| Rendered { marked }).map_err(|error| match refusal(&error) {
            Some(reason) => Error::Refused(reason),
            // As text, because the error holds the template's values, to be dropped here where there is stack for it.
            None => Error::Render(error.to_string()),
        })
    }

    /// A message as templates have it; a field that says nothing is absent.
    fn shown(&self, message: &ChatMessage) -> Map<String, Json> {
        let id = |id: &str| if self.calls.has_short_ids() { short_id(id) } else { id.to_owned() };
        let mut shown = Map::new();
        shown.insert("role".to_owned(), json!(message.role.name()));
        shown.insert("content".to_owned(), json!(message.content));
        if !message.calls.is_empty() {
            let call = |ToolCall { id: of, name, arguments }: &ToolCall| json!({"id": id(of), "type": "function", "function": {"name": name, "arguments": arguments}});
            shown.insert("tool_calls".to_owned(), message.calls.iter().map(call).collect());
        }
        if let Some(Answered { id: of, name }) = &message.answered {
            shown.insert("tool_call_id".to_owned(), json!(id(of)));
            shown.insert("name".to_owned(), json!(name));
        }
        shown
    }

    /// Tries chats on the template, because what it takes cannot be read off its source.
    fn probe_system(&self) -> Result<SystemMessages, Error> {
        let [pack, more, late] = ["pack probe", "more probe", "late probe"];
        let [ask, answer, again] = ["ask probe", "answer probe", "again probe"];
        let works = |chat: &[ChatMessage]| {
            self.render(chat, &[], true).is_ok_and(|rendered| {
                let mut rest = rendered.marked();
                chat.iter().all(|message| match rest.split_once(&message.content) {
                    Some((_, after)) => {
                        rest = after;
                        true
                    }
                    None => false,
                })
            })
        };
        let (system, user) = (ChatMessage::system, ChatMessage::user);
        let anywhere =
            [system(pack), system(more), user(ask), ChatMessage::assistant(answer), system(late), user(again)];
        if works(&anywhere) {
            return Ok(SystemMessages::Anywhere);
        }
        if works(&[system(pack), user(ask)]) {
            return Ok(SystemMessages::First);
        }
        self.render(&[user(ask)], &[], true)
            .map(|_| SystemMessages::Nowhere)
            .map_err(|error| Error::BadTemplate(format!("it fails for one user message: {error}")))
    }

    /// Tries tools, a call and its result on the template.
    fn probe_tools(&mut self) {
        let tool = Tool { name: "probe_tool".to_owned(), description: None, parameters: json!({"type": "object"}) };
        let tools = [tool.described()];
        let has = |inner: &Self, chat: &[ChatMessage], texts: &[&str]| {
            let rendered = inner.render(chat, &tools, true);
            rendered.is_ok_and(|rendered| texts.iter().all(|text| rendered.marked().contains(text)))
        };
        let mut chat = vec![ChatMessage::user("ask probe")];
        let ways = [Place::Beside, Place::InSystem].map(|tools| Shows { tools, ..Shows::default() });
        let shows = ways.into_iter().find(|shows| {
            self.shows = *shows;
            has(self, &chat, &["probe_tool"])
        });
        self.shows = shows.unwrap_or_default();
        if self.shows.tools == Place::Nowhere {
            return;
        }
        let arguments = Map::from_iter([("probe_key".to_owned(), json!("probe_value"))]);
        let call = ToolCall { id: "probe0001".to_owned(), name: "probe_call".to_owned(), arguments };
        let answered = Answered { id: call.id.clone(), name: call.name.clone() };
        chat.push(ChatMessage::calling("", vec![call]));
        self.shows.calls = has(self, &chat, &["probe_call", "probe_key", "probe_value"]);
        if !self.shows.calls {
            chat[1] = ChatMessage::assistant("answer probe");
        }
        chat.push(ChatMessage::result(answered, "probe_result"));
        self.shows.results = has(self, &chat, &["probe_result"]);
    }
}

/// A message whose texts are marked.
fn marked(shield: &Shield, message: &ChatMessage) -> ChatMessage {
    let mark = |text: &str| shield.mark(text).into_owned();
    let call = |call: &ToolCall| ToolCall {
        id: mark(&call.id),
        name: mark(&call.name),
        arguments: mark_members(shield, &call.arguments),
    };
    let answered = |of: &Answered| Answered { id: mark(&of.id), name: mark(&of.name) };
    ChatMessage {
        role: message.role,
        content: mark(&message.content),
        calls: message.calls.iter().map(call).collect(),
        answered: message.answered.as_ref().map(answered),
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("system", &self.inner.system).finish_non_exhaustive()
    }
}

/// Runs `work` on a thread with `STACK`; none if it panics or there is no thread.
fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("baton-template".to_owned()).stack_size(STACK);
        builder.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Carries the text that a template gave to `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn refusal(error: &minijinja::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(Raised(reason)) = cause.downcast_ref() {
            return Some(reason.clone());
        }
        source = cause.source();
    }
    None
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(reason)))
    });
    environment
        .add_filter("tojson", |value: &Value, indent: Option<Value>, options: Kwargs| to_json(value, indent, options));
    Ok(environment)
}

/// A JSON value as templates have it.
fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value_of).collect(),
        Json::Object(members) => value_of_members(members),
    }
}

fn value_of_members(members: &Map<String, Json>) -> Value {
    Value::from_pairs(members.iter().map(|(name, value)| (name.as_str(), value_of(value))))
}

/// A JSON value as `tojson` writes it; empty for what JSON cannot say.
pub(crate) fn python_json(value: &Json) -> String {
    let options = std::iter::empty::<(String, Value)>().collect::<Kwargs>();
    to_json(&value_of(value), None, options).unwrap_or_default()
}

/// `json.dumps(value, ensure_ascii=False, indent=…)`, which Hugging Face puts in place of Jinja's own filter: that
/// one writes four characters as escapes, to be safe in HTML.
fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, minijinja::Error> {
    let json = minijinja::filters::tojson(value, indent, options)?.to_string();
    let mut plain = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escape = &rest[at..];
        let html = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        rest = if let Some((escaped, character)) = html.iter().find(|(escaped, _)| escape.starts_with(escaped)) {
            plain.push(*character);
            &escape[escaped.len()..]
        } else {
            // Another escape; its second character is ASCII and may itself be a backslash.
            plain.push_str(&escape[..2]);
            &escape[2..]
        };
    }
    plain.push_str(rest);
    Ok(plain)
}
