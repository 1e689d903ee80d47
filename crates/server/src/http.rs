//! HTTP below the routes: connections, request ids, keys, bodies, streams.

mod accept;
mod auth;
mod body;
mod busy;
mod observe;
mod query;
mod routes;
mod sse;
mod watched;

pub(crate) use accept::serve;
pub(crate) use auth::Caller;
pub(crate) use body::JsonBody;
pub(crate) use query::{flag, only};
pub(crate) use routes::router;
pub(crate) use sse::{Sse, done, event, named_event, stream};
