use super::{Error, files, self_signed};
use crate::config;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

/// The certificate that the service shows, with its key.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    path: PathBuf,
    made: bool,
    fingerprint: String,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    warning: Option<String>,
}

/// Loads the certificate and its key; makes a self-signed one where neither file is there.
///
/// # Errors
/// Where one of the two is missing, others can read the key, they do not fit each other, or they
/// cannot be read or written. An expired certificate is a warning in the log.
pub fn ensure(config: &config::Tls) -> Result<Certificate, Error> {
    let (cert, key) = (config.cert.as_path(), config.key.as_path());
    files::finish(cert, key)?;
    let certificate = match find(config)? {
        Some(found) => found,
        None => {
            let new = self_signed::make()?;
            files::write_pair((cert, &new.cert), (key, &new.key))?;
            load(cert, key, true)?
        }
    };
    if let Some(warning) = certificate.warning() {
        tracing::warn!(certificate = %cert.display(), "{warning}");
    }
    Ok(certificate)
}

/// Loads the certificate and its key, and makes nothing. None where neither file is there.
///
/// # Errors
/// As [`ensure`].
pub fn find(config: &config::Tls) -> Result<Option<Certificate>, Error> {
    let (cert, key) = (config.cert.as_path(), config.key.as_path());
    let half = |present: &Path, missing: &Path| Error::Half {
        present: present.to_owned(),
        missing: missing.to_owned(),
    };
    match (cert.exists(), key.exists()) {
        (true, true) => load(cert, key, false).map(Some),
        (true, false) => Err(half(cert, key)),
        (false, true) => Err(half(key, cert)),
        (false, false) => Ok(None),
    }
}

fn load(cert: &Path, key: &Path, made: bool) -> Result<Certificate, Error> {
    let no_certificate = || Error::NoCertificate {
        path: cert.to_owned(),
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&files::read_cert(cert)?)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
    let leaf = chain.first().ok_or_else(no_certificate)?.clone();
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| no_certificate())?;
    let certified = certify(chain, cert, key)?;
    let (names, addresses) = subjects(&parsed);
    Ok(Certificate {
        certified: Arc::new(certified),
        path: cert.to_owned(),
        made,
        fingerprint: fingerprint(&leaf),
        names,
        addresses,
        warning: warning(&parsed),
    })
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    cert: &Path,
    key: &Path,
) -> Result<CertifiedKey, Error> {
    let no_key = || Error::NoKey {
        path: key.to_owned(),
    };
    let der = PrivateKeyDer::from_pem_slice(&files::read_key(key)?).map_err(|_| no_key())?;
    match CertifiedKey::from_der(chain, der, &provider()) {
        Ok(certified) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Error::Mismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        }),
        Err(rustls::Error::General(_)) => Err(no_key()),
        Err(other) => Err(Error::library(other)),
    }
}

/// The cryptography under rustls; named here, so that no process-wide default decides.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn fingerprint(leaf: &[u8]) -> String {
    let digest = Sha256::digest(leaf);
    let bytes: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
    bytes.join(":")
}

/// The DNS names and the addresses that the certificate is for.
fn subjects(leaf: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return (names, addresses);
    };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    (names, addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn warning(leaf: &X509Certificate<'_>) -> Option<String> {
    let (validity, now) = (leaf.validity(), ASN1Time::now());
    if validity.not_after < now {
        return Some(format!(
            "the certificate expired on {}: clients refuse it; replace it, or remove it and its \
             key if it was made by this program, and a new one is made",
            validity.not_after
        ));
    }
    (validity.not_before > now).then(|| {
        format!(
            "the certificate is not valid before {}",
            validity.not_before
        )
    })
}

impl Certificate {
    /// The file that it is in; what `curl --cacert` wants where it is self-signed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether [`ensure`] has just made it.
    pub fn was_made(&self) -> bool {
        self.made
    }

    /// SHA-256 of the leaf: 32 bytes in upper-case hexadecimal with colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The DNS names that the leaf is for; one may begin with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The addresses that the leaf is for.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// What a person should know of it: that it has expired, or is not valid yet.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Always(self.certified.clone()))
    }
}

/// Shows the same certificate whatever name the client asks for.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
