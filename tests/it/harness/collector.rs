//! A collector of OpenTelemetry's traces on loopback: OTLP over HTTP, with or without TLS.

use super::app::DEADLINE;
use super::certificates::Pair;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The collector; ends when it is dropped.
pub struct Collector {
    address: SocketAddr,
    scheme: &'static str,
    heard: Arc<Mutex<Heard>>,
    _work: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    connections: usize,
    bodies: Vec<Vec<u8>>,
}

/// What it does with what it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    Hangs,
}

/// A span that was sent, with what names it as hexadecimal.
#[derive(Debug, Clone)]
pub struct Sent {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: i32,
    pub is_error: bool,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// One that takes what comes.
    pub async fn start() -> Self {
        Self::serve(Manner::Takes, None).await
    }

    /// One that takes connections and never answers.
    pub async fn hanging() -> Self {
        Self::serve(Manner::Hangs, None).await
    }

    /// One that takes what comes over TLS.
    pub async fn secured(pair: &Pair) -> Self {
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::serve(Manner::Takes, Some(acceptor)).await
    }

    async fn serve(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let heard = Arc::<Mutex<Heard>>::default();
        let mut work = JoinSet::new();
        work.spawn(accept(listener, manner, tls, heard.clone()));
        Self {
            address,
            scheme,
            heard,
            _work: work,
        }
    }

    /// `[traces]` of a server that sends here.
    pub fn config(&self) -> String {
        let Self {
            scheme, address, ..
        } = self;
        format!("[traces]\nendpoint = \"{scheme}://{address}/v1/traces\"\n")
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.heard.lock().expect("no panic holds it").connections
    }

    /// All that was sent, as it was.
    pub fn bytes(&self) -> Vec<u8> {
        self.heard
            .lock()
            .expect("no panic holds it")
            .bodies
            .concat()
    }

    /// The spans that were sent.
    pub fn spans(&self) -> Vec<Sent> {
        let scopes = self.sent().into_iter().flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).map(sent).collect()
    }

    /// What each sender is called.
    pub fn services(&self) -> Vec<String> {
        let resources = self.sent().into_iter().filter_map(|it| it.resource);
        let names = resources.flat_map(|it| it.attributes);
        let names = names.filter(|it| it.key == "service.name");
        names
            .map(|it| text(it.value.and_then(|it| it.value)))
            .collect()
    }

    fn sent(&self) -> Vec<ResourceSpans> {
        let heard = self.heard.lock().expect("no panic holds it");
        let read = |body: &Vec<u8>| {
            let request = ExportTraceServiceRequest::decode(body.as_slice());
            request.expect("what OTLP says").resource_spans
        };
        heard.bodies.iter().flat_map(read).collect()
    }

    /// The spans, once they are what is waited for.
    pub async fn wait(&self, enough: impl Fn(&[Sent]) -> bool) -> Vec<Sent> {
        let begin = Instant::now();
        loop {
            let spans = self.spans();
            if enough(&spans) {
                return spans;
            }
            assert!(begin.elapsed() < DEADLINE, "too late: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn sent(span: Span) -> Sent {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let attributes = span.attributes.into_iter();
    Sent {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        is_error: span.status.is_some_and(|status| status.code == 2),
        attributes: attributes
            .map(|it| (it.key, text(it.value.and_then(|it| it.value))))
            .collect(),
    }
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(n)) => n.to_string(),
        other => format!("{other:?}"),
    }
}

async fn accept(
    listener: TcpListener,
    manner: Manner,
    tls: Option<TlsAcceptor>,
    heard: Arc<Mutex<Heard>>,
) {
    let mut open = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, heard) = (tls.clone(), heard.clone());
        heard.lock().expect("no panic holds it").connections += 1;
        open.spawn(async move {
            match (manner, tls) {
                (Manner::Hangs, _) => {
                    let _socket = socket;
                    std::future::pending().await
                }
                (Manner::Takes, None) => {
                    let _ = take(socket, &heard).await;
                }
                (Manner::Takes, Some(tls)) => {
                    if let Ok(stream) = tls.accept(socket).await {
                        let _ = take(stream, &heard).await;
                    }
                }
            }
        });
    }
}

/// Takes one request after the other.
async fn take(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    heard: &Mutex<Heard>,
) -> std::io::Result<()> {
    let mut stream = BufStream::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 2 {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        heard.lock().expect("no panic holds it").bodies.push(body);
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
}
