//! The SSH libraries behind one seam: a connection, its login, and its channels.
//!
//! thrussh is the faster one and is tried first; russh reaches the servers and keys that thrussh
//! cannot, and alone carries connections to other machines (RFC 4254 section 7.2).

mod shared;
mod with_russh;
mod with_thrussh;

pub use shared::{Listening, Message, Shared};
pub use with_thrussh::ClientHandler as ThrusshHandler;

use super::host_keys::Rules;
use super::identities::Offer;
use super::offers::Algorithms;
use super::stream::{Raw, Wire};
use crate::domain::SshLibrary;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Why a connection came to nothing, whichever library it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No algorithm of some kind is in common.
    NoCommon,
    /// The server could not prove that it holds its host key.
    NotProved,
    /// It takes no login by public key.
    NoPublicKeys,
    /// It said that it goes.
    Left,
    /// It closed the connection.
    Closed,
    /// What it says is not SSH as it should be.
    Foreign(String),
}

/// What became of the offer of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// We are in.
    Taken,
    Refused,
}

/// How much is offered to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// What nobody finds fault with.
    Narrow,
    /// Also the curves of NIST, for a machine that has nothing else (FIPS, ECDSA host keys). Of
    /// russh alone.
    Wide,
}

/// What a connection is made with.
pub struct Start {
    pub rules: Rules,
    pub width: Width,
    pub shared: Arc<Shared>,
    pub wire: Wire,
}

/// A connection that a library holds. Where it is dropped the library ends by itself once its
/// stream ends.
pub enum Connection {
    Thrussh(Box<with_thrussh::Connection>),
    Russh(Box<with_russh::Connection>),
}

impl Connection {
    /// The key exchange. A host key that is refused shows in [`Shared::verdict`]. Must not be
    /// dropped halfway.
    pub async fn start(library: SshLibrary, start: Start) -> Result<Self, Trouble> {
        Ok(match library {
            SshLibrary::Thrussh => Self::Thrussh(Box::new(with_thrussh::start(start).await?)),
            SshLibrary::Russh => Self::Russh(Box::new(with_russh::start(start).await?)),
        })
    }

    pub fn library(&self) -> SshLibrary {
        match self {
            Self::Thrussh(_) => SshLibrary::Thrussh,
            Self::Russh(_) => SshLibrary::Russh,
        }
    }

    /// Offers a key that [`Offer::fits`] this library.
    pub async fn authenticate(&mut self, user: &str, offer: &Offer) -> Answer {
        let taken = match self {
            Self::Thrussh(connection) => connection.authenticate(user, offer).await,
            Self::Russh(connection) => connection.authenticate(user, offer).await,
        };
        match taken {
            true => Answer::Taken,
            false => Answer::Refused,
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Self::Thrussh(connection) => connection.handle.is_closed(),
            Self::Russh(connection) => connection.is_over(),
        }
    }

    /// Why the connection is over, from the library's spawned work, which has ended.
    pub async fn end(&mut self) -> Trouble {
        match self {
            Self::Thrussh(connection) => connection.end().await,
            Self::Russh(connection) => connection.end().await,
        }
    }

    /// Opens a channel for a command.
    pub async fn open_session(&mut self) -> Result<(Channel, Listening), NotOpened> {
        match self {
            Self::Thrussh(connection) => connection.open_session().await,
            Self::Russh(connection) => connection.open_session().await,
        }
    }

    /// A TCP connection from that machine to another (direct-tcpip, RFC 4254 section 7.2), by
    /// [`THAT_JUMPS`].
    pub async fn open_direct(&self, host: &str, port: u16) -> Result<Raw, NotOpened> {
        match self {
            Self::Thrussh(_) => Err(NotOpened::Refused("thrussh carries no connections".into())),
            Self::Russh(connection) => connection.open_direct(host, port).await,
        }
    }
}

/// The library that carries connections to other machines. thrussh's own count of a channel's
/// window does not hold for more than a few gibibytes.
pub const THAT_JUMPS: SshLibrary = SshLibrary::Russh;

/// Why there is no channel.
#[derive(Debug)]
pub enum NotOpened {
    /// The server's own words.
    Refused(String),
    /// The connection is gone.
    Lost,
}

/// The request could not be sent: the connection is gone.
#[derive(Debug)]
pub struct Gone;

/// A channel's way to the machine.
pub enum Channel {
    Thrussh(with_thrussh::Channel),
    Russh(with_russh::Channel),
}

impl Channel {
    /// Asks for a terminal that passes bytes as they are; the answer comes as a [`Message`].
    pub async fn request_terminal(&self) -> Result<(), Gone> {
        match self {
            Self::Thrussh(channel) => channel.request_terminal().await,
            Self::Russh(channel) => channel.request_terminal().await,
        }
    }

    /// Asks to run a command; the answer comes as a [`Message`].
    pub async fn exec(&self, line: &str) -> Result<(), Gone> {
        match self {
            Self::Thrussh(channel) => channel.exec(line).await,
            Self::Russh(channel) => channel.exec(line).await,
        }
    }

    /// Sends a signal (RFC 4254 section 6.9) by its name without `SIG`.
    pub async fn signal(&self, name: &str) -> Result<(), Gone> {
        match self {
            Self::Thrussh(channel) => channel.signal(name).await,
            Self::Russh(channel) => channel.signal(name).await,
        }
    }

    /// Brings what is given to the machine, as its window allows, and the end of it.
    pub async fn bring(&self, given: mpsc::Receiver<Bytes>) -> Result<(), Gone> {
        match self {
            Self::Thrussh(channel) => channel.bring(given).await,
            Self::Russh(channel) => channel.bring(given).await,
        }
    }
}

/// What WSEXEC has with these libraries.
pub fn algorithms(libraries: &[SshLibrary]) -> Algorithms {
    let mut all = Algorithms::default();
    for library in libraries {
        let of = match library {
            SshLibrary::Thrussh => with_thrussh::algorithms(),
            SshLibrary::Russh => with_russh::algorithms(),
        };
        for (all, of) in [
            (&mut all.kex, of.kex),
            (&mut all.host_key, of.host_key),
            (&mut all.cipher, of.cipher),
            (&mut all.mac, of.mac),
        ] {
            let new = of.into_iter().filter(|name| !all.contains(name));
            let new: Vec<_> = new.collect();
            all.extend(new);
        }
    }
    all
}

/// Terminal modes (RFC 4254 section 8) of a terminal that passes bytes as they are, either way: no
/// echo, no lines, no signals from the keyboard, no flow control.
macro_rules! raw_modes {
    ($pty:ty) => {
        [
            (<$pty>::ECHO, 0),
            (<$pty>::ICANON, 0),
            (<$pty>::ISIG, 0),
            (<$pty>::IEXTEN, 0),
            (<$pty>::OPOST, 0),
            (<$pty>::ONLCR, 0),
            (<$pty>::ICRNL, 0),
            (<$pty>::INLCR, 0),
            (<$pty>::IGNCR, 0),
            (<$pty>::ISTRIP, 0),
            (<$pty>::IXON, 0),
            (<$pty>::IXOFF, 0),
            (<$pty>::CS8, 1),
        ]
    };
}
use raw_modes;

/// The name of a signal (RFC 4254 section 6.10), as the machine has it.
macro_rules! signal_name {
    ($sig:ident, $signal:expr) => {
        match $signal {
            $sig::ABRT => "ABRT",
            $sig::ALRM => "ALRM",
            $sig::FPE => "FPE",
            $sig::HUP => "HUP",
            $sig::ILL => "ILL",
            $sig::INT => "INT",
            $sig::KILL => "KILL",
            $sig::PIPE => "PIPE",
            $sig::QUIT => "QUIT",
            $sig::SEGV => "SEGV",
            $sig::TERM => "TERM",
            $sig::USR1 => "USR1",
            $sig::Custom(name) => name,
        }
    };
}
use signal_name;

/// The name of such a terminal, and its columns and rows.
const TERMINAL: (&str, u32, u32) = ("dumb", 80, 24);
