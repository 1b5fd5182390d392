//! HTTP/1.1 over TLS byte by byte, for what no proper client would send.

use crate::harness::app::App;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What no answer may take longer than.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A connection after its handshake, with HTTP/1.1.
pub async fn connect(app: &App) -> TlsStream<TcpStream> {
    connect_with(app, &[&rustls::version::TLS13], b"http/1.1").await
}

/// The same with other versions or another protocol.
pub async fn connect_with(
    app: &App,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[u8],
) -> TlsStream<TcpStream> {
    let pem = std::fs::read(app.certificate()).expect("the certificate was made");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).expect("PEM"))
        .expect("a certificate that can be trusted");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(app.address()).await.expect("a place");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .expect("a handshake")
}

/// Sends bytes on a connection of their own and reads until the server closes it.
pub async fn exchange(app: &App, bytes: &[u8]) -> Answer {
    let mut stream = connect(app).await;
    // A server that has refused already may close while we still send.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

/// Reads one answer until the server closes the connection, or has sent what it announced.
pub async fn read(stream: &mut TlsStream<TcpStream>) -> Answer {
    let mut bytes = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while Answer::parse(&bytes).is_none() {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("an answer in time");
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no answer: {}", text(&bytes)))
}

/// Reads until the server closes the connection.
pub async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close too.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("a close in time");
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A whole answer with a known length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let all = text(bytes);
        let (head, body) = all.split_once("\r\n\r\n")?;
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.split("content-length: ").nth(1)?;
        let length: usize = length.lines().next()?.parse().ok()?;
        (body.len() >= length).then(|| Self {
            status,
            body: body.to_owned(),
            head,
        })
    }

    /// Checks that this is a problem document of this status with all that an error has.
    pub fn is_problem(&self, status: u16, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        for header in [
            "content-type: application/problem+json",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "x-request-id: ",
        ] {
            assert!(self.head.contains(header), "{what}: {header}: {self:?}");
        }
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], status, "{what}");
        for member in ["type", "title", "detail", "error", "request_id"] {
            assert!(problem[member].is_string(), "{what}: {member}: {problem}");
        }
    }
}
