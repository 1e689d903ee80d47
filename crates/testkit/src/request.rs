//! Requests to the engine.

use std::sync::Arc;

use baton_contract::{ConductorId, Digester, Generate, Prefix, Sampling, StopRules, TokenId};

/// A request without a twin: conductor `ada`, greedy, at most 8 tokens, ended by no token.
///
/// Its fields are public; change them with struct update syntax.
pub fn request(prompt: &[TokenId]) -> Generate {
    Generate {
        conductor: conductor("ada"),
        weight: 1,
        prefix: None,
        adapter: None,
        prompt: prompt.to_vec(),
        sampling: Sampling::greedy(),
        stop: StopRules {
            max_tokens: 8,
            min_tokens: 0,
            end_tokens: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
        },
        forced: Vec::new(),
        constraint: None,
    }
}

/// A conductor's id.
///
/// # Panics
/// If the name is not a valid one.
pub fn conductor(name: &str) -> ConductorId {
    name.parse().expect("a valid conductor's name")
}

/// A twin's prefix whose digest is that of its label and tokens.
pub fn prefix(label: &str, tokens: &[TokenId]) -> Arc<Prefix> {
    let mut digester = Digester::new("test prefix");
    digester.field(label.as_bytes());
    for token in tokens {
        digester.field(&token.to_le_bytes());
    }
    Arc::new(Prefix { digest: digester.finish(), label: label.to_owned(), tokens: tokens.to_vec(), adapter: None })
}
