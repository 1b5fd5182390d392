//! Whether a connection's peer stands still: it sends no request, or does not read its answers.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

/// What is known of the traffic of one connection. The counts are only compared over seconds, so
/// no order between them matters.
#[derive(Default)]
pub(super) struct Watch {
    /// Moves on with each request and each byte that the peer takes.
    progress: AtomicU64,
    /// Requests whose answers have not ended.
    open: AtomicUsize,
    /// Requests that were ever begun.
    begun: AtomicUsize,
    /// Those of them that wait for us: a handler runs, or an answer has nothing to send yet.
    ours: AtomicUsize,
    /// The socket takes no more bytes.
    blocked: AtomicBool,
    /// The peer may still be sending what nobody will read.
    unread: AtomicBool,
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

    /// How many requests were begun, where all of them were answered.
    pub(super) fn settled(&self) -> Option<usize> {
        (self.open.load(Relaxed) == 0).then(|| self.begun.load(Relaxed))
    }

    /// The peer may still be sending what nobody will read.
    pub(super) fn leaves_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Whether [`Watch::leaves_unread`] was said.
    pub(super) fn left_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// The peer took bytes, or took none.
    pub(super) fn wrote(&self, moved: bool, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
        if moved {
            self.progress.fetch_add(1, Relaxed);
        }
    }

    /// A request has begun.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.progress.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
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
