//! From messages to a request to the engine, for cues that come from this terminal.

use anyhow::Result;
use baton_contract::{ConductorId, Generate, Sampling, StopRules};
use baton_text::ChatMessage;

use crate::wiring::{Ground, Runtime};

/// Tokens of an answer if neither the flag nor the pack says.
pub(crate) const ANSWER_TOKENS: usize = 512;

/// The request for an answer to `messages` of at most `max_tokens`, as far as the model's context has room for them. The
/// prefix is used if the messages begin with it.
pub(crate) fn request(
    runtime: &Runtime,
    messages: &[ChatMessage],
    ground: &Ground,
    sampling: Sampling,
    max_tokens: usize,
    conductor: ConductorId,
) -> Result<Generate> {
    let Runtime { tokenizer, template, engine, .. } = runtime;
    let mut prompt = tokenizer.encode_rendered(&template.render(messages, true)?);
    let input = prompt.len();
    let Ground { prefix, adapter, .. } = ground.clone();
    let prefix = prefix.filter(|prefix| input > prefix.tokens.len() && prompt.starts_with(&prefix.tokens));
    if let Some(prefix) = &prefix {
        prompt.drain(..prefix.tokens.len());
    }
    let room = engine.limits().max_context.saturating_sub(input);
    let stop = StopRules {
        max_tokens: max_tokens.min(room).max(1),
        min_tokens: 0,
        end_tokens: tokenizer.end_tokens().to_vec(),
        stop_tokens: Vec::new(),
        ignore_end: false,
    };
    Ok(Generate { conductor, weight: 1, prefix, adapter, prompt, sampling, stop, forced: Vec::new(), constraint: None })
}
