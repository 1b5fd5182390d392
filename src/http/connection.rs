//! One connection: hyper on it, and the watch that closes it when its peer stands still.

use super::body::Unread;
use super::listener::{Handshake, Protocol};
use super::stream::Watched;
use super::watch::{Tracked, Watch};
use crate::config;
use crate::domain::{ClientCertificate, ServerCertificate};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::header::HeaderName;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, Version};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The largest request head, in bytes; past it the answer is 431.
const HEAD_LIMIT: usize = 32 * 1024;
/// What hyper may buffer of one connection, in bytes.
const BUFFER_LIMIT: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 100;
/// Streams that a client reset before they were taken: more of them end the connection
/// (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that were reset for an error of the client's (RUSTSEC-2024-0003).
const ERROR_RESETS: usize = 200;
/// A peer that is gone without a word is found out by a ping.
const PING: Duration = Duration::from_secs(30);
/// How long a connection whose peer stands still may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// At a stop, how long a connection that has answered everything may take to say goodbye.
const SETTLED: Duration = Duration::from_millis(400);
/// How long a client gets to read the answer to a body that is not read to its end.
const READ_ANSWER: Duration = Duration::from_secs(2);

/// What all connections share.
pub(super) struct Connection<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) local: SocketAddr,
    pub(super) config: config::Http,
    pub(super) certificate: watch::Receiver<Arc<ServerCertificate>>,
    pub(super) tracker: TaskTracker,
    /// The service stops: no new request.
    pub(super) stop: CancellationToken,
    /// The time for that is over.
    pub(super) cut: CancellationToken,
}

/// Serves one connection to its end.
pub(super) async fn serve<S, E>(
    connection: &Connection<E>,
    stream: S,
    handshake: Handshake,
    peer: SocketAddr,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let watch = Arc::new(Watch::default());
    let protocol = handshake.protocol;
    let certificate = connection.certificate.borrow().clone();
    let stream = Watched::new(stream, watch.clone(), protocol, peer, certificate);
    let io = TokioIo::new(stream);
    let spawn = Spawn {
        tracker: connection.tracker.clone(),
        cut: connection.cut.clone(),
    };
    let requests = Arc::new(Requests {
        endpoint: connection.endpoint.clone(),
        local: connection.local,
        peer,
        proxies: connection.config.trusted_proxies.clone(),
        client: handshake.client,
        watch: watch.clone(),
        spawn: spawn.clone(),
    });
    let service = hyper::service::service_fn(move |request| {
        let requests = requests.clone();
        async move { Ok::<_, Infallible>(requests.answer(request).await) }
    });
    let head = Duration::from_secs(connection.config.head_timeout);
    let write = Duration::from_secs(connection.config.write_timeout);
    match protocol {
        Protocol::Http1 => {
            let mut served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head)
                .max_header_size(HEAD_LIMIT)
                .max_buf_size(BUFFER_LIMIT)
                .serve_connection(io, service);
            // hyper has the deadline for the next head.
            let still = watch.stands_still(head + write, write);
            let left = watch.stands_still(SETTLED, write);
            let goodbye = http1::Connection::graceful_shutdown;
            let error = drive(connection, &mut served, (still, left), goodbye).await;
            if error.is_some_and(|error| error.is_timeout()) {
                too_slow(served.into_parts()).await;
            }
        }
        Protocol::Http2 => {
            let mut served = http2::Builder::new(spawn)
                .timer(TokioTimer::new())
                .keep_alive_interval(PING)
                .keep_alive_timeout(head)
                .max_concurrent_streams(STREAMS)
                .max_pending_accept_reset_streams(PENDING_RESETS)
                .max_local_error_reset_streams(ERROR_RESETS)
                .max_header_list_size(HEAD_LIMIT as u32)
                .max_send_buf_size(BUFFER_LIMIT)
                .serve_connection(io, service);
            let still = watch.stands_still(head, write);
            let left = watch.stands_still(SETTLED, write);
            let goodbye = http2::Connection::graceful_shutdown;
            drive(connection, &mut served, (still, left), goodbye).await;
        }
    }
}

/// Runs hyper's connection until it ends, the service stops, or its peer stands still: `still` says
/// so before the stop, `left` after it. Gives why it failed, where it did.
async fn drive<E, C>(
    connection: &Connection<E>,
    served: &mut C,
    (still, left): (impl Future<Output = ()>, impl Future<Output = ()>),
    goodbye: fn(Pin<&mut C>),
) -> Option<hyper::Error>
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    tokio::select! {
        ended = &mut *served => return failure(ended),
        () = connection.stop.cancelled() => {
            goodbye(Pin::new(served));
            return tokio::select! {
                ended = &mut *served => failure(ended),
                () = connection.cut.cancelled() => None,
                () = left => None,
            };
        }
        () = still => {}
    }
    goodbye(Pin::new(served));
    match tokio::time::timeout(GOODBYE, served).await {
        Ok(ended) => failure(ended),
        Err(_) => None,
    }
}

fn failure(ended: hyper::Result<()>) -> Option<hyper::Error> {
    ended
        .inspect_err(|error| tracing::debug!(%error, "connection failed"))
        .err()
}

/// Refuses a client whose request head came too slowly, as hyper refuses others: [`Watched`] puts
/// the words to it. One that sent nothing had no request, and gets nothing.
async fn too_slow<S, V>(parts: http1::Parts<TokioIo<Watched<S>>, V>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = parts.io.into_inner();
    let farewell = async {
        if !parts.read_buf.is_empty() {
            let bare = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(bare).await?;
        }
        stream.shutdown().await
    };
    match tokio::time::timeout(GOODBYE, farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a refusal was not sent"),
        Err(_) => tracing::debug!("a refusal was not read"),
    }
}

/// What the requests of one connection need.
struct Requests<E> {
    endpoint: Arc<E>,
    local: SocketAddr,
    peer: SocketAddr,
    proxies: config::Proxies,
    client: Option<ClientCertificate>,
    watch: Arc<Watch>,
    spawn: Spawn,
}

impl<E: Endpoint<Output = Response>> Requests<E> {
    /// One request, from hyper to the endpoint and back.
    async fn answer(&self, request: hyper::Request<Incoming>) -> hyper::Response<Tracked> {
        let open = self.watch.open();
        let version = request.version();
        let from = self.from(&request);
        let mut request = poem::Request::from((
            request,
            LocalAddr(Addr::from(self.local)),
            RemoteAddr(Addr::from(from)),
            Scheme::HTTPS,
        ));
        if let Some(client) = &self.client {
            request.set_data(client.clone());
        }
        let mut response = self.endpoint.get_response(request).await;
        if let Some(unread) = response.extensions_mut().remove::<Unread>() {
            self.watch.leaves_unread();
            if version == Version::HTTP_2 {
                self.spawn.execute(async move {
                    tokio::time::sleep(READ_ANSWER).await;
                    drop(unread);
                });
            }
        }
        hyper::Response::from(response).map(|body| Tracked::new(body, open))
    }
}

impl<E> Requests<E> {
    /// Where a request comes from, for all that is behind this: whether a proxy may say it is
    /// decided here and nowhere else. The port is of no meaning then.
    fn from(&self, request: &hyper::Request<Incoming>) -> SocketAddr {
        let forwarded = request.headers().get_all(FORWARDED_FOR).iter();
        let forwarded = forwarded.map(HeaderValue::as_bytes);
        let address = self.proxies.client(self.peer.ip(), forwarded);
        SocketAddr::new(address, self.peer.port())
    }
}

/// Runs hyper's HTTP/2 streams where they are tracked and can be cut off.
#[derive(Clone)]
struct Spawn {
    tracker: TaskTracker,
    cut: CancellationToken,
}

impl<F> Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            cut.run_until_cancelled(future).await;
        });
    }
}
