//! `POST /v1/chat/completions`.

mod chunks;
mod convert;
mod decided;
mod format;
mod handler;
mod logprobs;
mod messages;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use convert::messages as chat_messages;
pub(crate) use format::named_schema;
pub(crate) use handler::create;
pub(crate) use messages::take as take_messages;
pub(crate) use types::{Message, Role};
