//! Connections by thrussh.

use super::shared::{EXTENDED_STDERR, Listening, Message, Shared, visible};
use super::{Gone, NotOpened, Start, TERMINAL, Trouble, raw_modes, signal_name};
use crate::ssh::agent;
use crate::ssh::host_keys::Rules;
use crate::ssh::identities::Offer;
use crate::ssh::offers::Algorithms;
use crate::ssh::stream::CLIENT_ID;
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use thrussh::client::{self, Handle, Handler, Session};
use thrussh::{ChannelId, ChannelMsg, ChannelOpenFailure, Error, Preferred, Pty, Sig, cipher, mac};
use thrussh_keys::PublicKeyBase64;
use thrussh_keys::key::{ED25519, Name, PublicKey, RSA_SHA2_256};
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc};

/// Window adjustments of one channel that wait for the one who writes to it.
const ADJUSTMENTS: isize = 1024;
/// thrussh checks an RSA host key's signature with SHA-256 whatever was agreed on, so nothing else
/// may be agreed on.
const ED25519_FIRST: &[Name] = &[ED25519, RSA_SHA2_256];
const RSA_FIRST: &[Name] = &[RSA_SHA2_256, ED25519];
const CIPHERS: &[cipher::Name] = &[
    cipher::chacha20poly1305::NAME,
    cipher::aes256_gcm::NAME,
    cipher::aes256_ctr::NAME,
];
const MACS: &[mac::Name] = &[mac::hmac_sha256::NAME];

/// A connection that thrussh holds.
pub struct Connection {
    pub(super) handle: Handle<ClientHandler>,
    shared: Arc<Shared>,
}

/// The key exchange. thrussh hands out a handle whatever became of it.
pub async fn start(start: Start) -> Result<Connection, Trouble> {
    let config = config(&start.rules);
    let shared = start.shared;
    let handler = ClientHandler {
        rules: start.rules,
        shared: shared.clone(),
    };
    let handle = client::connect_stream(Arc::new(config), start.wire, handler).await;
    let handle = handle.map_err(|error| trouble(&error))?;
    let mut connection = Connection { handle, shared };
    match connection.handle.is_closed() {
        true => Err(connection.end().await),
        false => Ok(connection),
    }
}

/// Strict: no MAC `none`, no compression, and nothing but what thrussh does well.
fn config(rules: &Rules) -> client::Config {
    let rsa_first = rules.prefers("ssh-rsa") && !rules.prefers("ssh-ed25519");
    client::Config {
        client_id: CLIENT_ID.into(),
        preferred: Preferred {
            key: if rsa_first { RSA_FIRST } else { ED25519_FIRST },
            cipher: CIPHERS,
            mac: MACS,
            compression: &["none"],
            ..Preferred::DEFAULT_CLIENT
        },
        ..client::Config::default()
    }
}

/// What [`config`] offers.
pub fn algorithms() -> Algorithms {
    let kex = Preferred::DEFAULT_CLIENT.kex.iter();
    let kex = kex.filter(|name| !name.as_ref().starts_with("kex-strict-"));
    Algorithms {
        kex: kex.map(|name| name.as_ref().into()).collect(),
        host_key: ED25519_FIRST
            .iter()
            .map(|name| name.as_ref().into())
            .collect(),
        cipher: CIPHERS.iter().map(|name| name.as_ref().into()).collect(),
        mac: MACS.iter().map(|name| name.as_ref().into()).collect(),
    }
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::NoCommonKexAlgo
        | Error::NoCommonKeyAlgo
        | Error::NoCommonCipher
        | Error::NoCommonMac
        | Error::NoCommonCompression => Trouble::NoCommon,
        Error::WrongServerSig => Trouble::NotProved,
        Error::NoAuthMethod => Trouble::NoPublicKeys,
        Error::Disconnect | Error::HUP | Error::IO(_) => Trouble::Closed,
        _ => Trouble::Foreign(error.to_string()),
    }
}

impl Connection {
    pub async fn authenticate(&mut self, user: &str, offer: &Offer) -> bool {
        let taken = match offer {
            Offer::File(identity) => match &identity.thrussh {
                Some(key) => self.handle.authenticate_publickey(user, key.clone()).await,
                None => return false,
            },
            Offer::Agent(key) => match key.for_thrussh() {
                Some(key) => agent::authenticate(&mut self.handle, user, key).await,
                None => return false,
            },
            Offer::Certificate(..) => return false,
        };
        taken.unwrap_or(false)
    }

    /// thrussh ends without an error where the server said that it goes.
    pub async fn end(&mut self) -> Trouble {
        match (&mut self.handle).await {
            Ok(()) | Err(Error::Disconnect) => Trouble::Left,
            Err(error) => trouble(&error),
        }
    }

    pub async fn open_session(&mut self) -> Result<(super::Channel, Listening), NotOpened> {
        let channel = tokio::select! {
            opened = self.handle.channel_open_session() => opened.map_err(|_| NotOpened::Lost)?,
            refusal = self.shared.channel_refused() => return Err(NotOpened::Refused(refusal)),
        };
        let listening = self.shared.listen(channel.id());
        let channel = Channel {
            channel: Mutex::new(channel),
            wanted: Notify::new(),
            adjustments: listening.adjustments.clone(),
        };
        Ok((super::Channel::Thrussh(channel), listening))
    }
}

/// A channel, shared by what writes to it and what sends it signals.
pub struct Channel {
    channel: Mutex<client::Channel>,
    /// Who waits with the channel in hand gives it up for a moment.
    wanted: Notify,
    adjustments: Arc<AtomicIsize>,
}

impl Channel {
    async fn lock(&self) -> MutexGuard<'_, client::Channel> {
        self.wanted.notify_one();
        self.channel.lock().await
    }

    pub async fn request_terminal(&self) -> Result<(), Gone> {
        let (name, columns, rows) = TERMINAL;
        let mut channel = self.lock().await;
        let sent = channel.request_pty(true, name, columns, rows, 0, 0, &raw_modes!(Pty));
        sent.await.map_err(|_| Gone)
    }

    pub async fn exec(&self, line: &str) -> Result<(), Gone> {
        let sent = self.lock().await.exec(true, line).await;
        sent.map_err(|_| Gone)
    }

    pub async fn signal(&self, name: &str) -> Result<(), Gone> {
        let signal = Sig::Custom(name.to_owned());
        self.lock().await.signal(signal).await.map_err(|_| Gone)
    }

    pub async fn bring(&self, mut given: mpsc::Receiver<Bytes>) -> Result<(), Gone> {
        let mut window = Window {
            channel: self,
            left: None,
        };
        while let Some(mut piece) = given.recv().await {
            while piece.has_remaining() {
                window.send(&mut piece).await.ok_or(Gone)?;
            }
        }
        self.channel.lock().await.eof().await.map_err(|_| Gone)
    }
}

/// How much the machine takes.
///
/// thrussh has a count of its own that only ever grows too large: its words on the window are the
/// whole of it each time. So ours holds beside it: the last such word less what was sent since.
/// What is then sent too much, a few packets that were on their way, waits in thrussh, in order.
struct Window<'a> {
    channel: &'a Channel,
    /// Nothing until the machine first spoke of it: until then thrussh's count is right.
    left: Option<usize>,
}

impl Window<'_> {
    /// Sends what there is room for, or waits a moment for room.
    async fn send(&mut self, piece: &mut Bytes) -> Option<()> {
        let mut channel = self.channel.channel.lock().await;
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
            () = self.channel.wanted.notified() => {}
        }
        Some(())
    }

    fn heard(&mut self, message: ChannelMsg) {
        if let ChannelMsg::WindowAdjusted { new_size } = message {
            self.channel.adjustments.fetch_sub(1, Ordering::Relaxed);
            self.left = Some(new_size as usize);
        }
    }
}

/// Does what thrussh does by itself.
struct Defaults;

impl Handler for Defaults {
    type Error = Error;
}

/// One connection's handler. When thrussh drops it the connection is over.
pub struct ClientHandler {
    rules: Rules,
    shared: Arc<Shared>,
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        self.shared.forget_all();
    }
}

type Done = Result<(ClientHandler, Session), Error>;

impl Handler for ClientHandler {
    type Error = Error;

    /// The server has not proved to hold the key yet, so the key exchange goes on whatever the
    /// verdict: who logs in looks at it first.
    async fn check_server_key(self, key: &PublicKey) -> Result<(Self, bool), Error> {
        self.shared
            .judged(self.rules.judge(&key.public_key_bytes()));
        Ok((self, true))
    }

    async fn channel_open_failure(
        self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        session: Session,
    ) -> Done {
        let reason = match reason {
            ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
            ChannelOpenFailure::ConnectFailed => "connect failed",
            ChannelOpenFailure::UnknownChannelType => "unknown channel type",
            ChannelOpenFailure::ResourceShortage => "resource shortage",
        };
        self.shared.refuse(reason, description);
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
        let name = Message::Signalled(visible(signal_name!(Sig, &signal)));
        self.shared.tell(channel, name).await;
        Ok((self, session))
    }

    async fn channel_eof(self, channel: ChannelId, session: Session) -> Done {
        self.shared.tell(channel, Message::Eof).await;
        Ok((self, session))
    }

    async fn channel_close(self, channel: ChannelId, session: Session) -> Done {
        self.shared.tell(channel, Message::Closed).await;
        self.shared.forget(channel);
        Ok((self, session))
    }

    /// thrussh sends what waited for the window, and tells the writer by a queue that has no bound:
    /// past a bound of ours an adjustment is left out, which costs the writer nothing for good, as
    /// each tells the whole window. A peer that sends them without an end is cut off.
    async fn window_adjusted(self, channel: ChannelId, window: u32, session: Session) -> Done {
        let count = self.shared.adjustments(channel).unwrap_or_default();
        let waiting = count.fetch_add(1, Ordering::Relaxed);
        if waiting >= ADJUSTMENTS && !session.has_pending_data(channel) {
            count.fetch_sub(1, Ordering::Relaxed);
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
