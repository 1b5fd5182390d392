//! From a name to a connection that is logged in.
//!
//! thrussh spawns work that lives as long as its socket and cannot be stopped otherwise, and some
//! of its futures must not be dropped halfway. So a login runs on spawned work of its own, and
//! everything that ends one early, a deadline or a caller that goes, shuts the socket down.

use super::handler::Shared;
use super::host_keys::Rules;
use super::login::Login;
use super::session::Session;
use super::{Failure, Inner, Target, reasons};
use crate::domain::Outcome;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the other side may leave what we sent unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects, judges the host key, logs in.
pub(super) async fn connect(inner: &Arc<Inner>, target: &Target) -> Result<Session, Failure> {
    let known = inner.known_hosts.lookup(&target.host, target.port).await;
    let known = known.map_err(|error| {
        let reason = format!("known_hosts cannot be read, so no host key can be trusted: {error}.");
        Failure::new(Outcome::HostKeyRefused, reason)
    })?;
    let stream = reach(inner, target).await?;
    let socket = Socket::prepare(&stream).map_err(|error| reasons::network(target, &error))?;
    let shared = Shared::new();
    let login = Login {
        rules: Rules::new(target, known, inner.host_keys),
        target: target.clone(),
        shared: shared.clone(),
        inner: inner.clone(),
    };
    let limit = inner.timeouts.login;
    let login = inner.spawned.spawn(login.run(stream));
    let (handle, host_key) = match timeout(limit, login).await {
        Ok(Ok(result)) => result?,
        Ok(Err(_)) => return Err(reasons::not_ssh(target)),
        Err(_) => return Err(reasons::login_timed_out(target, limit, &shared)),
    };
    Ok(Session {
        handle,
        host_key,
        shared,
        start_timeout: inner.timeouts.start,
        spawned: inner.spawned.clone(),
        scripts: Vec::new(),
        _socket: socket,
    })
}

/// The first address of the name that takes a connection.
async fn reach(inner: &Inner, target: &Target) -> Result<TcpStream, Failure> {
    let limit = inner.timeouts.connect;
    let deadline = Instant::now() + limit;
    let lookup = inner.names.lookup(&target.host, target.port);
    let addresses = match timeout_at(deadline, lookup).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(reasons::no_such_name(target, &error)),
        Err(_) => return Err(reasons::lookup_timed_out(target, limit)),
    };
    let mut failure = reasons::no_such_name(target, &io::ErrorKind::NotFound.into());
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - tried) as u32;
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => reasons::network(target, &error),
            Err(_) => reasons::connect_timed_out(target, limit),
        };
    }
    Err(failure)
}

/// A duplicate of a connection's socket, which shuts the connection down when it is dropped.
pub(super) struct Socket(socket2::Socket);

impl Socket {
    fn prepare(stream: &TcpStream) -> io::Result<Self> {
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs(30))
                .with_interval(Duration::from_secs(10))
                .with_retries(3),
        )?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.try_clone().map(Self)
    }

    /// Both ends as a server writes them into `SSH_CONNECTION` (ssh(1)), where nothing between
    /// translates addresses.
    pub fn ends(&self) -> Option<String> {
        let end = |address: io::Result<socket2::SockAddr>| address.ok()?.as_socket();
        let (ours, theirs) = (end(self.0.local_addr())?, end(self.0.peer_addr())?);
        Some(format!(
            "{} {} {} {}",
            ours.ip(),
            ours.port(),
            theirs.ip(),
            theirs.port()
        ))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Fails where the other side was faster, which is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
