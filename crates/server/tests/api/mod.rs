mod cancel;
mod chat;
mod client;
mod completions;
mod connections;
mod errors;
mod fixture;
mod operations;
