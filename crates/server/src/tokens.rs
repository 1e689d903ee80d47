//! `POST /tokenize` and `POST /detokenize`, as vLLM has them: what a text or a chat comes to in tokens, and back.
//!
//! Nothing is computed by the model and nothing filed. For a twin, the tokens are those of the caller's own text, as it
//! follows the pack; of the pack only the number of tokens is told, for its text is the expert's and not every
//! conductor's to read. Passages that a twin looks up for a question are not counted: they are known when it is asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_authority::{Ask, Principal, clear};
use baton_contract::TokenId;
use baton_text::{ChatMessage, ChatTemplate, Tokenizer, Tool};
use serde::Serialize;
use serde_json::Value;

use crate::chat::{chat_messages, take_messages};
use crate::cue::{refuse_the_rest, take_intent, take_model, token_text};
use crate::error::ApiError;
use crate::http::{Caller, JsonBody};
use crate::json::{Fields, integer, wrong_type};
use crate::render::{off_thread, refused};
use crate::state::AppState;
use crate::tools::{Tools, Wire};
use crate::twins::Model;

#[derive(Serialize)]
pub(crate) struct Tokenized {
    count: usize,
    /// Tokens of input and output together, a twin's pack among them.
    max_model_len: usize,
    tokens: Vec<TokenId>,
    token_strs: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baton: Option<PackTokens>,
}

/// What a twin reads beside what was tokenised.
#[derive(Serialize)]
struct PackTokens {
    pack_tokens: usize,
}

#[derive(Serialize)]
pub(crate) struct Detokenized {
    prompt: String,
}

/// What is to be tokenised.
enum Source {
    Text { text: String, with_begin: bool },
    Chat { messages: Vec<ChatMessage>, tools: Vec<Tool>, open: bool },
}

/// Tokenises.
pub(crate) async fn tokenize(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Tokenized>, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let model = cleared(&state, &principal, &take_model(&mut fields)?)?;
    let with_words = fields.flag("return_token_strs")?;
    let source = Source::take(&mut fields, &model)?;
    refuse_the_rest(fields)?;
    let max_model_len = state.engine.limits().max_context;
    let made = off_thread(&state, move |tokenizer, template| {
        let (tokens, pack_tokens) = source.tokens(&model, tokenizer, template)?;
        let token_strs = with_words.then(|| tokens.iter().map(|token| token_text(tokenizer, *token)).collect());
        let baton = model.twin().map(|_| PackTokens { pack_tokens });
        Ok(Tokenized { count: tokens.len(), max_model_len, tokens, token_strs, baton })
    });
    made.await.map(Json)
}

/// The text of tokens; those of the scaffold are spelled.
pub(crate) async fn detokenize(
    State(state): State<Arc<AppState>>,
    Caller(principal): Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Detokenized>, ApiError> {
    let mut fields = Fields::of_body(body)?;
    cleared(&state, &principal, &take_model(&mut fields)?)?;
    let list = fields.list("tokens")?.ok_or_else(|| ApiError::missing("tokens"))?;
    refuse_the_rest(fields)?;
    let most = u32::try_from(state.tokenizer.vocabulary()).unwrap_or(u32::MAX).saturating_sub(1);
    let tokens: Vec<TokenId> =
        list.iter().map(|value| integer(value, "tokens", 0, most)).collect::<Result<_, ApiError>>()?;
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| state.tokenizer.piece(*token)).copied().collect();
    Ok(Json(Detokenized { prompt: String::from_utf8_lossy(&bytes).into_owned() }))
}

/// The model, if the caller may cue it.
fn cleared(state: &AppState, principal: &Principal, name: &str) -> Result<Model, ApiError> {
    let model = state.model(name)?;
    clear(principal, Ask { target: model.target(), ground: None, answers: 0 }, 0)?;
    Ok(model)
}

impl Source {
    fn take(fields: &mut Fields, model: &Model) -> Result<Self, ApiError> {
        let special = match fields.take("add_special_tokens") {
            None => None,
            Some(Value::Bool(special)) => Some(special),
            Some(other) => return Err(wrong_type("add_special_tokens", "a boolean", &other)),
        };
        if let Some(text) = fields.string("prompt")? {
            return Ok(Self::Text { text, with_begin: special.unwrap_or(true) && model.twin().is_none() });
        }
        if special == Some(true) {
            let message = "`add_special_tokens`: the chat template writes them by itself; leave it out with `messages`";
            return Err(ApiError::unsupported("add_special_tokens", message));
        }
        if fields.flag("continue_final_message")? {
            let message = "`continue_final_message`: an answer is always a message of its own";
            return Err(ApiError::unsupported("continue_final_message", message));
        }
        let open = match fields.take("add_generation_prompt") {
            None => true,
            Some(Value::Bool(open)) => open,
            Some(other) => return Err(wrong_type("add_generation_prompt", "a boolean", &other)),
        };
        let said = take_messages(fields).map_err(|error| error.or_param("prompt"))?;
        let intent = take_intent(fields)?;
        let tools = Tools::take(fields, Wire::Nested)?.map_or_else(Vec::new, |tools| tools.told);
        Ok(Self::Chat { messages: chat_messages(model, said, &intent), tools, open })
    }

    /// The caller's own tokens, and how many more a twin reads.
    fn tokens(
        self,
        model: &Model,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
    ) -> Result<(Vec<TokenId>, usize), ApiError> {
        let tools_of = |source: &Self| match source {
            Self::Chat { tools, .. } => tools.clone(),
            Self::Text { .. } => Vec::new(),
        };
        let prefix = model.twin().and_then(|twin| twin.prefix_of(&tools_of(&self)).cloned());
        let (messages, tools, open) = match self {
            Self::Text { text, with_begin: true } => return Ok((tokenizer.encode_prompt(&text), 0)),
            Self::Text { text, with_begin: false } => {
                return Ok((tokenizer.encode(&text), prefix.map_or(0, |prefix| prefix.tokens.len())));
            }
            Self::Chat { messages, tools, open } => (messages, tools, open),
        };
        let render = |messages: &[ChatMessage]| {
            let rendered = template.render_with(messages, &tools, open).map_err(|error| refused(&error))?;
            Ok::<_, ApiError>(tokenizer.encode_rendered(&rendered))
        };
        let mut all = render(&messages)?;
        if model.twin().is_none() {
            return Ok((all, 0));
        }
        match prefix {
            Some(prefix) if all.starts_with(&prefix.tokens) => Ok((all.split_off(prefix.tokens.len()), all.len())),
            // The pack, which comes first, stands among the caller's words there.
            Some(_) | None => {
                let own = render(&messages[1..])?;
                let pack = all.len().saturating_sub(own.len());
                Ok((own, pack))
            }
        }
    }
}
