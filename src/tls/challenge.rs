//! Answers to `tls-alpn-01` (RFC 8737): a handshake for a name shows a certificate that proves that
//! the order came from here.

use super::Error;
use super::certificate::{self, Always};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

/// The protocol that such a handshake asks for, and no other (RFC 8737 section 3).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers to the challenges of the order that runs, by name; as many as it has names.
#[derive(Default)]
pub(super) struct Challenges(Mutex<HashMap<String, Arc<ServerConfig>>>);

impl Challenges {
    /// Makes the answer for a name: a certificate with the digest of the key authorisation, 32
    /// bytes.
    pub(super) fn put(&self, name: &str, digest: &[u8]) -> Result<(), Error> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(Error::library)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::library)?;
        let cert = params.self_signed(&key).map_err(Error::library)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = certificate::provider();
        let key = provider.key_provider.load_private_key(key);
        // Not held against the certificate: its critical extension is none that rustls knows.
        let certified = CertifiedKey::new(vec![cert.der().clone()], key.map_err(Error::library)?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Error::library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        self.lock().insert(name.to_owned(), Arc::new(config));
        Ok(())
    }

    /// Forgets all: the order has ended.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// What to show where a client looks for an answer that is there.
    pub(super) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let asked = hello.alpn()?.eq([PROTOCOL]);
        let name = hello.server_name().filter(|_| asked)?;
        self.lock().get(&name.to_ascii_lowercase()).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<ServerConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the answer. Nothing is said over that connection.
pub(super) async fn show(
    started: StartHandshake<TcpStream>,
    answer: Arc<ServerConfig>,
) -> io::Result<()> {
    let mut stream = started.into_stream(answer).await?;
    stream.shutdown().await
}
