//! Speaks OpenAI over HTTP and carries a cue from end to end.
//!
//! One request takes these steps: [`http`] reads it within limits and finds the caller; the endpoint's `validate`
//! turns its body into a checked request; [`cue`] has it cleared, renders it and submits it; the endpoint's `chunks` or
//! `convert` writes the reply. Wire types never leave their endpoint, and [`error`] alone knows status codes.
//!
//! What it must not know: tensors, how a model is run, where keys and packs are kept, the environment.
//!
//! # What a request may say
//! A field that would change the answer and cannot be honoured is a 400 that names it. Unknown fields are a 400 too,
//! except a short list of fields that clients send and that cannot change the answer (`cue/fields.rs`). `max_tokens`
//! above a limit of the pack or the mandate is refused; if it is absent, the limit is what counts.
//!
//! # What a twin reads
//! The pack's text comes first, as tokens that all cues share. Then, if `metadata` says `why`, `product` or `process`,
//! a system message with them; then the caller's messages. `POST /v1/completions` to a twin puts the prompt right after
//! the pack, and the passages that are looked up for it, and renders no intent. `POST /v1/decisions` reads like a chat whose last message is the question, so that all
//! questions of one request share everything before it. Tools that a chat offers stand where the model's template puts
//! them, or in a system message after those that come first.

mod again;
mod chat;
mod completions;
mod conductors;
mod config;
mod cue;
mod cues;
mod decisions;
mod embeddings;
mod erasures;
mod error;
mod exchange;
mod filing;
mod form;
mod http;
mod json;
mod judging;
mod library;
mod likeness;
mod metrics;
mod models;
mod operations;
mod own_twins;
mod probe;
mod proposals;
mod render;
mod reply;
mod reports;
mod responses;
mod server;
mod state;
mod tokens;
mod tools;
mod twins;

pub use again::{ReplayError, Replayer};
pub use config::{CaseShelf, Clock, Keys, ModelCard, Offer, ServerConfig, Services};
pub use exchange::Exchange;
pub use judging::hand_over;
pub use library::{Citation, Library, LookedUp, lookup_of_decision};
pub use server::{Error, Server};
