//! Whether a connection's peer stands still: it sends no request, or does not read its answers.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of what still arrives is read after our side was closed, and for how long: closing
/// with unread bytes resets the connection, and the peer may lose the answer.
const LINGER: (u64, Duration) = (16 * 1024 * 1024, Duration::from_secs(2));

/// What is known of the traffic of one connection. The counts are only compared over seconds, so
/// no order between them matters.
#[derive(Default)]
pub(super) struct Watch {
    /// Moves on with each request and each byte that the peer takes.
    progress: AtomicU64,
    /// Requests whose answers have not ended.
    open: AtomicUsize,
    /// Those of them that wait for us: a handler runs, or an answer has nothing to send yet.
    ours: AtomicUsize,
    /// The socket takes no more bytes.
    blocked: AtomicBool,
}

impl Watch {
    /// Ends when nothing moved for `idle` while no request was open, or for `stalled` while what
    /// is open waits for the peer.
    pub(super) fn stands_still(
        self: &Arc<Self>,
        idle: Duration,
        stalled: Duration,
    ) -> impl Future<Output = ()> + Send + use<> {
        let watch = self.clone();
        let tick = idle.min(stalled) / 4;
        async move {
            let mut quiet = Duration::ZERO;
            let mut seen = 0;
            loop {
                tokio::time::sleep(tick).await;
                let now = watch.progress.load(Relaxed);
                let waits_for_us = watch.ours.load(Relaxed) > 0 && !watch.blocked.load(Relaxed);
                if now != seen || waits_for_us {
                    (seen, quiet) = (now, Duration::ZERO);
                    continue;
                }
                quiet += tick;
                let free = watch.open.load(Relaxed) == 0;
                if quiet >= if free { idle } else { stalled } {
                    return;
                }
            }
        }
    }

    /// A request has begun.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.progress.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        self.ours.fetch_add(1, Relaxed);
        Open {
            watch: self.clone(),
            ours: true,
        }
    }
}

/// A request that is not answered to its end.
pub(super) struct Open {
    watch: Arc<Watch>,
    ours: bool,
}

impl Open {
    fn waits_for_us(&mut self, ours: bool) {
        match (self.ours, ours) {
            (false, true) => self.watch.ours.fetch_add(1, Relaxed),
            (true, false) => self.watch.ours.fetch_sub(1, Relaxed),
            _ => return,
        };
        self.ours = ours;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.waits_for_us(false);
        self.watch.open.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer.
pub(super) struct Tracked {
    body: BoxBody<Bytes, io::Error>,
    open: Open,
}

impl Tracked {
    pub(super) fn new(body: BoxBody<Bytes, io::Error>, mut open: Open) -> Self {
        open.waits_for_us(false);
        Self { body, open }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.open.waits_for_us(polled.is_pending());
        self.open.watch.progress.fetch_add(1, Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The stream under hyper: tells the watch of what the peer takes, and closes so that the last
/// answer arrives.
pub(super) struct Watched<S> {
    inner: S,
    watch: Arc<Watch>,
    linger: Option<Linger>,
}

struct Linger {
    left: u64,
    until: Pin<Box<tokio::time::Sleep>>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch,
            linger: None,
        }
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>, moved: bool) -> Poll<io::Result<T>> {
        self.watch.blocked.store(polled.is_pending(), Relaxed);
        if polled.is_ready() && moved {
            self.watch.progress.fetch_add(1, Relaxed);
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(polled, true)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note(polled, true)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.note(polled, false)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            left: LINGER.0,
            until: Box::pin(tokio::time::sleep(LINGER.1)),
        });
        let mut space = [0; 8 * 1024];
        while linger.left > 0 {
            if linger.until.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buf = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            linger.left = linger.left.saturating_sub(buf.filled().len() as u64);
        }
        Poll::Ready(Ok(()))
    }
}
