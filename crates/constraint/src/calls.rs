//! Calls of tools as a constraint: an answer that may lead into calls, or is nothing but calls, with arguments that meet
//! their schemas.

use std::fmt;
use std::fmt::Write;

use baton_contract::{Constraint, Walk};
use baton_text::{CallForm, Mark};
use llguidance::Matcher;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::Value;

use crate::grammar::{Grammars, first, first_line, with_options};
use crate::limits::{CALLS, TOOLS};
use crate::walk::SchemaWalk;
use crate::{Schema, SchemaError};

/// What an answer may call, and whether it must.
#[derive(Clone, Debug)]
pub struct CallRules {
    /// How the model writes calls.
    pub form: CallForm,
    /// Each tool's name, of letters, digits, `_` and `-`, and what its arguments must meet ([`Schema::read_arguments`]).
    pub tools: Vec<(String, Schema)>,
    /// Whether the answer is calls and nothing else; otherwise it may be text, or text and then calls.
    pub must: bool,
    /// Whether there may be several calls; forms without a mark have one at most.
    pub many: bool,
}

/// Why tools cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// Which tool's schema is at fault, if it is one alone.
    pub tool: Option<usize>,
    /// What is wrong.
    pub error: SchemaError,
}

/// Rules, compiled. The same tokens lead to the same choices, whatever else is drawn from it.
pub struct CallGrammar {
    /// Stands before the first token; each answer goes on from a copy of its own.
    start: Matcher,
    tools: Vec<String>,
}

impl Grammars {
    /// Compiles the rules of calls: some milliseconds of work that the caller waits for, more for large schemas.
    ///
    /// # Errors
    /// There are no tools or too many, or arguments cannot meet their schema, or not within bounds.
    pub fn compile_calls(&self, rules: &CallRules) -> Result<CallGrammar, CallError> {
        let of_all = |error| CallError { tool: None, error };
        if !(1..=TOOLS).contains(&rules.tools.len()) {
            return Err(of_all(SchemaError::new("", format!("1 to {TOOLS} tools can be offered at once"))));
        }
        let tools: Vec<String> = rules.tools.iter().map(|(name, _)| name.clone()).collect();
        let grammar = TopLevelGrammar { grammars: grammars(rules), max_tokens: None };
        let error = match self.build(move |factory| first(factory, grammar)) {
            Ok(start) => return Ok(CallGrammar { start, tools }),
            Err(error) => error,
        };
        // Only now, because it compiles everything again: whose fault is it?
        let alone = rules.tools.iter().map(|(_, schema)| self.compile(schema).err());
        let at_fault = alone.enumerate().find_map(|(tool, error)| Some(CallError { tool: Some(tool), error: error? }));
        Err(at_fault.unwrap_or_else(|| of_all(SchemaError::new("", first_line(&error.message)))))
    }
}

fn grammars(rules: &CallRules) -> Vec<GrammarWithLexer> {
    let grammar = |name: Option<String>, lark: Option<String>, schema: Option<Value>| GrammarWithLexer {
        name,
        json_schema: schema,
        lark_grammar: lark,
    };
    let arguments = rules.tools.iter().enumerate().map(|(index, (_, schema))| {
        grammar(Some(format!("arguments_{index}")), None, Some(with_options(schema.root())))
    });
    [grammar(None, Some(source(rules)), None)].into_iter().chain(arguments).collect()
}

/// The rules in llguidance's variant of Lark.
///
/// A text mark is found by a lazy lexeme: as soon as it stands there, text is over.
pub(crate) fn source(rules: &CallRules) -> String {
    let CallRules { form, tools, must, many } = rules;
    let again = |what: &str| if *many { format!(" ({what}){{0,{}}}", CALLS - 1) } else { String::new() };
    let named = form.named.as_ref();
    let one = if named.is_some() { "tool" } else { "call" };
    let call = if form.list { format!("LIST call{} END", again("COMMA call")) } else { one.to_owned() };
    let close = form.close.as_ref().map_or(String::new(), |close| format!(" {}", mark(close)));
    let mut lark = if form.bare {
        let tag = form.open.as_ref().map(|open| format!("{} ", mark(open)));
        let tagged = tag.map_or(String::new(), |tag| format!(" | {tag}call FENCE?"));
        if *must {
            format!("start: FENCED? call FENCE?{tagged}\nFENCED: {FENCED}\n")
        } else {
            format!("start: TEXT? | lead tool FENCE?{tagged}\nlead[lazy]: (B* | {FENCED}) OPEN\n")
        }
    } else {
        let open = form.open.as_ref().map_or(String::new(), mark);
        let rest = if form.list { String::new() } else { again(&format!("B? {open} block")) };
        let start = match (must, &form.open) {
            (true, _) => format!("start: {open} block{rest}\n"),
            (false, Some(Mark::Text(_))) => {
                format!("start: TEXT? | lead block{rest}\nlead[lazy]: /(?s:.*)/ {open}\n")
            }
            (false, _) => format!("start: TEXT? | TEXT? {open} block{rest}\n"),
        };
        format!("{start}block: {call} B?{close}\n")
    };
    let alternatives: Vec<String> = (0..tools.len()).map(|index| format!("tool_{index}")).collect();
    lark.push_str("call: OPEN tool\n");
    // Writing to a String cannot fail.
    let _ = writeln!(lark, "tool: {}", alternatives.join(" | "));
    for (index, (name, _)) in tools.iter().enumerate() {
        if let Some(named) = named {
            let id = named.id.as_ref().map_or(String::new(), |id| format!("{} ID ", mark(id)));
            let _ = writeln!(lark, r#"tool_{index}: "{name}" {id}{} @arguments_{index}"#, mark(&named.arguments));
            continue;
        }
        let _ = writeln!(lark, "tool_{index}: NAME_{index} @arguments_{index} CLOSE");
        let _ = writeln!(lark, r#"NAME_{index}: "{name}\"" B? "," B? "\"{}\"" B? ":" B?"#, form.arguments);
    }
    lark.push_str(WORDS);
    lark
}

const WORDS: &str = r#"OPEN: B? "{" B? "\"name\"" B? ":" B? "\""
CLOSE: B? "}"
LIST: B? "["
COMMA: B? ","
END: B? "]"
FENCE: B? "```"
TEXT: /(?s:.+)/
ID: /[A-Za-z0-9]{9}/
B: /\x20|\n\x20{0,8}/
"#;
/// What may stand before a call that no mark begins.
const FENCED: &str = r#"B? "```" /[a-z_]{0,12}/"#;

fn mark(mark: &Mark) -> String {
    match mark {
        Mark::Text(text) => Value::from(*text).to_string(),
        Mark::Token { token, .. } => format!("<[{token}]>"),
    }
}

impl Constraint for CallGrammar {
    fn begin(&self) -> Box<dyn Walk> {
        Box::new(SchemaWalk::new(self.start.deep_clone()))
    }
}

impl fmt::Debug for CallGrammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallGrammar").field(&self.tools).finish()
    }
}
