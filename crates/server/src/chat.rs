//! `POST /v1/chat/completions`.

mod chunks;
mod convert;
mod decided;
mod format;
mod handler;
mod logprobs;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use handler::create;
