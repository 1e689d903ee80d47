//! Downloads models from a model hub.
//!
//! hf-hub gives the addresses of files and an HTTP agent (TLS, redirects, proxy). Its own download is not used: it
//! appends whatever comes, also when the server ignores the range it asked for; it cannot go on from a file that
//! was complete but not yet renamed; it checks no digest; and it names files by what the server says. So the bytes
//! are fetched here, into a partial file.

mod choice;
mod known;
mod part;
mod repository;

use anyhow::{Context, Result};
use hf_hub::api::sync::{Api, ApiBuilder};

pub(crate) use known::pull;
pub(crate) use repository::{Asked, pull_repository};

/// What speaks to the hub at `endpoint`, known to it by `token` if there is one. A redirect to another host loses the
/// token.
fn hub(endpoint: &str, token: Option<String>) -> Result<Api> {
    ApiBuilder::new()
        // Nothing that the user has stored for one hub is sent to another.
        .with_token(token)
        .with_endpoint(endpoint.trim_end_matches('/').to_owned())
        .with_user_agent("baton", env!("CARGO_PKG_VERSION"))
        .build()
        .context("cannot set up the download")
}
