//! Request bodies: a limit, a deadline, and what nobody read is read and dropped.

use crate::domain::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use poem::http::Version;
use poem::http::header::{CONTENT_LENGTH, EXPECT};
use poem::{Body, Request, RequestBody};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// How much of a body is read in all, so that a client that sends too much, or sends to a place
/// that wants none, still gets to see the answer.
const DRAIN_LIMIT: u64 = 4 * 1024 * 1024;

/// Bodies past the usual limit that are held at one time.
const LARGE: usize = 8;

/// How long a body may be: what the outermost layer leaves in a request.
#[derive(Clone)]
pub(super) struct Limits {
    usual: u64,
    large: Arc<Semaphore>,
}

impl Limits {
    pub(super) fn new(usual: u64) -> Self {
        Self {
            usual,
            large: Arc::new(Semaphore::new(LARGE)),
        }
    }
}

/// A whole body.
pub struct Received {
    /// Its bytes.
    pub bytes: Bytes,
    /// How many of them are past `http.body_limit`: on the one route that takes more.
    pub excess: usize,
    /// Held for as long as the body, or what was made of it, is in memory.
    pub place: Option<OwnedSemaphorePermit>,
}

/// Reads the whole body of a request, for the extractors of both front ends.
///
/// # Errors
/// `TooLarge` past the limit of its route; `Timeout` where it took longer than
/// `http.body_timeout`; `Unavailable` where too many large ones are held; `Invalid` where it broke
/// off or its framing is wrong.
pub async fn read_body(request: &Request, body: &mut RequestBody) -> Result<Received> {
    let missing = || Error::internal("a route stands outside of http::stack");
    let limits = request.data::<Limits>().ok_or_else(missing)?;
    let usual = usize::try_from(limits.usual).unwrap_or(usize::MAX);
    let mut stream = body.take().map_err(Error::internal)?.into_bytes_stream();
    let mut all = BytesMut::new();
    let mut place = None;
    while let Some(chunk) = stream.try_next().await.map_err(unwrap)? {
        all.extend_from_slice(&chunk);
        if all.len() > usual && place.is_none() {
            let free = limits.large.clone().try_acquire_owned();
            place = Some(free.map_err(|_| too_many())?);
        }
    }
    Ok(Received {
        excess: all.len().saturating_sub(usual),
        bytes: all.freeze(),
        place,
    })
}

fn too_many() -> Error {
    Error::unavailable(
        "Too many large requests are being taken. Try again soon.",
        5,
    )
}

/// Gets our own error back out of the one that poem's body speaks.
fn unwrap(error: io::Error) -> Error {
    match error.downcast::<Fault>() {
        Ok(fault) => fault.into(),
        Err(error) => Error::from(Fault::Broken).caused_by(error),
    }
}

/// What a body past its limit gets.
pub fn too_large() -> Error {
    Fault::TooLarge.into()
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("The body is larger than this server takes.")]
    TooLarge,
    #[error("The body took too long to arrive.")]
    TooSlow,
    #[error("The body broke off, or its framing is wrong.")]
    Broken,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::TooLarge => Kind::TooLarge,
            Fault::TooSlow => Kind::Timeout,
            Fault::Broken => Kind::Invalid,
        };
        Self::new(kind, fault.to_string())
    }
}

/// The outermost layer's hold on a body that it handed to the handler.
pub(super) struct Intake(Arc<Mutex<Incoming>>);

struct Incoming {
    source: BoxBody<Bytes, io::Error>,
    limit: u64,
    /// What `Content-Length` promises.
    declared: Option<u64>,
    taken: u64,
    allowance: Duration,
    /// Starts when the body is first asked for.
    deadline: Option<Pin<Box<Sleep>>>,
    fault: Option<Fault>,
    ended: bool,
    /// The client sends nothing before the body is asked for (RFC 9110 section 10.1.1).
    awaits_continue: bool,
}

impl Intake {
    /// Puts the guard around a request's body; a request without one is left alone.
    pub(super) fn guard(request: &mut Request, limit: u64, allowance: Duration) -> Option<Self> {
        let body = request.take_body();
        if body.is_empty() {
            request.set_body(body);
            return None;
        }
        let declared = request.headers().get(CONTENT_LENGTH);
        let declared = declared.and_then(|v| v.to_str().ok()?.parse().ok());
        let awaits_continue =
            request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT);
        let incoming = Arc::new(Mutex::new(Incoming {
            source: body.into(),
            limit,
            declared,
            taken: 0,
            allowance,
            deadline: None,
            fault: None,
            ended: false,
            awaits_continue,
        }));
        request.set_body(Body::from(BoxBody::new(Guarded(incoming.clone()))));
        Some(Self(incoming))
    }

    /// Why the body was refused, once it was.
    pub(super) fn fault(&self) -> Option<Fault> {
        lock(&self.0).fault
    }

    /// Reads and drops what is left, up to [`DRAIN_LIMIT`] in all and within the body's deadline:
    /// an HTTP/2 answer that comes before the body was read makes some clients fail.
    pub(super) async fn drain(&self) {
        std::future::poll_fn(|cx| lock(&self.0).poll_drain(cx)).await;
    }

    /// What is to be held on to while the client reads the answer; none where the body has ended.
    pub(super) fn unread(self) -> Option<Unread> {
        let ended = lock(&self.0).ended;
        (!ended).then_some(Unread(self.0))
    }
}

/// A body that was too long to be read to its end. In HTTP/2 letting go of it resets the stream,
/// and a client that still sends (curl before 8) then loses the answer it already has.
#[derive(Clone)]
pub(super) struct Unread(#[expect(dead_code, reason = "held, never read")] Arc<Mutex<Incoming>>);

fn lock(incoming: &Mutex<Incoming>) -> MutexGuard<'_, Incoming> {
    // A panic while polling leaves nothing here that is worse than a broken body.
    incoming.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incoming {
    fn poll_checked(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Some(Err(io::Error::other(fault))));
        }
        if self.declared.is_some_and(|n| n > self.limit) {
            return self.fail(Fault::TooLarge);
        }
        match ready!(self.poll_source(cx)) {
            Some(Ok(_)) if self.taken > self.limit => self.fail(Fault::TooLarge),
            Some(Err(fault)) => self.fail(fault),
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            None => Poll::Ready(None),
        }
    }

    fn fail<T>(&mut self, fault: Fault) -> Poll<Option<Result<T, io::Error>>> {
        self.fault = Some(fault);
        Poll::Ready(Some(Err(io::Error::other(fault))))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended && !self.awaits_continue && self.taken <= DRAIN_LIMIT {
            if let Some(Err(_)) = ready!(self.poll_source(cx)) {
                break;
            }
        }
        Poll::Ready(())
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.awaits_continue = false;
        let allowance = self.allowance;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(allowance)));
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Fault::TooSlow)));
        }
        let frame = ready!(Pin::new(&mut self.source).poll_frame(cx));
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|_| Fault::Broken)?;
            self.taken += frame.data_ref().map_or(0, |data| data.len() as u64);
            Ok(frame)
        }))
    }
}

/// What the handler reads.
struct Guarded(Arc<Mutex<Incoming>>);

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        lock(&self.0).poll_checked(cx)
    }

    fn is_end_stream(&self) -> bool {
        let incoming = lock(&self.0);
        incoming.ended && incoming.fault.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).source.size_hint()
    }
}
