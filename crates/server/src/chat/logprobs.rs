//! Log-probabilities in the shape of the chat endpoint.

use baton_contract::TokenId;
use baton_text::Tokenizer;

use super::types::{Alternative, ChatLogprobs, TokenLogprob};
use crate::cue::{TokenReport, finite, token_text};

/// Nothing if no token has any, which is so if they were not asked for.
pub(super) fn chat_logprobs(tokenizer: &Tokenizer, tokens: &[TokenReport]) -> Option<ChatLogprobs> {
    if tokens.is_empty() {
        return None;
    }
    let alternative = |token: TokenId, logprob: f32| Alternative {
        token: token_text(tokenizer, token),
        logprob: finite(logprob),
        bytes: tokenizer.piece(token).to_vec(),
    };
    let content = tokens.iter().map(|report| {
        let Alternative { token, logprob, bytes } = alternative(report.token, report.logprobs.logprob);
        let top = report.logprobs.top.iter().map(|(token, logprob)| alternative(*token, *logprob));
        TokenLogprob { token, logprob, bytes, top_logprobs: top.collect() }
    });
    Some(ChatLogprobs { content: content.collect(), refusal: None })
}
