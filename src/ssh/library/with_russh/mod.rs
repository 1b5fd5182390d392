//! Connections by russh.

mod algorithms;
mod handler;

pub use algorithms::algorithms;

use super::shared::{Listening, Shared};
use super::{Gone, NotOpened, Start, TERMINAL, Trouble, Width, raw_modes};
use crate::ssh::agent;
use crate::ssh::host_keys::Rules;
use crate::ssh::identities::{FileSigner, Offer};
use crate::ssh::stream::{CLIENT_ID, Raw};
use algorithms::preferred;
use bytes::Bytes;
use handler::ClientHandler;
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::{Algorithm, HashAlg};
use russh::{ChannelWriteHalf, Error, MethodKind, Pty, Sig};
use std::sync::Arc;
use tokio::sync::mpsc;

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
    client::Config {
        client_id: russh::SshId::Standard(CLIENT_ID.into()),
        preferred: preferred(rules, width),
        channel_buffer_size: BUFFER,
        ..client::Config::default()
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
