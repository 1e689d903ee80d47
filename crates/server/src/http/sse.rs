//! Server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::unfold;
use serde::Serialize;

/// A source of events. When the client goes away it is dropped, and with it what it waits for.
pub(crate) trait Sse: Send + 'static {
    /// The next piece of the stream, one or several events; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Streams events; after `silence` without one, a comment keeps the connection alive.
pub(crate) fn stream(source: impl Sse, silence: Duration) -> Response {
    let events = unfold(source, move |mut source| async move {
        let event = match tokio::time::timeout(silence, source.next()).await {
            Ok(event) => event?,
            Err(_) => Bytes::from_static(b": still working\n\n"),
        };
        Some((Ok::<_, Infallible>(event), source))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Appends one event to a piece of the stream.
pub(crate) fn event(piece: &mut Vec<u8>, data: &impl Serialize) {
    piece.extend_from_slice(b"data: ");
    if let Err(error) = serde_json::to_writer(&mut *piece, data) {
        // Only a map with keys that are not strings can fail, and there is none.
        tracing::error!(%error, "an event could not be written");
    }
    piece.extend_from_slice(b"\n\n");
}

/// The same for an event with a name.
pub(crate) fn named_event(piece: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    piece.extend_from_slice(format!("event: {name}\n").as_bytes());
    event(piece, data);
}

/// The last event of a stream that went well.
pub(crate) fn done(piece: &mut Vec<u8>) {
    piece.extend_from_slice(b"data: [DONE]\n\n");
}
