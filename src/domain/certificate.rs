use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the certificate that the server shows says of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The DNS names that it is for, in lower case; `*.example` stands for one label.
    pub names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// Whether nobody but this program vouches for it: it signed itself, or `wsexec certs init`
    /// made its issuer.
    pub self_issued: bool,
}

/// A client's certificate that the handshake of a connection has verified.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The user that it names; none where it names nobody, or more than one.
    pub user: Option<String>,
    /// Until when it counts, in Unix seconds.
    pub until: i64,
    /// Raised when it was verified against what holds no more.
    pub withdrawn: Flag,
    /// Raised once the login of its connection is on record.
    pub recorded: Flag,
}

impl ClientCertificate {
    /// Whether it still counts: a connection may outlive it.
    pub fn counts(&self, now: i64) -> bool {
        now <= self.until && !self.withdrawn.is_up()
    }
}

/// Goes up once, for all who have a clone of it.
#[derive(Debug, Clone, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// Puts it up.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has put it up.
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
