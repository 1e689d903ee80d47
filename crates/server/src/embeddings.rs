//! `POST /v1/embeddings`.

mod filing;
mod handler;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use handler::create;
