//! Server-sent events as an answer.

use crate::domain::Result;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use poem::{Body, Response};
use std::io;

/// The body of a stream that may have nothing to say yet. An error breaks it off, so that nobody
/// takes a part for the whole.
pub fn live(chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Body {
    Body::from_bytes_stream(chunks.map_err(|error| {
        let cause = error.cause().map(tracing::field::display);
        tracing::warn!(%error, cause, "an answer broke off");
        io::Error::other(error.to_string())
    }))
}

/// The answer whose events these are.
pub fn server_sent(events: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Response {
    // Proxies that gather answers would keep the events to themselves.
    Response::builder()
        .content_type("text/event-stream")
        .header("Cache-Control", "no-store")
        .header("X-Accel-Buffering", "no")
        .body(live(events))
}
