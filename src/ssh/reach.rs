//! From a name to a connection whose server has identified itself: over TCP, or from another
//! machine on.

use super::library::NotOpened;
use super::session::Session;
use super::stream::{NoGreeting, Raw, greet};
use super::{Failure, Inner, Target, reasons};
use crate::domain;
use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long the other side may leave what we sent unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// For a server that says that too many logins are under way, at most: the caller has a deadline
/// of its own.
pub const BUSY: Duration = Duration::from_secs(300);
/// Between attempts, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A connection whose server has said who it is.
pub(super) struct Reached {
    pub stream: Raw,
    pub greeting: Bytes,
    pub socket: Option<Socket>,
    /// When the login has to be over.
    pub deadline: Instant,
}

/// Reaches a server, from the machine that is logged in to, if any. One that has too many logins
/// under way, or closes the connection without a word as it does under load, is tried again.
pub(super) async fn reach(
    inner: &Inner,
    target: &Target,
    from: Option<&Session>,
) -> Result<Reached, Failure> {
    let limit = inner.timeouts.login;
    let begun = Instant::now();
    let mut delay = BACK_OFF.0;
    loop {
        let (mut stream, socket) = match from {
            None => direct(inner, target).await?,
            Some(session) => (through(inner, target, session).await?, None),
        };
        let deadline = Instant::now() + limit;
        let (refused, patience) = match timeout_at(deadline, greet(&mut stream)).await {
            Ok(Ok(greeting)) => {
                return Ok(Reached {
                    stream,
                    greeting,
                    socket,
                    deadline,
                });
            }
            Ok(Err(NoGreeting::Busy)) => (reasons::busy(target, BUSY), BUSY),
            Ok(Err(NoGreeting::Closed)) => (reasons::closed(target), limit),
            Ok(Err(NoGreeting::Foreign)) => (reasons::closed(target), Duration::ZERO),
            Err(_) => return Err(reasons::login_timed_out(target, limit, false)),
        };
        drop((stream, socket));
        let wait = domain::jittered(delay);
        if begun.elapsed() + wait >= patience {
            return Err(refused);
        }
        sleep(wait).await;
        delay = BACK_OFF.1.min(delay * 2);
    }
}

/// The first address of the name that takes a connection.
async fn direct(inner: &Inner, target: &Target) -> Result<(Raw, Option<Socket>), Failure> {
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
            Ok(Ok(stream)) => {
                let socket = Socket::prepare(&stream);
                let socket = socket.map_err(|error| reasons::network(target, &error))?;
                return Ok((Box::new(stream), Some(socket)));
            }
            Ok(Err(error)) => reasons::network(target, &error),
            Err(_) => reasons::connect_timed_out(target, limit),
        };
    }
    Err(failure)
}

/// Over a channel of a connection to another machine, which looks the name up.
async fn through(inner: &Inner, target: &Target, session: &Session) -> Result<Raw, Failure> {
    let limit = inner.timeouts.connect;
    let opened = session.open_direct(&target.host, target.port);
    match timeout(limit, opened).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(NotOpened::Refused(words))) => Err(reasons::jump_refused(target, &words)),
        Ok(Err(NotOpened::Lost)) => Err(reasons::jump_lost(target)),
        Err(_) => Err(reasons::connect_timed_out(target, limit)),
    }
}

/// A duplicate of a connection's socket, which shuts the connection down when it is dropped.
pub(super) struct Socket {
    socket: socket2::Socket,
    /// Known from the start: of a connection that was reset nobody learns it any more (ENOTCONN).
    ends: String,
}

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
        let (ours, theirs) = (stream.local_addr()?, stream.peer_addr()?);
        let end = |at: SocketAddr| format!("{} {}", at.ip(), at.port());
        Ok(Self {
            socket: socket.try_clone()?,
            ends: format!("{} {}", end(ours), end(theirs)),
        })
    }

    /// Both ends as a server writes them into `SSH_CONNECTION` (ssh(1)), where nothing between
    /// translates addresses.
    pub fn ends(&self) -> &str {
        &self.ends
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Fails where the other side was faster, which is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
