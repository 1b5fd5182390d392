//! The handshake, by what is current: a newer certificate counts from the next handshake on, and
//! what is connected already stays connected.

use super::challenge::{self, Challenges};
use super::clients::Clients;
use super::{Certificate, Error, certificate};
use crate::config;
use crate::domain::{ClientCertificate, ServerCertificate};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;

/// The protocol that client and server agreed on (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`
    H2,
    /// `http/1.1`, also where the client offered nothing.
    Http1,
}

/// What a handshake led to.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The protocol.
    pub alpn: Alpn,
    /// The certificate that the client has shown.
    pub client: Option<ClientCertificate>,
}

/// Does handshakes; cheap to clone, and all clones show the same.
#[derive(Clone)]
pub struct Acceptor(Arc<Shared>);

struct Shared {
    current: watch::Sender<Arc<Current>>,
    says: watch::Sender<Arc<ServerCertificate>>,
    challenges: Challenges,
}

/// What handshakes are done with.
pub(super) struct Current {
    pub(super) certificate: Arc<Certificate>,
    pub(super) clients: Option<Clients>,
    server: Arc<ServerConfig>,
}

impl Current {
    /// Puts a certificate to what else is configured. Blocks.
    ///
    /// # Errors
    /// Where a file that is configured cannot be used, or the TLS library does not take it.
    pub(super) fn new(
        config: &config::Tls,
        certificate: Certificate,
        old: Option<&Clients>,
    ) -> Result<Self, Error> {
        let clients = Clients::load(config, old)?;
        let versions: &[_] = match config.min_version {
            config::TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            config::TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let verifier = match &clients {
            Some(clients) => clients.verifier(),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut server = ServerConfig::builder_with_provider(certificate::provider())
            .with_protocol_versions(versions)
            .map_err(Error::library)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate.resolver());
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            certificate: Arc::new(certificate),
            clients,
            server: Arc::new(server),
        })
    }

    /// Whether both show the same and ask for the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.certificate.fingerprint() == other.certificate.fingerprint()
            && self.clients.as_ref().map(Clients::digest)
                == other.clients.as_ref().map(Clients::digest)
    }
}

impl Acceptor {
    /// Uses a certificate that [`super::ensure`] gave. Blocks.
    ///
    /// # Errors
    /// Where a file that is configured cannot be used, or the TLS library does not take it.
    pub fn new(config: &config::Tls, certificate: Certificate) -> Result<Self, Error> {
        let says = Arc::new(certificate.says().clone());
        let current = Current::new(config, certificate, None)?;
        Ok(Self(Arc::new(Shared {
            current: watch::Sender::new(Arc::new(current)),
            says: watch::Sender::new(says),
            challenges: Challenges::default(),
        })))
    }

    /// The certificate that is shown now.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.current().certificate.clone()
    }

    /// What the certificate says, now and whenever it is another one.
    pub fn says(&self) -> watch::Receiver<Arc<ServerCertificate>> {
        self.0.says.subscribe()
    }

    /// Does one handshake; the caller sets the deadline. None where it was an ACME server that
    /// looked for the answer to its challenge: that is all it wants.
    ///
    /// # Errors
    /// Where the client speaks no TLS, an old one, breaks off, or has no certificate that counts.
    pub async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<
        Option<(
            impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
            Handshake,
        )>,
    > {
        let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        if let Some(answer) = self.0.challenges.answer(&started.client_hello()) {
            challenge::show(started, answer).await?;
            return Ok(None);
        }
        let current = self.current();
        let stream = started.into_stream(current.server.clone()).await?;
        let session = stream.get_ref().1;
        let alpn = match session.alpn_protocol() {
            Some(b"h2") => Alpn::H2,
            _ => Alpn::Http1,
        };
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let client = shown
            .zip(current.clients.as_ref())
            .and_then(|(leaf, clients)| clients.read(leaf));
        Ok(Some((stream, Handshake { alpn, client })))
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.0.current.borrow().clone()
    }

    /// Hears of each new certificate.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Current>> {
        self.0.current.subscribe()
    }

    /// From the next handshake on.
    pub(super) fn exchange(&self, new: Current) {
        let old = self.current();
        let says = Arc::new(new.certificate.says().clone());
        let clients = new.clients.clone();
        self.0.current.send_replace(Arc::new(new));
        self.0.says.send_replace(says);
        if let Some(old) = &old.clients {
            old.give_way(clients.as_ref());
        }
    }

    pub(super) fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }
}
