//! What a command reads: the way of its stdin through the machine's window (RFC 4254 section 5.2).
//!
//! The bytes go by spawned work of their own, so that whoever gives them may go at any time: what
//! was given still arrives, and the end of the input after it.

use super::handler::Listening;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use thrussh::ChannelMsg;
use thrussh::client::Channel;
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stdin of a command that runs. Dropping it ends the input, as [`Input::finish`] does.
pub struct Input {
    pieces: mpsc::Sender<Bytes>,
}

/// The command takes no more input: its channel or its connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the script takes no more input: its channel or the connection has ended")]
pub struct Lost;

impl Input {
    /// Brings input to a channel until the input, the channel or the connection ends.
    pub(super) fn start(spawned: &TaskTracker, line: &Arc<Line>, gone: CancellationToken) -> Self {
        // One piece waits while another is on its way.
        let (pieces, given) = mpsc::channel(1);
        let (line, ended) = (line.clone(), line.ended.clone());
        spawned.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = gone.cancelled() => {}
                _ = bring(&line, given) => {}
            }
        });
        Self { pieces }
    }

    /// Gives bytes to the command, all of them, in order. Waits while it does not read, as its
    /// window (RFC 4254 section 5.2) tells; meanwhile its output must be taken. Ends when the
    /// channel or the connection does, at the latest.
    ///
    /// # Errors
    /// Where the channel or the connection has ended: the bytes may not have arrived.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Lost> {
        self.pieces.send(data).await.map_err(|_| Lost)
    }

    /// The end of the input, after all that was given.
    pub fn finish(self) {}
}

/// A command's channel, shared by what writes to it and what sends it signals.
pub(super) struct Line {
    channel: Mutex<Channel>,
    /// Who waits with the channel in hand gives it up for a moment.
    wanted: Notify,
    ended: CancellationToken,
    adjustments: Arc<AtomicIsize>,
}

impl Line {
    /// Whether its channel or the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub fn new(channel: Channel, listening: &Listening) -> Arc<Self> {
        Arc::new(Self {
            channel: Mutex::new(channel),
            wanted: Notify::new(),
            ended: listening.ended.clone(),
            adjustments: listening.adjustments.clone(),
        })
    }

    pub async fn lock(&self) -> MutexGuard<'_, Channel> {
        self.wanted.notify_one();
        self.channel.lock().await
    }
}

async fn bring(line: &Line, mut given: mpsc::Receiver<Bytes>) -> Option<()> {
    let mut window = Window { line, left: None };
    while let Some(mut piece) = given.recv().await {
        while piece.has_remaining() {
            window.send(&mut piece).await?;
        }
    }
    line.channel.lock().await.eof().await.ok()
}

/// How much the machine takes.
///
/// thrussh has a count of its own that only ever grows too large: its words on the window are the
/// whole of it each time. So ours holds beside it: the last such word less what was sent since.
/// What is then sent too much, a few packets that were on their way, waits in thrussh, in order.
struct Window<'a> {
    line: &'a Line,
    /// Nothing until the machine first spoke of it: until then thrussh's count is right.
    left: Option<usize>,
}

impl Window<'_> {
    /// Sends what there is room for, or waits a moment for room.
    async fn send(&mut self, piece: &mut Bytes) -> Option<()> {
        let mut channel = self.line.channel.lock().await;
        while let Some(message) = channel.wait().now_or_never() {
            self.heard(message?);
        }
        // Where nothing is left of thrussh's own count it waits for more, also after the last byte.
        let room = channel.writable_packet_size().saturating_sub(1);
        let room = room.min(self.left.unwrap_or(usize::MAX)).min(piece.len());
        if room > 0 {
            let part = piece.split_to(room);
            self.left = self.left.map(|left| left - room);
            return channel.data(&part[..]).await.ok();
        }
        tokio::select! {
            message = channel.wait() => self.heard(message?),
            () = self.line.wanted.notified() => {}
        }
        Some(())
    }

    fn heard(&mut self, message: ChannelMsg) {
        if let ChannelMsg::WindowAdjusted { new_size } = message {
            self.line.adjustments.fetch_sub(1, Ordering::Relaxed);
            self.left = Some(new_size as usize);
        }
    }
}
