//! Clients that are slow on purpose: each takes a connection and gives it back only when the server
//! takes it away.

use base64::Engine as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Between two bytes.
const DRIBBLE: Duration = Duration::from_millis(500);
/// Between one of each kind and the next: of a thousand at once the kernel forgets some that wait to be
/// accepted, and those that say nothing never learn of it.
const APART: Duration = Duration::from_millis(5);
/// What a slow reader takes in before it has read.
const WINDOW: u32 = 4096;

/// What such a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Says nothing after it has connected.
    Silent,
    /// Sends the head of its request a byte at a time.
    Head,
    /// Sends the body of its request a byte at a time.
    Body,
    /// Asks for much and reads nothing.
    Reader,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Silent, Self::Head, Self::Body, Self::Reader];
}

/// What they need to know of a server; cheap to clone.
#[derive(Clone)]
pub struct Slow {
    address: SocketAddr,
    tls: TlsConnector,
    /// The value of the header.
    authorization: String,
    /// What a slow reader asks for.
    path: String,
}

impl Slow {
    /// Of a server that shows this certificate, with a login, and a path that leads to a long
    /// answer.
    pub fn new(
        address: SocketAddr,
        certificate: &Path,
        (name, password): (&str, &str),
        path: &str,
    ) -> Self {
        let pem = std::fs::read(certificate).expect("the certificate was made");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).expect("PEM"))
            .expect("a certificate that can be trusted");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a known version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
            authorization: format!("Basic {login}"),
            path: path.to_owned(),
        }
    }

    /// So many of each kind. Those that can see that the server has closed end then, a slow reader
    /// never does.
    pub fn crowd(&self, of_each: usize) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for number in 0..of_each {
            let turn = APART * u32::try_from(number).expect("some hundreds");
            for kind in Kind::ALL {
                let slow = self.clone();
                crowd.spawn(async move {
                    tokio::time::sleep(turn).await;
                    slow.hold(kind).await;
                });
            }
        }
        crowd
    }

    /// So many slow readers alone.
    #[allow(dead_code, reason = "for the tests")]
    pub fn readers(&self, count: usize) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        for _ in 0..count {
            readers.spawn(self.clone().hold(Kind::Reader));
        }
        readers
    }

    async fn hold(self, kind: Kind) {
        let Some(socket) = self.socket(kind).await else {
            return;
        };
        if kind == Kind::Silent {
            return until_closed(socket).await;
        }
        let Ok(mut stream) = self.secure(socket).await else {
            return;
        };
        let Self {
            authorization: login,
            path,
            ..
        } = &self;
        let begin = match kind {
            Kind::Head => "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned(),
            Kind::Body => format!(
                "POST /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\
                 Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n{{"
            ),
            Kind::Silent | Kind::Reader => {
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {login}\r\n\r\n")
            }
        };
        if stream.write_all(begin.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if kind == Kind::Reader {
            return pending().await;
        }
        let (reading, writing) = split(stream);
        tokio::select! {
            () = until_closed(reading) => {}
            () = dribble(writing) => {}
        }
    }

    async fn socket(&self, kind: Kind) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        if kind == Kind::Reader {
            socket.set_recv_buffer_size(WINDOW).ok()?;
        }
        socket.connect(self.address).await.ok()
    }

    async fn secure(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        self.tls.connect(name, socket).await
    }
}

/// A reset is a close too.
async fn until_closed(mut stream: impl AsyncRead + Unpin) {
    let mut chunk = [0; 1024];
    while stream.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
}

/// Sends a byte now and then until nobody takes it any more.
async fn dribble(mut stream: impl AsyncWrite + Unpin) {
    while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(DRIBBLE).await;
    }
}

/// The time that 99 of 100 are within.
pub fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

/// As many files and sockets as the hard limit has: each connection takes one here.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
}
