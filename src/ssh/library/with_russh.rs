//! Connections by russh.

use super::shared::{EXTENDED_STDERR, Listening, Message, Shared, visible};
use super::{Gone, NotOpened, Start, TERMINAL, Trouble, Width, raw_modes};
use crate::ssh::agent;
use crate::ssh::host_keys::Rules;
use crate::ssh::identities::{FileSigner, Offer};
use crate::ssh::offers::Algorithms;
use crate::ssh::stream::{CLIENT_ID, Raw};
use bytes::Bytes;
use russh::client::{
    self, AuthResult, ChannelOpenHandle, DisconnectReason, Handle, Handler, Msg, Session,
};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{
    ChannelId, ChannelOpenFailure, ChannelWriteHalf, Error, MethodKind, Preferred, Pty, Sig,
    cipher, compression, kex, mac,
};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Nothing with SHA-1, nothing that ends in `cbc`, no groups under 2048 bits.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G14_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_GEX_SHA256,
    kex::DH_G15_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G18_SHA512,
];
const KEX_OF_NIST: &[kex::Name] = &[
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
];
/// No key exchange, but what is said of it along with the list.
const KEX_MARKS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const MACS: &[mac::Name] = &[
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512,
    mac::HMAC_SHA256,
];
const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];
/// Packets of a channel that wait for its reader, which only connections to other machines have:
/// see [`Shared`] for the others.
const BUFFER: usize = 16;

/// A connection that russh holds.
pub struct Connection {
    handle: Handle<ClientHandler>,
    shared: Arc<Shared>,
    /// It takes no (more) logins by public key.
    no_public_keys: bool,
}

/// The key exchange. russh shows a host key only once the server has proved to hold it.
pub async fn start(start: Start) -> Result<Connection, Trouble> {
    let config = config(&start.rules, start.width);
    let shared = start.shared;
    let handler = ClientHandler {
        rules: start.rules,
        shared: shared.clone(),
    };
    let handle = client::connect_stream(Arc::new(config), start.wire, handler).await;
    Ok(Connection {
        handle: handle.map_err(|error| trouble(&error))?,
        shared,
        no_public_keys: false,
    })
}

fn config(rules: &Rules, width: Width) -> client::Config {
    let offered = |key: &Algorithm| {
        width == Width::Wide || !matches!(key, Algorithm::Ecdsa { .. }) || rules.prefers(kind(key))
    };
    let mut key: Vec<_> = HOST_KEYS
        .iter()
        .filter(|key| offered(key))
        .cloned()
        .collect();
    key.sort_by_key(|algorithm| !rules.prefers(kind(algorithm)));
    let certificates = match rules.wants_certificates() {
        true => HOST_KEYS,
        false => &[],
    };
    client::Config {
        client_id: russh::SshId::Standard(CLIENT_ID.into()),
        preferred: Preferred {
            kex: Cow::Owned([kex(width), KEX_MARKS.to_vec()].concat()),
            key: Cow::Owned(key),
            host_key_certificates: Cow::Borrowed(certificates),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        channel_buffer_size: BUFFER,
        ..client::Config::default()
    }
}

fn kex(width: Width) -> Vec<kex::Name> {
    match width {
        Width::Narrow => KEX.to_vec(),
        Width::Wide => [KEX, KEX_OF_NIST].concat(),
    }
}

/// The name of the kind of key, whatever the signature is made with.
fn kind(algorithm: &Algorithm) -> &str {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa",
        other => other.as_str(),
    }
}

/// What [`config`] offers at most.
pub fn algorithms() -> Algorithms {
    Algorithms {
        kex: kex(Width::Wide)
            .iter()
            .map(|name| name.as_ref().into())
            .collect(),
        host_key: HOST_KEYS.iter().map(|key| key.as_str().into()).collect(),
        cipher: CIPHERS.iter().map(|name| name.as_ref().into()).collect(),
        mac: MACS.iter().map(|name| name.as_ref().into()).collect(),
    }
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::NoCommonAlgo { .. } => Trouble::NoCommon,
        Error::WrongServerSig => Trouble::NotProved,
        Error::NoAuthMethod => Trouble::NoPublicKeys,
        Error::Disconnect
        | Error::HUP
        | Error::IO(_)
        | Error::SendError
        | Error::RecvError
        | Error::UnknownKey => Trouble::Closed,
        _ => Trouble::Foreign(error.to_string()),
    }
}

impl Connection {
    pub async fn authenticate(&mut self, user: &str, offer: &Offer) -> bool {
        let result = match offer {
            Offer::File(identity) => {
                let hash = self.hash(&identity.key.algorithm()).await;
                let mut signer = FileSigner(identity.key.clone());
                let key = identity.key.public_key().clone();
                let handle = &mut self.handle;
                let result = handle.authenticate_publickey_with(user, key, hash, &mut signer);
                result.await.ok()
            }
            Offer::Certificate(identity, certificate) => {
                let hash = self.hash(&identity.key.algorithm()).await;
                let mut signer = FileSigner(identity.key.clone());
                let certificate = (**certificate).clone();
                let handle = &mut self.handle;
                let result =
                    handle.authenticate_certificate_with(user, certificate, hash, &mut signer);
                result.await.ok()
            }
            Offer::Agent(key) => {
                let hash = self.hash(&key.algorithm()).await;
                agent::authenticate_by_russh(&mut self.handle, user, key, hash).await
            }
        };
        match result {
            Some(AuthResult::Success) => true,
            Some(AuthResult::Failure {
                remaining_methods, ..
            }) => {
                self.no_public_keys = !remaining_methods.contains(&MethodKind::PublicKey);
                false
            }
            None => false,
        }
    }

    /// Servers refuse RSA signatures with SHA-1 (RFC 8332).
    async fn hash(&self, algorithm: &Algorithm) -> Option<HashAlg> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return None;
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Some(hash),
            _ => Some(HashAlg::Sha512),
        }
    }

    pub fn is_over(&self) -> bool {
        self.no_public_keys || self.handle.is_closed()
    }

    pub async fn end(&mut self) -> Trouble {
        if self.handle.is_closed() {
            let _ = (&mut self.handle).await;
        }
        match self.shared.end() {
            Some(why) => why,
            None if self.no_public_keys => Trouble::NoPublicKeys,
            None => Trouble::Closed,
        }
    }

    pub async fn open_session(&mut self) -> Result<(super::Channel, Listening), NotOpened> {
        let channel = match self.handle.channel_open_session().await {
            Ok(channel) => channel,
            Err(error) => return Err(self.not_opened(&error).await),
        };
        let listening = self.shared.listen(channel.id());
        // The handler brings what comes of it: nothing waits in the half that is dropped here.
        let (_, writer) = channel.split();
        Ok((super::Channel::Russh(Channel { writer }), listening))
    }

    pub async fn open_direct(&self, host: &str, port: u16) -> Result<Raw, NotOpened> {
        let opened = self
            .handle
            .channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        match opened.await {
            Ok(channel) => Ok(Box::new(channel.into_stream())),
            Err(error) => Err(self.not_opened(&error).await),
        }
    }

    async fn not_opened(&self, error: &Error) -> NotOpened {
        match error {
            // The handler is told the server's words behind this.
            Error::ChannelOpenFailure(_) => NotOpened::Refused(self.shared.channel_refused().await),
            _ => NotOpened::Lost,
        }
    }
}

/// A channel's way to the machine.
pub struct Channel {
    writer: ChannelWriteHalf<Msg>,
}

impl Channel {
    pub async fn request_terminal(&self) -> Result<(), Gone> {
        let (name, columns, rows) = TERMINAL;
        let modes = raw_modes!(Pty);
        let sent = self
            .writer
            .request_pty(true, name, columns, rows, 0, 0, &modes);
        sent.await.map_err(|_| Gone)
    }

    pub async fn exec(&self, line: &str) -> Result<(), Gone> {
        self.writer.exec(true, line).await.map_err(|_| Gone)
    }

    pub async fn signal(&self, name: &str) -> Result<(), Gone> {
        let signal = Sig::Custom(name.to_owned());
        self.writer.signal(signal).await.map_err(|_| Gone)
    }

    pub async fn bring(&self, mut given: mpsc::Receiver<Bytes>) -> Result<(), Gone> {
        while let Some(piece) = given.recv().await {
            self.writer.data_bytes(piece).await.map_err(|_| Gone)?;
        }
        self.writer.eof().await.map_err(|_| Gone)
    }
}

/// One connection's handler. When russh drops it the connection is over.
pub struct ClientHandler {
    rules: Rules,
    shared: Arc<Shared>,
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        self.shared.forget_all();
    }
}

impl Handler for ClientHandler {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let verdict = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.rules.judge(&key.to_bytes()?),
            PublicKeyOrCertificate::Certificate(shown) => self.rules.judge_certificate(shown),
        };
        let right = verdict.is_ok();
        if let PublicKeyOrCertificate::Certificate(shown) = shown {
            self.shared.certify(right && self.rules.counts(shown));
        }
        self.shared.judged(verdict);
        Ok(right)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        let reason = match reason {
            ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
            ChannelOpenFailure::ConnectFailed => "connect failed",
            ChannelOpenFailure::UnknownChannelType => "unknown channel type",
            ChannelOpenFailure::ResourceShortage => "resource shortage",
            _ => "refused",
        };
        self.shared.refuse(reason, description);
        Ok(())
    }

    async fn channel_success(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Accepted).await;
        Ok(())
    }

    async fn channel_failure(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Refused).await;
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Error> {
        self.shared.tell_data(channel, data, Message::Stdout).await;
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        kind: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Error> {
        if kind == EXTENDED_STDERR {
            self.shared.tell_data(channel, data, Message::Stderr).await;
        }
        Ok(())
    }

    async fn exit_status(
        &mut self,
        channel: ChannelId,
        status: u32,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.shared.tell(channel, Message::Exited(status)).await;
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _core_dumped: bool,
        _message: &str,
        _language: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        let name = Message::Signalled(name_of(&signal));
        self.shared.tell(channel, name).await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Eof).await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Closed).await;
        self.shared.forget(channel);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        self.shared.ended(match reason {
            DisconnectReason::ReceivedDisconnect(_) => Trouble::Left,
            DisconnectReason::Error(error) => trouble(&error),
        });
        Ok(())
    }

    // A server opens no channels to us: each of these refuses by dropping its handle.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: russh::Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }
}

fn name_of(signal: &Sig) -> String {
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
        Sig::Custom(name) => name,
    };
    visible(name)
}
