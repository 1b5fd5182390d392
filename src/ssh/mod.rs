//! The only place that knows thrussh: connect, authenticate, judge the host key, exec.
//!
//! It speaks in a [`Connector`], a [`Session`] and [`Event`]s, so that another SSH library can
//! stand behind the same words.

use crate::config;
use crate::domain::{HostKey, Outcome};
use bytes::Bytes;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// IPv4 or IPv6 address, or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The key on record for this instance: where there is one, it alone is right.
    pub host_key: Option<HostKey>,
}

/// Why no script runs: with what became of the task, and the sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// `unreachable`, `host_key_refused`, `auth_failed` or `start_failed`.
    pub outcome: Outcome,
    /// What happened and what to do.
    pub reason: String,
}

/// What a running script does. After [`Event::Exited`], [`Event::Signalled`] or
/// [`Event::Disconnected`] nothing follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It wrote to standard output. At most 64 KiB.
    Stdout(Bytes),
    /// It wrote to standard error. At most 64 KiB.
    Stderr(Bytes),
    /// It exited by itself, and all of its output came before this.
    Exited(u32),
    /// A signal ended it (the name without `SIG`), and all of its output came before this.
    Signalled(String),
    /// The connection or the channel ended without an exit status; the sentence says how.
    Disconnected(String),
}

/// Makes connections. One for the whole program; cheap to clone.
#[derive(Clone)]
pub struct Connector {}

impl Connector {
    /// Loads nothing yet: identities and known hosts are read when a connection needs them, so
    /// that a key added later is found.
    pub fn new(_config: &config::Ssh) -> Self {
        Self {}
    }

    /// Connects, checks the host key, logs in.
    ///
    /// # Errors
    /// With the outcome and the reason that the task gets.
    pub async fn connect(&self, _target: &Target) -> Result<Session, Failure> {
        unimplemented!()
    }
}

/// A connection that is logged in. It is closed, socket and all, when it is dropped.
pub struct Session {}

impl Session {
    /// The key that the server has proved to hold.
    pub fn host_key(&self) -> &HostKey {
        unimplemented!()
    }

    /// Hands a command to the user's login shell, as `ssh user@host COMMAND` does. stdin is empty.
    ///
    /// # Errors
    /// `start_failed` where the server opens no channel, refuses the request or does not answer.
    pub async fn exec(&mut self, _command: &str) -> Result<Running, Failure> {
        unimplemented!()
    }
}

/// A command that runs.
pub struct Running {}

impl Running {
    /// What it does next. The buffer behind it is bounded: what is not taken makes the machine
    /// wait. Cancel safe.
    pub async fn next(&mut self) -> Event {
        unimplemented!()
    }

    /// Asks the server to send a signal (RFC 4254 section 6.9), such as `TERM`. Servers may ignore
    /// it: OpenSSH does for root.
    pub async fn signal(&mut self, _signal: &str) {
        unimplemented!()
    }
}
