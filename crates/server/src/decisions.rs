//! `POST /v1/decisions`.

mod content;
mod convert;
mod filing;
mod handler;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use handler::create;
