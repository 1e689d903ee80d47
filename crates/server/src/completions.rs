//! `POST /v1/completions`.

mod chunks;
mod convert;
mod handler;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use handler::create;
pub(crate) use types::Prompt;
