//! TLS 1.3 and 1.2 by rustls: the certificate, and the handshake. Its suites are all ECDHE with an
//! AEAD; ALPN offers `h2` and `http/1.1`.

mod certificate;
mod error;
mod files;
mod self_signed;

pub use certificate::{Certificate, ensure, find};
pub use error::Error;

use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The protocol that client and server agreed on (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`
    H2,
    /// `http/1.1`, also where the client offered nothing.
    Http1,
}

/// Does handshakes with one certificate; cheap to clone.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Uses a certificate that [`ensure`] gave.
    ///
    /// # Errors
    /// Where the TLS library does not take the certificate or its key.
    pub fn new(certificate: &Certificate) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(certificate::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Error::library)?
            .with_no_client_auth()
            .with_cert_resolver(certificate.resolver());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Does one handshake; the caller sets the deadline.
    ///
    /// # Errors
    /// Where the client speaks no TLS, an old one, or breaks off.
    pub async fn accept(
        &self,
        socket: TcpStream,
    ) -> io::Result<(impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Alpn)> {
        let stream = self.0.accept(socket).await?;
        let alpn = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Alpn::H2,
            _ => Alpn::Http1,
        };
        Ok((stream, alpn))
    }
}
