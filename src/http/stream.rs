//! The stream under hyper: tells the watch what the peer takes, puts words to hyper's own refusals,
//! and closes so that the last answer arrives.

use super::bare;
use super::listener::Protocol;
use super::watch::Watch;
use crate::domain::ServerCertificate;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of what still arrives is read after our side was closed, and for how long: closing
/// with unread bytes resets the connection, and the peer may lose the answer.
const LINGER: (u64, Duration) = (16 * 1024 * 1024, Duration::from_secs(2));

/// The stream under hyper: tells the watch of what the peer takes, and closes so that the last
/// answer arrives.
pub(super) struct Watched<S> {
    inner: S,
    watch: Arc<Watch>,
    peer: SocketAddr,
    certificate: Arc<ServerCertificate>,
    protocol: Protocol,
    /// How many requests were begun when last nothing of an answer was left in hyper's buffer.
    flushed: usize,
    refusal: Option<Refusal>,
    linger: Option<Linger>,
}

/// What goes out instead of hyper's own answer, which is empty.
struct Refusal {
    bytes: Vec<u8>,
    sent: usize,
}

struct Linger {
    left: u64,
    until: Pin<Box<tokio::time::Sleep>>,
}

impl<S> Watched<S> {
    pub(super) fn new(
        inner: S,
        watch: Arc<Watch>,
        protocol: Protocol,
        peer: SocketAddr,
        certificate: Arc<ServerCertificate>,
    ) -> Self {
        Self {
            inner,
            watch,
            peer,
            certificate,
            protocol,
            flushed: 0,
            refusal: None,
            linger: None,
        }
    }

    /// Bytes that come while no request was begun since all was flushed can only be hyper's own
    /// answer to a head that it did not take; the connection ends behind it.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        let own = self.protocol == Protocol::Http1 && self.watch.settled() == Some(self.flushed);
        if own
            && self.refusal.is_none()
            && let Some(code) = bytes
                .strip_prefix(b"HTTP/1.1 ")
                .and_then(|rest| rest.get(..3))
        {
            let code = std::str::from_utf8(code).ok().and_then(|c| c.parse().ok());
            self.watch.leaves_unread();
            self.refusal = Some(Refusal {
                bytes: bare::answer(
                    &bare::refusal(code.unwrap_or(400)),
                    self.peer,
                    Some(&self.certificate),
                ),
                sent: 0,
            });
        }
        self.refusal.is_some()
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>, moved: bool) -> Poll<io::Result<T>> {
        self.watch
            .wrote(moved && polled.is_ready(), polled.is_pending());
        polled
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Sends what is left of the refusal, and takes the `instead` bytes of hyper's for sent.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, instead: usize) -> Poll<io::Result<usize>> {
        while let Some(refusal) = &mut self.refusal
            && refusal.sent < refusal.bytes.len()
        {
            let rest = &refusal.bytes[refusal.sent..];
            let polled = Pin::new(&mut self.inner).poll_write(cx, rest);
            if let Poll::Ready(Ok(sent)) = &polled {
                refusal.sent += sent;
            }
            ready!(self.note(polled, true))?;
        }
        Poll::Ready(Ok(instead))
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
        if self.refuses(buf) {
            return self.poll_refuse(cx, buf.len());
        }
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(polled, true)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.refuses(bufs.first().map_or(&[], |buf| buf)) {
            return self.poll_refuse(cx, bufs.iter().map(|buf| buf.len()).sum());
        }
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note(polled, true)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        if let (Poll::Ready(Ok(())), Some(begun)) = (&polled, self.watch.settled()) {
            self.flushed = begun;
        }
        self.note(polled, false)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.watch.left_unread() {
                return Poll::Ready(Ok(()));
            }
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
