//! A pack's spec, for answers that are asked for in this terminal.

use std::sync::Arc;

use anyhow::{Context, Result};
use baton_constraint::{Grammars, Schema, SchemaError};
use baton_contract::Constraint;
use baton_pack::{Pack, RuleFault};
use baton_text::Tokenizer;
use serde_json::Value;

/// What the tokens of answers must keep to, if the pack has a schema.
pub(crate) fn constraint(pack: &Pack, tokenizer: &Tokenizer) -> Result<Option<Arc<dyn Constraint>>> {
    let Some(spec) = pack.spec() else { return Ok(None) };
    let compiled = Schema::read(spec).and_then(|schema| Grammars::new(tokenizer).compile(&schema));
    Ok(Some(Arc::new(compiled.context("answers cannot be held to spec.json")?)))
}

/// Why an answer is broken work; empty if it is not.
pub(crate) fn broken(pack: &Pack, answer: &str) -> Vec<String> {
    let breach = || {
        let schema = Schema::read(pack.spec()?).ok()?;
        schema.check(&serde_json::from_str::<Value>(answer).ok()?).err()
    };
    breach().map(|breach| breach.to_string()).into_iter().chain(pack.broken_work(answer)).collect()
}

/// Whether answers can be held to the pack's spec; where in it they cannot is said by a JSON pointer.
pub(crate) fn faults(pack: &Pack) -> Vec<RuleFault> {
    let compiled = pack.spec().map(|spec| Schema::read(spec).and_then(|schema| Grammars::of_bytes().compile(&schema)));
    let fault = |error: SchemaError| RuleFault {
        path: "spec.json".to_owned(),
        offset: None,
        message: error.to_string(),
        hint: Some("answers are drawn by the schema, so each of its keywords must be one to draw by".to_owned()),
    };
    compiled.and_then(Result::err).map(fault).into_iter().collect()
}
