use crate::domain::{Error, Result};
use crate::http::live;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;
use std::future::{Future, ready};
use std::marker::PhantomData;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How many bytes are gathered before they are handed on.
const CHUNK: usize = 64 * 1024;

/// An `application/json` answer of the shape `T`, written as a stream.
pub struct Streamed<T>(Body, PhantomData<fn() -> T>);

impl<T> Streamed<T> {
    /// The answer that was written as a body.
    pub fn new(body: Body) -> Self {
        Self(body, PhantomData)
    }
}

impl<T: Type> Payload for Streamed<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type> IntoResponse for Streamed<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(Self::CONTENT_TYPE)
            .body(self.0)
    }
}

/// Takes what a writer writes. It holds at most one chunk; past that the writer waits for the
/// client.
pub struct Out {
    chunks: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Out {
    /// Writes text as it stands.
    ///
    /// # Errors
    /// Where nobody reads any more; so for all of these.
    pub async fn text(&mut self, text: &str) -> Result<()> {
        self.buffer.extend_from_slice(text.as_bytes());
        if self.buffer.len() < CHUNK {
            return Ok(());
        }
        self.flush().await
    }

    /// Writes the inside of a JSON string: escaped, and without the quotes.
    pub async fn escaped(&mut self, text: &str) -> Result<()> {
        let quoted = serde_json::to_string(text).map_err(Error::internal)?;
        self.text(&quoted[1..quoted.len() - 1]).await
    }

    /// Writes a value as JSON.
    pub async fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(Error::internal)?;
        self.text(&text).await
    }

    /// Writes an object as JSON, but for its closing brace: more members follow.
    pub async fn open_object(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(Error::internal)?;
        self.text(text.strip_suffix('}').unwrap_or(&text)).await
    }

    /// Hands on what is left. A writer ends with this.
    pub async fn finish(mut self) -> Result<()> {
        self.flush().await
    }

    async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.buffer).into();
        self.chunks.send(chunk).await.map_err(Error::internal)
    }
}

/// The body that `write` writes, in constant memory: it is run as the client reads.
///
/// # Errors
/// What fails before the first chunk is full. What fails later breaks the body off.
pub async fn written<F, W>(write: F) -> Result<Body>
where
    F: FnOnce(Out) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (chunks, receiver) = mpsc::channel(1);
    let writer = write(Out {
        chunks,
        buffer: Vec::new(),
    });
    let failure = stream::once(writer).filter_map(|end| ready(end.err().map(Err)));
    let chunks = ReceiverStream::new(receiver).map(Ok);
    opened(stream::select(chunks, failure)).await
}

/// The body of a stream whose first chunk is there.
///
/// # Errors
/// What fails before the first chunk. What fails later breaks the body off.
pub async fn opened(chunks: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Result<Body> {
    let mut chunks: BoxStream<'static, _> = chunks.boxed();
    let Some(first) = chunks.try_next().await? else {
        return Ok(Body::empty());
    };
    // What is whole by now goes out with its length, in one write.
    Ok(match chunks.next().now_or_never() {
        Some(None) => Body::from(first),
        Some(Some(second)) => live(stream::iter([Ok(first), second]).chain(chunks)),
        None => live(stream::iter([Ok(first)]).chain(chunks)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_answer_is_whole_and_an_early_failure_is_an_error() {
        let body = written(|mut out| async move {
            out.text("\"").await?;
            out.escaped("a\"\n\u{1}é").await?;
            out.text("\"").await?;
            out.finish().await
        });
        let body = body.await.unwrap();
        assert!(!body.is_empty());
        assert_eq!(body.into_string().await.unwrap(), r#""a\"\n\u0001é""#);

        let failed = written(|mut out| async move {
            out.text("[").await?;
            Err(Error::unavailable("no", 1))
        });
        assert!(failed.await.is_err());
    }

    #[tokio::test]
    async fn a_late_failure_breaks_the_body_off() {
        let body = written(|mut out| async move {
            for _ in 0..4 {
                out.text(&"x".repeat(CHUNK)).await?;
            }
            Err(Error::unavailable("no", 1))
        });
        let chunks: Vec<_> = body.await.unwrap().into_bytes_stream().collect().await;
        assert!(chunks.iter().any(|chunk| chunk.is_err()));
    }
}
