//! From checked messages to those the template takes, and from answers to the reply.

use baton_contract::{Intent, Usage};
use baton_text::ChatMessage;

use super::logprobs::chat_logprobs;
use super::types::{AssistantMessage, ChatChoice, ChatCompletion, Message, Role};
use crate::cue::{Answer, UsageBody, finish_reason, total};
use crate::reply::Reply;
use crate::twins::Model;

/// The twin's pack first, then what the cue is for, then what was said.
pub(super) fn messages(model: &Model, said: Vec<Message>, intent: &Intent) -> Vec<ChatMessage> {
    let pack = model.twin().map(|twin| ChatMessage::system(&twin.system_text));
    let purpose = model.twin().and_then(|_| intent.in_words()).map(ChatMessage::system);
    let said = said.into_iter().map(|message| {
        let role = match message.role {
            Role::System => baton_text::Role::System,
            Role::Developer => baton_text::Role::Developer,
            Role::User => baton_text::Role::User,
            Role::Assistant => baton_text::Role::Assistant,
        };
        ChatMessage::new(role, message.content)
    });
    pack.into_iter().chain(purpose).chain(said).collect()
}

/// The whole reply.
pub(super) fn completion(reply: &Reply, mut answers: Vec<Answer>) -> ChatCompletion<'_> {
    let baton = reply.extra.with_answers(answers.iter_mut().filter_map(|answer| answer.kept.take()));
    let usages: Vec<Usage> = answers.iter().map(|answer| answer.usage).collect();
    let choices = (0..).zip(answers).map(|(index, answer)| ChatChoice {
        index,
        logprobs: chat_logprobs(&reply.tokenizer, &answer.tokens),
        finish_reason: finish_reason(answer.reason),
        message: AssistantMessage { role: "assistant", content: Some(answer.text), refusal: None },
    });
    ChatCompletion {
        id: &reply.id,
        object: "chat.completion",
        created: reply.created,
        model: &reply.model,
        choices: choices.collect(),
        usage: UsageBody::new(total(&usages, usages.len())),
        system_fingerprint: &reply.fingerprint,
        baton,
    }
}
