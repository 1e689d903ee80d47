//! The `baton` program as its users see it.

mod chat;
mod config;
mod doctor;
mod help;
mod hub;
mod keys;
mod pull;
mod serve;
mod support;
mod twin;
