//! A schema as a constraint for one vocabulary.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;

use baton_contract::{Constraint, Walk};
use baton_text::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::exclusive::simplified;
use crate::limits::{BUILD_FUEL, COMPILE_STACK, GRAMMAR_SIZE, LEXER_STATES, STEP_FUEL, STEP_ITEMS};
use crate::walk::SchemaWalk;
use crate::{Schema, SchemaError, vocabulary};

/// Compiles schemas for one vocabulary. Cheap to clone.
#[derive(Clone)]
pub struct Grammars(Arc<Inner>);

struct Inner {
    /// None for a vocabulary of single bytes.
    tokenizer: Option<Tokenizer>,
    /// Made for the first schema, which then takes a moment longer: a server that compiles none starts without it.
    factory: OnceLock<Result<ParserFactory, SchemaError>>,
}

/// A schema, compiled. The same tokens lead to the same choices, whatever else is drawn from it.
pub struct Grammar {
    /// Stands before the first token; each answer goes on from a copy of its own.
    start: Matcher,
    schema: Schema,
}

/// Between two words of JSON stands at most one blank, or one line break with what indents the next line. Without a
/// bound, a model that has nothing to say writes blanks until it is cut.
const BLANKS: &str = r"(?:\x20|\x0A\x20{0,32})";
/// Escapes that may be drawn; characters that need none stand for themselves, so that a name is spelled in one way.
const ESCAPES: &str = "nrbtf\\\"";

impl Grammars {
    /// For the vocabulary of this tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self(Arc::new(Inner { tokenizer: Some(tokenizer.clone()), factory: OnceLock::new() }))
    }

    /// For a vocabulary of single bytes: whether a schema compiles can be known without a model.
    pub fn of_bytes() -> Self {
        Self(Arc::new(Inner { tokenizer: None, factory: OnceLock::new() }))
    }

    /// Compiles a schema: some milliseconds of work that the caller waits for, more for a large one and for the first.
    ///
    /// # Errors
    /// The schema cannot be met, or not within bounds.
    pub fn compile(&self, schema: &Schema) -> Result<Grammar, SchemaError> {
        let of = schema.clone();
        let start = self.build(move |factory| compile(factory, &of))?;
        Ok(Grammar { start, schema: schema.clone() })
    }

    /// Runs `work` with the vocabulary on a thread with stack enough.
    pub(crate) fn build<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ParserFactory) -> Result<T, SchemaError> + Send + 'static,
    ) -> Result<T, SchemaError> {
        let inner = Arc::clone(&self.0);
        let build = move || {
            let factory =
                inner.factory.get_or_init(|| prepare(inner.tokenizer.as_ref())).as_ref().map_err(Clone::clone)?;
            work(factory)
        };
        let failed = |_| SchemaError::new("", "the schema could not be compiled");
        let thread = thread::Builder::new().name("baton-schema".to_owned()).stack_size(COMPILE_STACK);
        let running = thread.spawn(build).map_err(failed)?;
        running.join().unwrap_or_else(|_| Err(SchemaError::new("", "the schema could not be compiled")))
    }
}

fn prepare(tokenizer: Option<&Tokenizer>) -> Result<ParserFactory, SchemaError> {
    let slices = SlicedBiasComputer::json_slices();
    let environment = tokenizer.map_or_else(ApproximateTokEnv::single_byte_env, vocabulary::environment);
    let factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices);
    let refuse = |reason: &str| format!("this model's vocabulary cannot be held to a schema: {}", first_line(reason));
    let mut factory = factory.map_err(|error| SchemaError::new("", refuse(&error.to_string())))?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.initial_lexer_fuel = BUILD_FUEL;
    limits.step_lexer_fuel = STEP_FUEL;
    limits.step_max_items = STEP_ITEMS;
    limits.max_lexer_states = LEXER_STATES;
    limits.max_grammar_size = GRAMMAR_SIZE;
    // It would run large patterns over the whole vocabulary; what an answer never reaches is not worth the wait.
    limits.precompute_large_lexemes = false;
    limits.verbose_errors = false;
    Ok(factory)
}

fn compile(factory: &ParserFactory, schema: &Schema) -> Result<Matcher, SchemaError> {
    let grammar = TopLevelGrammar::from_json_schema(with_options(schema.root()));
    first(factory, grammar).map_err(|error| explain(&error.message, schema))
}

/// A schema with what is ours to say of blanks and escapes.
pub(crate) fn with_options(schema: &Value) -> Value {
    let mut source = simplified(schema);
    if let Value::Object(keywords) = &mut source {
        let options = json!({"whitespace_pattern": BLANKS, "json_allowed_escapes": ESCAPES});
        keywords.insert("x-guidance".to_owned(), options);
    }
    source
}

/// A walk before the first token, which is worked out once here, so that a schema that nothing can meet is told from
/// one that can. Errors are llguidance's own.
pub(crate) fn first(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, SchemaError> {
    let mut start = Matcher::new(factory.create_parser(grammar));
    let first = start.compute_mask();
    match (start.get_error(), first) {
        (None, Ok(first)) if !first.is_zero() => Ok(start),
        (Some(error), _) => Err(SchemaError::new("", error)),
        (None, Ok(_)) => Err(SchemaError::new("", "NoExtensionBias")),
        (None, Err(error)) => Err(SchemaError::new("", error.to_string())),
    }
}

/// In our words where a caller can do something about it.
fn explain(error: &str, schema: &Schema) -> SchemaError {
    if error.contains("oneOf constraints") {
        let path = schema.doubtful().iter().find(|path| path.ends_with("/oneOf")).map_or("", String::as_str);
        let message = "`oneOf` can be honoured only where no value meets two of its options; use `anyOf`";
        return SchemaError::new(path, message);
    }
    if error.contains("min/maxProperties only") {
        let message = "`minProperties` and `maxProperties` can be honoured only where all `properties` are `required`";
        return SchemaError::new("", message);
    }
    let reason = first_line(error);
    let message = match (reason.strip_prefix("Unsatisfiable schema: "), reason.as_str()) {
        (Some(reason), _) => format!("no answer can meet the schema: {reason}"),
        (None, "NoExtensionBias") => "no answer can meet the schema".to_owned(),
        (None, "schema too large") => "the options of the schema combine into too many cases".to_owned(),
        (None, reason) => format!("the schema cannot be honoured: {reason}"),
    };
    SchemaError::new("", message)
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

impl Grammar {
    /// What it was compiled from.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl Constraint for Grammar {
    fn begin(&self) -> Box<dyn Walk> {
        Box::new(SchemaWalk::new(self.start.deep_clone()))
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grammar").field(&self.schema).finish()
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammars")
    }
}
