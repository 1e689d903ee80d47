//! Rendering and tokenising on blocking threads, a bounded number at once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use baton_contract::{Adapter, Prefix, Refusal, TokenId};
use baton_judge::{Asked, Question};
use baton_text::{ChatMessage, ChatTemplate, Role, Tokenizer, Tool};

use crate::completions::Prompt;
use crate::cue::Prompts;
use crate::error::ApiError;
use crate::library::{Citation, LookedUp, look_up};
use crate::state::AppState;
use crate::twins::{Model, Twin};

/// Runs `work` on a blocking thread once one of the places is free.
///
/// # Errors
/// What `work` says, or that it panicked.
pub(crate) async fn off_thread<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&Tokenizer, &ChatTemplate) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let closed = |_| ApiError::internal("the renderers are closed");
    let permit = Arc::clone(&state.renderers).acquire_owned().await.map_err(closed)?;
    let (tokenizer, template) = (state.tokenizer.clone(), state.template.clone());
    let task = tokio::task::spawn_blocking(move || {
        // Kept until the work is done, even if nobody waits for it any more.
        let _permit = permit;
        work(&tokenizer, &template)
    });
    task.await.map_err(|_| ApiError::internal("the messages could not be rendered"))?
}

/// The tokens of a chat, those of the twin's pack apart, with what its documents say on what was said last.
///
/// # Errors
/// The template does not take the messages, or the twin's documents cannot be looked up.
pub(crate) async fn chat(
    state: &AppState,
    model: Model,
    mut messages: Vec<ChatMessage>,
    tools: Vec<Tool>,
) -> Result<Prompts, ApiError> {
    let LookedUp { message, cited } = look_up(&model, last_said(&messages)).await?;
    // Right after the pack, which all cues share.
    messages.splice(1.min(messages.len())..1.min(messages.len()), message);
    off_thread(state, move |tokenizer, template| {
        let rendered = template.render_with(&messages, &tools, true).map_err(|error| refused(&error))?;
        let (prefix, tokens) = split(&model, tokenizer.encode_rendered(&rendered), &tools);
        Ok(Prompts { prefix, tokens: vec![tokens], cited })
    })
    .await
}

/// What the conductor said last.
pub(crate) fn last_said(messages: &[ChatMessage]) -> &str {
    let said = messages.iter().rev().find(|message| message.role == Role::User);
    said.or(messages.last()).map_or("", |message| &message.content)
}

/// Takes the tokens of the twin's pack off the tokens of a chat.
///
/// The prefix is made so that every chat of the twin begins with it, and most chats that offer tools; if one does not,
/// the chat as it was rendered is what counts.
fn split(model: &Model, mut tokens: Vec<TokenId>, tools: &[Tool]) -> (Option<Arc<Prefix>>, Vec<TokenId>) {
    let prefix = model.twin().and_then(|twin| twin.prefix_of(tools).cloned());
    let prefix = prefix.filter(|prefix| tokens.len() > prefix.tokens.len() && tokens.starts_with(&prefix.tokens));
    if let Some(prefix) = &prefix {
        tokens.drain(..prefix.tokens.len());
    } else if model.twin().is_some() && tools.is_empty() {
        tracing::warn!(twin = model.name(), "the rendered chat does not begin with the pack's prefix");
    }
    (prefix, tokens)
}

/// One question in tokens, those of the twin's pack apart.
pub(crate) struct Posed {
    pub(crate) prefix: Option<Arc<Prefix>>,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) asked: Asked,
}

/// All questions, each after the same `shared` messages.
///
/// # Errors
/// The template does not take the messages, or two answers of a question come out the same. What [`judge::Error`]
/// says.
///
/// [`judge::Error`]: baton_judge::Error
pub(crate) async fn questions(
    state: &AppState,
    model: Model,
    shared: Vec<ChatMessage>,
    questions: Vec<Question>,
) -> Result<Vec<Posed>, ApiError> {
    let (reader, limit) = (state.reader.clone(), state.engine.limits().max_context);
    off_thread(state, move |_, _| {
        let read = |questions: &[Question]| {
            reader.read(&shared, questions).map_err(|error| match error {
                baton_judge::Error::Text(error) => refused(&error).or_param("input"),
                error if error.is_request_fault() => ApiError::invalid("questions", error.to_string()),
                error => ApiError::internal(error.to_string()),
            })
        };
        // An input that cannot fit is not rendered hundreds of times to find that out.
        if let Some(first) = questions.get(..1).filter(|_| questions.len() > 1) {
            let needed = read(first)?.first().map_or(0, |asked| asked.prompt.len() + 1);
            if needed > limit {
                return Err(ApiError::from(Refusal::TooLong { needed, limit }).or_param("input"));
            }
        }
        let asked = read(&questions)?;
        let posed = asked.into_iter().map(|Asked { prompt, answers }| {
            let (prefix, prompt) = split(&model, prompt, &[]);
            Posed { prefix, adapter: model.adapter().cloned(), asked: Asked { prompt, answers } }
        });
        Ok(posed.collect())
    })
    .await
}

/// The tokens of texts that no template renders; for a twin they follow the tokens of its pack, and what its documents say
/// on each text.
///
/// # Errors
/// The template does not take the pack, or the twin's documents cannot be looked up.
pub(crate) async fn texts(state: &AppState, model: Model, prompts: Vec<Prompt>) -> Result<Prompts, ApiError> {
    let mut looked_up = Vec::new();
    for prompt in &prompts {
        let text = match prompt {
            Prompt::Text(text) => Cow::Borrowed(text),
            Prompt::Tokens(tokens) => Cow::Owned(state.tokenizer.decode(tokens)),
        };
        looked_up.push(look_up(&model, &text).await?);
    }
    off_thread(state, move |tokenizer, template| {
        let prefix = model.twin().and_then(|twin| twin.prefix.clone());
        let (messages, cited): (Vec<_>, Vec<_>) = looked_up.into_iter().map(|one| (one.message, one.cited)).unzip();
        let before = match model.twin() {
            Some(twin) => before(twin, prefix.as_deref(), messages, (tokenizer, template))?,
            None => vec![Vec::new(); prompts.len()],
        };
        let encode = |prompt: Prompt| match prompt {
            Prompt::Text(text) if model.twin().is_some() => tokenizer.encode(&text),
            Prompt::Text(text) => tokenizer.encode_prompt(&text),
            Prompt::Tokens(tokens) => tokens,
        };
        let both = |(before, prompt): (Vec<TokenId>, Prompt)| [before, encode(prompt)].concat();
        let tokens = before.into_iter().zip(prompts).map(both).collect();
        Ok(Prompts { prefix, tokens, cited: once_each(cited.concat()) })
    })
    .await
}

/// What a twin reads between its pack's prefix and each text: passages, or nothing. Without a place to share from, the pack
/// is a part of it.
fn before(
    twin: &Twin,
    prefix: Option<&Prefix>,
    passages: Vec<Option<ChatMessage>>,
    (tokenizer, template): (&Tokenizer, &ChatTemplate),
) -> Result<Vec<Vec<TokenId>>, ApiError> {
    let before = |passages: Option<ChatMessage>| {
        if prefix.is_some() && passages.is_none() {
            return Ok(Vec::new());
        }
        let messages: Vec<ChatMessage> =
            std::iter::once(ChatMessage::system(&twin.system_text)).chain(passages).collect();
        let rendered = template.render(&messages, false).map_err(|error| refused(&error))?;
        let mut tokens = tokenizer.encode_rendered(&rendered);
        match prefix {
            None => Ok(tokens),
            Some(prefix) if tokens.starts_with(&prefix.tokens) => Ok(tokens.split_off(prefix.tokens.len())),
            Some(_) => Err(ApiError::internal("the rendered passages do not begin with the pack's prefix")),
        }
    };
    passages.into_iter().map(before).collect()
}

/// Passages in their order, those that were looked up for several texts once.
fn once_each(mut cited: Vec<Citation>) -> Vec<Citation> {
    let mut seen = BTreeSet::new();
    cited.retain(|one| seen.insert(one.id().to_owned()));
    cited
}

pub(crate) fn refused(error: &baton_text::Error) -> ApiError {
    if error.is_request_fault() {
        ApiError::invalid("messages", error.to_string())
    } else {
        tracing::error!(%error, "a chat could not be rendered");
        ApiError::internal("the chat template failed on these messages")
    }
}
