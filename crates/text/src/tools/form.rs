//! The forms in which models write calls.

use baton_contract::TokenId;

use crate::Tokenizer;

/// What begins or ends calls in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A text of ordinary tokens.
    Text(&'static str),
    /// A control token, which no text can spell.
    Token {
        /// Its id.
        token: TokenId,
        /// Its spelling, for people.
        text: &'static str,
    },
}

/// How a model writes calls: `open`, one call or a list of them, `close`.
///
/// A call is an object `{"name": …, "arguments": {…}}`, whose second key is `arguments` or `parameters`, or its name and
/// then its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallForm {
    /// Comes before a call, or before the list of calls.
    pub open: Option<Mark>,
    /// Comes after it.
    pub close: Option<Mark>,
    /// Whether calls stand in a list.
    pub list: bool,
    /// Whether an answer may also be a call from its first word on, without `open`; it is then one call.
    pub bare: bool,
    /// The key of a call's arguments.
    pub arguments: &'static str,
    /// What stands between a call's name and its arguments where it is no object.
    pub named: Option<Named>,
}

/// How a call is written as its name and then its arguments, each call after `open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Comes after the name and before an id of nine letters and digits, which some models give.
    pub id: Option<Mark>,
    /// Comes before the arguments.
    pub arguments: Mark,
}

/// A form before the vocabulary is known.
struct Row {
    open: Option<&'static str>,
    close: Option<&'static str>,
    list: bool,
    bare: bool,
    arguments: &'static str,
    named: bool,
}

/// Qwen, SmolLM and all that learned from Hermes; also what a model is taught whose template knows of no tools.
const HERMES: Row = Row { open: Some("<tool_call>"), close: Some("</tool_call>"), ..PLAIN };
/// A call as one object, and nothing around it.
const PLAIN: Row = Row { open: None, close: None, list: false, bare: false, arguments: "arguments", named: false };
const MISTRAL: Row = Row { open: Some("[TOOL_CALLS]"), list: true, ..PLAIN };
/// Mistral's models since 2025: `[TOOL_CALLS]name[ARGS]{…}`, for a time with `[CALL_ID]` and an id after the name.
const NEWER_MISTRAL: Row = Row { open: Some("[TOOL_CALLS]"), named: true, ..PLAIN };
const PHI: Row = Row { open: Some("<|tool_call|>"), close: Some("<|/tool_call|>"), list: true, ..PLAIN };
/// The tag is for built-in tools, but the models write it before others, too.
const LLAMA: Row = Row { open: Some("<|python_tag|>"), bare: true, arguments: "parameters", ..PLAIN };
const GEMMA: Row = Row { bare: true, arguments: "parameters", ..PLAIN };

/// What templates write that ask for calls in forms that are not read here; they are used as if they knew of no tools.
const OTHER_FORMS: [&str; 2] = ["<function=", "<|tool_calls_section_begin|>"];

impl CallForm {
    /// The form that a model with this template and vocabulary writes; false if the template means another one.
    pub(crate) fn of(template: &str, tokenizer: &Tokenizer) -> (Self, bool) {
        let has = |text: &str| template.contains(text);
        let is_known = !OTHER_FORMS.iter().any(|text| has(text));
        let row = if is_known && has("[TOOL_CALLS]") && has("[ARGS]") {
            NEWER_MISTRAL
        } else if is_known && has("[TOOL_CALLS]") {
            MISTRAL
        } else if is_known && (has("<|tool_call|>") || has("<|tool|>")) {
            PHI
        } else if has("<tool_call>") {
            HERMES
        } else if has("<|start_header_id|>") {
            LLAMA
        } else if has("<start_of_turn>") {
            GEMMA
        } else {
            HERMES
        };
        let mark = |text: &'static str| match tokenizer.control_token(text) {
            Some(token) => Mark::Token { token, text },
            None => Mark::Text(text),
        };
        let Row { list, bare, arguments, .. } = row;
        // Where a call may do without it, only a true token counts: nobody spells it by chance.
        let open = row.open.map(mark).filter(|open| !bare || matches!(open, Mark::Token { .. }));
        let named =
            row.named.then(|| Named { id: has("[CALL_ID]").then(|| mark("[CALL_ID]")), arguments: mark("[ARGS]") });
        (Self { open, close: row.close.map(mark), list, bare, arguments, named }, is_known)
    }

    /// Whether calls have ids of nine letters and digits.
    pub(crate) fn has_short_ids(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.text() == "[TOOL_CALLS]")
    }
}

impl Mark {
    /// Its spelling.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Text(text) | Self::Token { text, .. } => text,
        }
    }

    /// Whether it is this control token.
    pub fn is(&self, drawn: TokenId) -> bool {
        matches!(self, Self::Token { token, .. } if *token == drawn)
    }
}
