//! What thrussh calls while a connection runs: the verdict on the host key, and the way of a
//! command's output into a bounded queue.
//!
//! Nothing here uses thrussh's own channel queue: that one has no bound.

use super::Failure;
use super::host_keys::Rules;
use crate::domain::HostKey;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thrussh::client::{Handler, Session};
use thrussh::{ChannelId, ChannelOpenFailure, Error, Sig};
use thrussh_keys::key::PublicKey;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages that wait for the one who reads a command's output.
pub const QUEUE: usize = 16;
/// The most bytes in one message.
const PIECE: usize = 64 * 1024;
/// RFC 4254 section 5.2.
const EXTENDED_STDERR: u32 = 1;
/// Window adjustments of one channel that wait for the one who writes to it.
const ADJUSTMENTS: isize = 1024;

/// What the server says about one channel, in its order.
#[derive(Debug)]
pub enum Message {
    /// It took the request.
    Accepted,
    Stdout(Bytes),
    Stderr(Bytes),
    Exited(u32),
    Signalled(String),
    /// No more output.
    Eof,
    Closed,
}

/// What a connection's handler and its session both know.
pub struct Shared {
    verdict: Mutex<Option<Result<HostKey, Failure>>>,
    channels: Mutex<HashMap<ChannelId, Reader>>,
    refusal: Mutex<Option<String>>,
    refused: Notify,
    /// Set when the session is dropped: nothing waits for a reader any more.
    pub closed: CancellationToken,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            verdict: Mutex::default(),
            channels: Mutex::default(),
            refusal: Mutex::default(),
            refused: Notify::new(),
            closed: CancellationToken::new(),
        })
    }

    /// The verdict on the host key, once one was shown.
    pub fn verdict(&self) -> Option<Result<HostKey, Failure>> {
        lock(&self.verdict).clone()
    }

    /// From now on the channel's messages come here.
    pub fn listen(&self, channel: ChannelId) -> Listening {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (ended, adjustments) = (CancellationToken::new(), Arc::default());
        let reader = Reader {
            sender,
            adjustments: Arc::clone(&adjustments),
            _ended: ended.clone().drop_guard(),
        };
        lock(&self.channels).insert(channel, reader);
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

    /// Waits for a place in the reader's queue, which holds the connection up: that is what makes
    /// the machine wait. What nobody reads any more is dropped.
    async fn tell(&self, channel: ChannelId, message: Message) {
        let reader = lock(&self.channels).get(&channel).map(|r| r.sender.clone());
        let Some(reader) = reader else {
            return;
        };
        tokio::select! {
            _ = reader.send(message) => {}
            () = self.closed.cancelled() => {}
        }
    }

    async fn tell_data(&self, channel: ChannelId, data: &[u8], message: fn(Bytes) -> Message) {
        for piece in data.chunks(PIECE) {
            self.tell(channel, message(Bytes::copy_from_slice(piece)))
                .await;
        }
    }
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

/// Does what thrussh does by itself.
struct Defaults;

impl Handler for Defaults {
    type Error = Error;
}

/// One connection's handler. When thrussh drops it the connection is over.
pub struct ClientHandler {
    pub rules: Rules,
    pub shared: Arc<Shared>,
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        lock(&self.shared.channels).clear();
    }
}

type Done = Result<(ClientHandler, Session), Error>;

impl Handler for ClientHandler {
    type Error = Error;

    async fn check_server_key(self, key: &PublicKey) -> Result<(Self, bool), Error> {
        let verdict = self.rules.judge(key);
        let right = verdict.is_ok();
        *lock(&self.shared.verdict) = Some(verdict);
        Ok((self, right))
    }

    async fn channel_open_failure(
        self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        session: Session,
    ) -> Done {
        *lock(&self.shared.refusal) = Some(in_words(reason, description));
        self.shared.refused.notify_one();
        Ok((self, session))
    }

    async fn channel_success(self, channel: ChannelId, session: Session) -> Done {
        self.shared.tell(channel, Message::Accepted).await;
        Ok((self, session))
    }

    async fn data(self, channel: ChannelId, data: &[u8], session: Session) -> Done {
        self.shared.tell_data(channel, data, Message::Stdout).await;
        Ok((self, session))
    }

    async fn extended_data(
        self,
        channel: ChannelId,
        kind: u32,
        data: &[u8],
        session: Session,
    ) -> Done {
        if kind == EXTENDED_STDERR {
            self.shared.tell_data(channel, data, Message::Stderr).await;
        }
        Ok((self, session))
    }

    async fn exit_status(self, channel: ChannelId, status: u32, session: Session) -> Done {
        self.shared.tell(channel, Message::Exited(status)).await;
        Ok((self, session))
    }

    async fn exit_signal(
        self,
        channel: ChannelId,
        signal: Sig,
        _core_dumped: bool,
        _message: &str,
        _language: &str,
        session: Session,
    ) -> Done {
        let name = Message::Signalled(name_of(signal));
        self.shared.tell(channel, name).await;
        Ok((self, session))
    }

    async fn channel_eof(self, channel: ChannelId, session: Session) -> Done {
        self.shared.tell(channel, Message::Eof).await;
        Ok((self, session))
    }

    async fn channel_close(self, channel: ChannelId, session: Session) -> Done {
        self.shared.tell(channel, Message::Closed).await;
        lock(&self.shared.channels).remove(&channel);
        Ok((self, session))
    }

    /// thrussh sends what waited for the window, and tells the writer by a queue that has no bound:
    /// past a bound of ours an adjustment is left out, which costs the writer nothing for good, as
    /// each tells the whole window. A peer that sends them without an end is cut off.
    async fn window_adjusted(self, channel: ChannelId, window: u32, session: Session) -> Done {
        let waiting = match lock(&self.shared.channels).get(&channel) {
            Some(reader) => reader.adjustments.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
        if waiting >= ADJUSTMENTS && !session.has_pending_data(channel) {
            if let Some(reader) = lock(&self.shared.channels).get(&channel) {
                reader.adjustments.fetch_sub(1, Ordering::Relaxed);
            }
            return Ok((self, session));
        }
        if waiting >= 2 * ADJUSTMENTS {
            return Err(Error::Inconsistent);
        }
        let (_, session) = Defaults.window_adjusted(channel, window, session).await?;
        Ok((self, session))
    }

    async fn xon_xoff(self, _: ChannelId, _: bool, session: Session) -> Done {
        Ok((self, session))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_words(reason: ChannelOpenFailure, description: &str) -> String {
    let reason = match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
        ChannelOpenFailure::ConnectFailed => "connect failed",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
    };
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

/// The name without `SIG` (RFC 4254 section 6.10); nothing but visible characters, and few.
fn name_of(signal: Sig) -> String {
    let name = match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(ref name) => name,
    };
    let visible = name.chars().filter(char::is_ascii_graphic);
    visible.take(32).collect()
}
