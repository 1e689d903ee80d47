//! From answers to the reply.

use std::collections::BTreeMap;

use baton_contract::Usage;
use baton_text::Tokenizer;

use super::types::{Completion, CompletionChoice, CompletionLogprobs, Prompt};
use crate::cue::{Answer, ChunkUsage, TokenReport, UsageBody, finish_reason, finite, token_text, total};
use crate::reply::Reply;

/// What is said again before each answer.
pub(super) fn echoes(tokenizer: &Tokenizer, prompts: &[Prompt], n: usize) -> Vec<String> {
    let text = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(tokens) => tokenizer.decode(tokens),
    };
    prompts.iter().flat_map(|prompt| std::iter::repeat_n(text(prompt), n)).collect()
}

/// The whole reply; `n` answers to each prompt, prompt by prompt.
pub(super) fn completion(reply: &Reply, mut answers: Vec<Answer>, echoes: Vec<String>, n: usize) -> Completion<'_> {
    let baton = reply.extra.with_answers(answers.iter_mut().filter_map(|answer| answer.kept.take()));
    let usages: Vec<Usage> = answers.iter().map(|answer| answer.usage).collect();
    let choices = (0..).zip(answers.into_iter().zip(echoes)).map(|(index, (answer, echo))| {
        let mut offsets = Offsets::default();
        offsets.text(&answer.text);
        CompletionChoice {
            index,
            logprobs: completion_logprobs(&reply.tokenizer, &answer.tokens, &mut offsets),
            text: echo + &answer.text,
            finish_reason: Some(finish_reason(answer.reason)),
        }
    });
    Completion {
        id: &reply.id,
        object: "text_completion",
        created: reply.created,
        model: &reply.model,
        choices: choices.collect(),
        usage: Some(ChunkUsage(Some(UsageBody::new(total(&usages, n))))),
        system_fingerprint: &reply.fingerprint,
        baton: Some(baton),
    }
}

/// Counts the characters before each byte of an answer as it comes.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    bytes: usize,
    characters: usize,
    /// Bytes and characters before each character that has not been passed.
    starts: Vec<(usize, usize)>,
}

impl Offsets {
    /// More of the answer has come.
    pub(super) fn text(&mut self, text: &str) {
        for (at, _) in text.char_indices() {
            self.starts.push((self.bytes + at, self.characters));
            self.characters += 1;
        }
        self.bytes += text.len();
    }

    /// Characters before the byte `at`. Asked in ascending order.
    fn of(&mut self, at: usize) -> usize {
        let passed = self.starts.partition_point(|(byte, _)| *byte < at);
        self.starts.drain(..passed);
        self.starts.first().map_or(self.characters, |(_, characters)| *characters)
    }
}

/// Nothing if no token has any, which is so if they were not asked for.
pub(super) fn completion_logprobs(
    tokenizer: &Tokenizer,
    tokens: &[TokenReport],
    offsets: &mut Offsets,
) -> Option<CompletionLogprobs> {
    if tokens.is_empty() {
        return None;
    }
    let mut lists = CompletionLogprobs::default();
    for report in tokens {
        lists.tokens.push(token_text(tokenizer, report.token));
        lists.token_logprobs.push(finite(report.logprobs.logprob));
        let top = report.logprobs.top.iter().map(|(token, logprob)| (token_text(tokenizer, *token), finite(*logprob)));
        lists.top_logprobs.push(top.collect::<BTreeMap<_, _>>());
        lists.text_offset.push(offsets.of(report.start));
    }
    Some(lists)
}
