//! `POST /v1/cues`: one intent, several twins, one deadline.

mod agreement;
mod chunks;
mod handler;
mod panel;
mod types;
mod validate;

pub(crate) use handler::create;
