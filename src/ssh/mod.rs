//! The only place that knows thrussh and russh: connect, authenticate, judge the host key, exec.
//!
//! It speaks in a [`Connector`], a [`Session`] and [`Event`]s; both libraries stand behind these
//! words, and `library` is what tells them apart.
//!
//! thrussh logs packets, and with them secrets, at debug and trace, through the `log` crate under
//! the targets `thrussh`, `thrussh_keys` and `cryptovec`: whoever sets up logging must cut these
//! below errors, and `russh` below warnings, whatever the configuration says.

mod agent;
mod certificates;
mod connect;
pub mod demo;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod host_keys;
mod identities;
mod input;
mod keys;
mod known_hosts;
mod library;
mod login;
mod names;
mod offers;
mod password;
mod pool;
mod reach;
mod reasons;
pub mod remote;
mod session;
mod stream;
mod turns;

pub use input::{Input, Lost};
pub use keys::{LoginKey, PublicHalf, generate_key, public_half};
pub use password::Password;
pub use pool::Lease;
pub use remote::{
    Command, FOREIGN, Finding, Findings, Left, Located, Other, RemoteClock, ScriptSecret,
    Whereabouts,
};
pub use session::{Running, Seen, Session};

use crate::config;
use crate::domain::{HostKey, Outcome, RevokedKey, Secret, SshLibrary};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Where to connect and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// IPv4 or IPv6 address, or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The key on record for this instance: where there is one, it alone is right.
    pub host_key: Option<HostKey>,
    /// Host keys that somebody has revoked for this instance: refused first of all.
    pub revoked: Vec<RevokedKey>,
    /// The library that served this machine the last time: tried first, where the configuration
    /// leaves the choice.
    pub library: Option<SshLibrary>,
    /// The one key to log in with; all that the configuration names where there is none.
    pub key: Option<LoginKey>,
    /// The machine that this one is reached from (RFC 4254 section 7.2), with a login and a host
    /// key of its own.
    pub jump: Option<Box<Target>>,
}

impl Target {
    /// Whether the way there ends at or leads through this place.
    fn passes(&self, host: &str, port: u16) -> bool {
        let here = self.host.eq_ignore_ascii_case(host) && self.port == port;
        here || self.jump.as_ref().is_some_and(|it| it.passes(host, port))
    }
}

/// Why no script runs, or why it is not known whether one does: with what became of the task, and the sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// `unreachable`, `host_key_refused`, `auth_failed` or `start_failed`: no script was started.
    /// `lost`: the script was sent, and may have started.
    pub outcome: Outcome,
    /// What happened and what to do.
    pub reason: String,
    /// Whether the machine opened no further channel on this connection, as it allows no more
    /// sessions on it. Nothing was sent: another connection may do.
    pub channel_refused: bool,
    /// With `host_key_refused`: the key that was shown, where the server has proved to hold it.
    pub shown: Option<Box<HostKey>>,
    /// The host and port of the jump that it happened at; none where that was the machine itself.
    pub jump: Option<Box<(String, u16)>>,
}

impl Failure {
    /// One that tells nothing else.
    pub fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: reason.into(),
            channel_refused: false,
            shown: None,
            jump: None,
        }
    }
}

/// The keys that a login offers, in words for a person.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Those that are offered.
    pub usable: Vec<String>,
    /// Why others are not.
    pub unusable: Vec<String>,
}

/// What a running script does. After [`Event::Exited`], [`Event::Signalled`] or
/// [`Event::Disconnected`] nothing follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It wrote to standard output. At most 64 KiB.
    Stdout(Bytes),
    /// It wrote to standard error. At most 64 KiB.
    Stderr(Bytes),
    /// It exited by itself. All of its output came before this, unless the connection was lost
    /// after the exit status, or something that it left behind still writes.
    Exited(u32),
    /// A signal ended it (the name without `SIG`). Its output is as complete as with an exit.
    Signalled(String),
    /// The connection or the channel ended without an exit status; the sentence says how.
    Disconnected(String),
}

/// Makes connections. One for the whole program; cheap to clone.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    timeouts: Timeouts,
    host_keys: config::HostKeys,
    names: names::Names,
    known_hosts: known_hosts::File,
    identities: identities::Identities,
    /// In the order in which they are tried.
    libraries: Vec<SshLibrary>,
    turns: turns::Turns,
    pool: pool::Pool,
    become_passwords: BTreeMap<String, config::BecomePassword>,
    /// Logins that run, and inputs. Each ends by itself once its socket is shut down.
    spawned: TaskTracker,
}

/// The deadlines of the configuration.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    login: Duration,
    start: Duration,
}

impl Connector {
    /// Loads nothing yet: identities and known hosts are read when a connection needs them, so
    /// that a key added later is found.
    pub fn new(config: &config::Ssh) -> Self {
        let passphrase = std::env::var("WSEXEC_SSH_PASSPHRASE").ok().map(Secret::new);
        Self {
            inner: Arc::new(Inner {
                timeouts: Timeouts {
                    connect: Duration::from_secs(config.connect_timeout),
                    login: Duration::from_secs(config.login_timeout),
                    start: Duration::from_secs(config.start_timeout),
                },
                host_keys: config.host_keys,
                names: names::Names::new(),
                known_hosts: known_hosts::File::new(config.known_hosts.clone()),
                identities: identities::Identities::new(
                    config.identities.clone(),
                    config.passphrase_file.clone(),
                    passphrase,
                ),
                libraries: match config.library {
                    config::SshLibrary::Auto => vec![SshLibrary::Thrussh, SshLibrary::Russh],
                    config::SshLibrary::Thrussh => vec![SshLibrary::Thrussh],
                    config::SshLibrary::Russh => vec![SshLibrary::Russh],
                },
                turns: turns::Turns::default(),
                pool: pool::Pool::new(Duration::from_secs(config.pool_idle), config.pool_size),
                become_passwords: config.become_passwords.clone(),
                spawned: TaskTracker::new(),
            }),
        }
    }

    /// The keys that a login would offer now.
    pub async fn keys(&self) -> Keys {
        login::keys(&self.inner).await
    }

    /// The password that the configuration has under a name, for [`Command::password`].
    ///
    /// # Errors
    /// `start_failed` where there is none of that name, or its file cannot be used.
    pub async fn become_password(&self, name: &str) -> Result<Password, Failure> {
        match self.inner.become_passwords.get(name).cloned() {
            Some(configured) => Password::read(name, configured).await,
            None => Err(password::refused(name, "is not configured on this server")),
        }
    }

    /// Every secret that the configuration names: passwords, passphrases, private keys. Blocks.
    pub fn secrets(&self) -> Vec<Secret> {
        let passwords = self.inner.become_passwords.values();
        let passwords = passwords.filter_map(|it| files::read_secret(&it.file).ok());
        passwords.chain(self.inner.identities.secrets()).collect()
    }

    /// A connection that is logged in: one that waits for its next use, or a new one.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn lease(&self, target: &Target) -> Result<Lease, Failure> {
        pool::lease(&self.inner, target).await
    }

    /// As [`Connector::lease`], and always a new one.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn fresh(&self, target: &Target) -> Result<Lease, Failure> {
        pool::fresh(&self.inner, target).await
    }

    /// Drops the connections to and through this place that wait for their next use.
    pub fn forget(&self, host: &str, port: u16) {
        self.inner.pool.forget(host, port);
    }

    /// Connects, checks the host key, logs in.
    ///
    /// # Errors
    /// With the outcome and the reason that the task gets.
    pub async fn connect(&self, target: &Target) -> Result<Session, Failure> {
        connect::connect(&self.inner, target).await
    }
}
