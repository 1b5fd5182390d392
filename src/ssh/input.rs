//! What a command reads: the way of its stdin through the machine's window (RFC 4254 section 5.2).
//!
//! The bytes go by spawned work of their own, so that whoever gives them may go at any time: what
//! was given still arrives, and the end of the input after it.

use super::library::{Channel, Listening};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
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
                _ = line.channel.bring(given) => {}
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
    channel: Channel,
    ended: CancellationToken,
}

impl Line {
    /// Whether its channel or the connection has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub fn new(channel: Channel, listening: &Listening) -> Arc<Self> {
        Arc::new(Self {
            channel,
            ended: listening.ended.clone(),
        })
    }

    /// By its name without `SIG`. A connection that is gone shows in what the reader gets.
    pub async fn signal(&self, name: &str) {
        let _ = self.channel.signal(name).await;
    }
}
