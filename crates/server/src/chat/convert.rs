//! From checked messages to those the template takes, and from answers to the reply.

use std::fmt::Write;

use baton_contract::Usage;
use baton_text::ChatMessage;

use super::logprobs::chat_logprobs;
use super::types::{AssistantMessage, ChatChoice, ChatCompletion, Message, Role};
use crate::cue::{Answer, Intent, UsageBody, finish_reason, total};
use crate::reply::Reply;
use crate::twins::Model;

/// The twin's pack first, then what the cue is for, then what was said.
pub(super) fn messages(model: &Model, said: Vec<Message>, intent: &Intent) -> Vec<ChatMessage> {
    let pack = model.twin().map(|twin| ChatMessage::system(&twin.system_text));
    let purpose = model.twin().and_then(|_| purpose(intent)).map(ChatMessage::system);
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

/// The intent in words, for the twin: the why is what lets it fill gaps.
fn purpose(intent: &Intent) -> Option<String> {
    let parts = [("Why it is asked", &intent.why), ("Product", &intent.product), ("Process", &intent.process)];
    let mut text = "About the question that follows.".to_owned();
    let bare = text.len();
    for (label, value) in parts {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{label}: {value}");
        }
    }
    (text.len() > bare).then_some(text)
}

/// The whole reply.
pub(super) fn completion(reply: &Reply, answers: Vec<Answer>) -> ChatCompletion<'_> {
    let usages: Vec<Usage> = answers.iter().map(|answer| answer.usage).collect();
    let choices = (0..).zip(answers).map(|(index, answer)| ChatChoice {
        index,
        logprobs: chat_logprobs(&reply.tokenizer, &answer.tokens),
        finish_reason: finish_reason(answer.reason),
        message: AssistantMessage { role: "assistant", content: answer.text, refusal: None },
    });
    ChatCompletion {
        id: &reply.id,
        object: "chat.completion",
        created: reply.created,
        model: &reply.model,
        choices: choices.collect(),
        usage: UsageBody::new(total(&usages, usages.len())),
        system_fingerprint: &reply.fingerprint,
        baton: &reply.extra,
    }
}
