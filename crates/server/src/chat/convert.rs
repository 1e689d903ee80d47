//! From checked messages to those the template takes, and from answers to the reply.

use baton_contract::{FinishReason, Intent, Usage};
use baton_text::ChatMessage;

use super::logprobs::chat_logprobs;
use super::types::{AssistantMessage, CallBody, ChatChoice, ChatCompletion, FunctionBody, Message, Role};
use crate::cue::{Answer, Call, UsageBody, finish_reason, total};
use crate::reply::Reply;
use crate::tools::call_id;
use crate::twins::Model;

/// The twin's pack first, then what the cue is for, then what was said.
pub(crate) fn messages(model: &Model, said: Vec<Message>, intent: &Intent) -> Vec<ChatMessage> {
    let pack = model.twin().map(|twin| ChatMessage::system(&twin.system_text));
    let purpose = model.twin().and_then(|_| intent.in_words()).map(ChatMessage::system);
    let said = said.into_iter().map(|message| {
        let role = match message.role {
            Role::System => baton_text::Role::System,
            Role::Developer => baton_text::Role::Developer,
            Role::User => baton_text::Role::User,
            Role::Assistant => baton_text::Role::Assistant,
            Role::Tool => baton_text::Role::Tool,
        };
        let Message { content, calls, answered, .. } = message;
        ChatMessage { role, content, calls, answered }
    });
    pack.into_iter().chain(purpose).chain(said).collect()
}

/// How an answer ended, in OpenAI's word.
pub(super) fn ended(reason: FinishReason, called: bool) -> &'static str {
    if called && reason == FinishReason::Stop { "tool_calls" } else { finish_reason(reason) }
}

fn calls(reply: &str, index: u32, calls: Vec<Call>) -> Vec<CallBody> {
    let body = |(number, Call { name, arguments }): (usize, Call)| CallBody {
        index: None,
        id: Some(call_id(reply, index, number)),
        r#type: Some("function"),
        function: FunctionBody { name: Some(name), arguments },
    };
    calls.into_iter().enumerate().map(body).collect()
}

/// The whole reply.
pub(super) fn completion(reply: &Reply, mut answers: Vec<Answer>) -> ChatCompletion<'_> {
    let baton = reply.extra.with_answers(answers.iter_mut().filter_map(|answer| answer.kept.take()));
    let usages: Vec<Usage> = answers.iter().map(|answer| answer.usage).collect();
    let choices = (0..).zip(answers).map(|(index, answer)| ChatChoice {
        index,
        logprobs: chat_logprobs(&reply.tokenizer, &answer.tokens),
        finish_reason: ended(answer.reason, !answer.calls.is_empty()),
        message: AssistantMessage {
            role: "assistant",
            content: Some(answer.text).filter(|text| answer.calls.is_empty() || !text.is_empty()),
            refusal: None,
            tool_calls: calls(&reply.id, index, answer.calls),
        },
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
