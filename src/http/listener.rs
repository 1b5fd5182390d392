//! The accept loop: as many connections as configured, each with a deadline on its handshake.

use super::connection::{Connection, serve};
use super::plain::{self, Opening};
use crate::config;
use crate::domain::{ClientCertificate, ServerCertificate};
use poem::{Endpoint, Response};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the client and the server agreed on in the handshake (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http/1.1`, also where the client offered nothing.
    Http1,
    /// `h2`
    Http2,
}

/// What a TLS handshake led to.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// What is spoken from now on.
    pub protocol: Protocol,
    /// The certificate that the client has shown.
    pub client: Option<ClientCertificate>,
}

/// The service on its port.
pub struct Server<A, E> {
    /// Where connections come from.
    pub listener: TcpListener,
    /// Does the TLS handshake; its deadline is set here. None where nothing is to be served over
    /// that connection.
    pub accept_tls: A,
    /// What answers: an endpoint from [`super::stack`].
    pub endpoint: E,
    /// `[http]`
    pub config: config::Http,
    /// What the certificate that is shown says, whichever it is.
    pub certificate: watch::Receiver<Arc<ServerCertificate>>,
    /// Cancelled when the service stops.
    pub stop: CancellationToken,
    /// How long requests may go on after that.
    pub grace: Duration,
}

/// How long the loop waits after a failed accept, at first and at most: what fails is mostly that
/// no file descriptor is left, and only time helps.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl<A, F, S, E> Server<A, E>
where
    A: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<Option<(S, Handshake)>>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    /// Serves until `stop`; then takes no new connection, lets running requests end for up to
    /// `grace`, and drops what is left. Returns when nothing of it runs any more.
    ///
    /// # Errors
    /// Where the listener has no local address.
    pub async fn serve(self) -> io::Result<()> {
        let local = self.listener.local_addr()?;
        let places = Arc::new(Semaphore::new(self.config.max_connections));
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        let shared = Arc::new(Shared {
            accept_tls: self.accept_tls,
            connection: Connection {
                endpoint: Arc::new(self.endpoint),
                local,
                config: self.config,
                certificate: self.certificate,
                tracker: tracker.clone(),
                stop: self.stop.clone(),
                cut: cut.clone(),
            },
        });

        let accepting = async {
            while let Ok(place) = places.clone().acquire_owned().await {
                let (socket, peer) = accept(&self.listener).await;
                tracker.spawn(shared.clone().handle(socket, peer, place));
            }
        };
        self.stop.run_until_cancelled(accepting).await;
        drop(self.listener);

        tracker.close();
        if tokio::time::timeout(self.grace, tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("connections did not end in time and are dropped");
            cut.cancel();
            tracker.wait().await;
        }
        Ok(())
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Errors that say something of a connection that is gone already, and nothing of the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A connection that is ready to be served, where it is to be.
type Opened<S> = Option<(S, Handshake)>;

/// What every connection needs.
struct Shared<A, E> {
    accept_tls: A,
    connection: Connection<E>,
}

impl<A, F, S, E> Shared<A, E>
where
    A: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<Option<(S, Handshake)>>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    /// One connection from its first byte to its last; `place` is free again afterwards.
    async fn handle(
        self: Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
    ) {
        let deadline = Duration::from_secs(self.connection.config.handshake_timeout);
        let stop = self.connection.stop.clone();
        let opening = tokio::time::timeout(deadline, self.open(socket, peer));
        // Nothing was asked yet, so a stop has nothing to wait for.
        match stop.run_until_cancelled(opening).await {
            Some(Ok(Ok(Some((stream, handshake))))) => {
                serve(&self.connection, stream, handshake, peer).await;
            }
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "handshake took too long"),
            Some(Ok(Ok(None))) | None => {}
        }
        drop(place);
    }

    async fn open(&self, socket: TcpStream, peer: SocketAddr) -> io::Result<Opened<S>> {
        // Answers are small, and a page waits for them.
        socket.set_nodelay(true)?;
        match plain::opening(&socket).await? {
            Opening::Tls => (self.accept_tls)(socket).await,
            Opening::Http => plain::refuse(socket, peer).await.map(|()| None),
            Opening::Else => Ok(None),
        }
    }
}
