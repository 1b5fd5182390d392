//! What a connection's handler and its session both know, whichever library is behind them: the
//! verdict on the host key, and the way of a command's output into a bounded queue.
//!
//! The libraries' own queues are not used for output: thrussh's has no bound, and russh's holds
//! its connection up for as long as anybody keeps it.

use super::super::Failure;
use super::Trouble;
use crate::domain::HostKey;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages that wait for the one who reads a command's output.
pub const QUEUE: usize = 16;
/// The most bytes in one message.
const PIECE: usize = 64 * 1024;
/// RFC 4254 section 5.2.
pub const EXTENDED_STDERR: u32 = 1;

/// What the server says about one channel, in its order.
#[derive(Debug)]
pub enum Message {
    /// It took the request.
    Accepted,
    /// It refuses the request.
    Refused,
    Stdout(Bytes),
    Stderr(Bytes),
    Exited(u32),
    Signalled(String),
    /// No more output.
    Eof,
    Closed,
}

/// A channel of a connection, by either library's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    Thrussh(thrussh::ChannelId),
    Russh(russh::ChannelId),
}

impl From<thrussh::ChannelId> for Id {
    fn from(id: thrussh::ChannelId) -> Self {
        Self::Thrussh(id)
    }
}

impl From<russh::ChannelId> for Id {
    fn from(id: russh::ChannelId) -> Self {
        Self::Russh(id)
    }
}

/// What a connection's handler and its session both know.
pub struct Shared {
    verdict: Mutex<Option<Result<HostKey, Failure>>>,
    certified: AtomicBool,
    channels: Mutex<HashMap<Id, Reader>>,
    refusal: Mutex<Option<String>>,
    refused: Notify,
    end: Mutex<Option<Trouble>>,
    /// Set when the session is dropped: nothing waits for a reader any more.
    pub closed: CancellationToken,
}

/// Where a channel's messages go.
struct Reader {
    sender: mpsc::Sender<Message>,
    adjustments: Arc<AtomicIsize>,
    _ended: DropGuard,
}

/// What comes of a channel, for those who wait for it.
pub struct Listening {
    pub messages: mpsc::Receiver<Message>,
    /// Set when the channel or the connection has ended.
    pub ended: CancellationToken,
    /// Window adjustments that wait in thrussh's queue. Who takes one counts it down.
    pub adjustments: Arc<AtomicIsize>,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            verdict: Mutex::default(),
            certified: AtomicBool::new(false),
            channels: Mutex::default(),
            refusal: Mutex::default(),
            refused: Notify::new(),
            end: Mutex::default(),
            closed: CancellationToken::new(),
        })
    }

    /// The verdict on the host key, once one was shown.
    pub fn verdict(&self) -> Option<Result<HostKey, Failure>> {
        lock(&self.verdict).clone()
    }

    /// Whether the verdict stands on a certificate.
    pub fn is_certified(&self) -> bool {
        self.certified.load(Ordering::Acquire)
    }

    pub(super) fn certify(&self, certified: bool) {
        self.certified.store(certified, Ordering::Release);
    }

    pub(super) fn judged(&self, verdict: Result<HostKey, Failure>) {
        *lock(&self.verdict) = Some(verdict);
    }

    /// Why the connection ended, where the handler was told.
    pub(super) fn end(&self) -> Option<Trouble> {
        lock(&self.end).clone()
    }

    pub(super) fn ended(&self, why: Trouble) {
        *lock(&self.end) = Some(why);
    }

    /// From now on the channel's messages come here.
    pub fn listen(&self, channel: impl Into<Id>) -> Listening {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (ended, adjustments) = (CancellationToken::new(), Arc::default());
        let reader = Reader {
            sender,
            adjustments: Arc::clone(&adjustments),
            _ended: ended.clone().drop_guard(),
        };
        lock(&self.channels).insert(channel.into(), reader);
        Listening {
            messages,
            ended,
            adjustments,
        }
    }

    /// Waits until the server refuses to open a channel; its own words.
    pub async fn channel_refused(&self) -> String {
        loop {
            if let Some(refusal) = lock(&self.refusal).take() {
                return refusal;
            }
            self.refused.notified().await;
        }
    }

    pub(super) fn refuse(&self, reason: &str, description: &str) {
        *lock(&self.refusal) = Some(in_words(reason, description));
        self.refused.notify_one();
    }

    /// How many adjustments of the channel's window wait.
    pub(super) fn adjustments(&self, channel: impl Into<Id>) -> Option<Arc<AtomicIsize>> {
        let channels = lock(&self.channels);
        channels.get(&channel.into()).map(|r| r.adjustments.clone())
    }

    /// Waits for a place in the reader's queue, which holds the connection up: that is what makes
    /// the machine wait. What nobody reads any more is dropped.
    pub(super) async fn tell(&self, channel: impl Into<Id>, message: Message) {
        let reader = lock(&self.channels)
            .get(&channel.into())
            .map(|r| r.sender.clone());
        let Some(reader) = reader else {
            return;
        };
        tokio::select! {
            _ = reader.send(message) => {}
            () = self.closed.cancelled() => {}
        }
    }

    pub(super) async fn tell_data(
        &self,
        channel: impl Into<Id>,
        data: &[u8],
        message: fn(Bytes) -> Message,
    ) {
        let channel = channel.into();
        for piece in data.chunks(PIECE) {
            self.tell(channel, message(Bytes::copy_from_slice(piece)))
                .await;
        }
    }

    /// Nothing more comes of this channel.
    pub(super) fn forget(&self, channel: impl Into<Id>) {
        lock(&self.channels).remove(&channel.into());
    }

    /// Nothing more comes of any channel.
    pub(super) fn forget_all(&self) {
        lock(&self.channels).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_words(reason: &str, description: &str) -> String {
    let description: String = description
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    match description.trim() {
        "" => reason.to_owned(),
        description => format!("{reason}: {description}"),
    }
}

/// A signal's name without `SIG` (RFC 4254 section 6.10); nothing but visible characters, and few.
pub(super) fn visible(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_graphic)
        .take(32)
        .collect()
}
