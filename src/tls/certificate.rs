use super::{Error, authority, files, self_signed};
use crate::config;
use crate::domain::ServerCertificate;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// The certificate that the service shows, with its key.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    path: PathBuf,
    made: bool,
    fingerprint: String,
    says: ServerCertificate,
    issuer: Vec<u8>,
    issued_by: String,
    validity: Range<i64>,
}

/// Loads the certificate and its key; makes a self-signed one where neither file is there, and a
/// new one where the private authority beside it has made it and its time is running out.
///
/// # Errors
/// Where one of the two is missing, others can read the key, they do not fit each other, or they
/// cannot be read or written. An expired certificate is a warning in the log.
pub fn ensure(config: &config::Tls) -> Result<Certificate, Error> {
    let (cert, key) = (config.cert.as_path(), config.key.as_path());
    files::finish(cert, key)?;
    let certificate = match find(config)? {
        Some(found) => renewed(config, found)?,
        None => {
            let new = self_signed::make()?;
            files::write_pair((cert, &new.cert), (key, &new.key))?;
            let made = load(cert, key)?;
            Certificate { made: true, ..made }
        }
    };
    if let Some(warning) = certificate.warning() {
        tracing::warn!(certificate = %cert.display(), "{warning}");
    }
    Ok(certificate)
}

/// A certificate that cannot be renewed still serves until its end.
fn renewed(config: &config::Tls, found: Certificate) -> Result<Certificate, Error> {
    if !found.is_due(now()) {
        return Ok(found);
    }
    match authority::renew(config, &found) {
        Ok(true) => load(&config.cert, &config.key),
        Ok(false) => Ok(found),
        Err(error) => {
            tracing::warn!(%error, "the certificate is not renewed");
            Ok(found)
        }
    }
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
        (true, true) => load(cert, key).map(Some),
        (true, false) => Err(half(cert, key)),
        (false, true) => Err(half(key, cert)),
        (false, false) => Ok(None),
    }
}

pub(super) fn load(cert: &Path, key: &Path) -> Result<Certificate, Error> {
    let no_certificate = || Error::NoCertificate {
        path: cert.to_owned(),
    };
    let chain = files::read_certs(cert)?;
    let leaf = chain.first().ok_or_else(no_certificate)?.clone();
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| no_certificate())?;
    let certified = certify(chain, cert, key)?;
    let validity = parsed.validity();
    Ok(Certificate {
        certified: Arc::new(certified),
        path: cert.to_owned(),
        made: false,
        fingerprint: fingerprint(&leaf),
        says: says(&parsed),
        issuer: parsed.issuer().as_raw().to_owned(),
        issued_by: in_words(&parsed),
        validity: validity.not_before.timestamp()..validity.not_after.timestamp(),
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

/// Whether a chain and a key in PEM can be served, before they replace what is: gives the names
/// that the leaf is for.
pub(super) fn check_pair(cert: &[u8], key: &[u8]) -> Result<Vec<String>, Error> {
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(Error::library)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(Error::library)?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(Error::library)?;
    let leaf = certified.end_entity_cert().map_err(Error::library)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(Error::library)?;
    Ok(says(&parsed).names)
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

/// The DNS names and the addresses that the certificate is for, and who vouches for them.
fn says(leaf: &X509Certificate<'_>) -> ServerCertificate {
    let mut says = ServerCertificate {
        self_issued: is_self_signed(leaf) || authority::is_ours(leaf.issuer()),
        ..ServerCertificate::default()
    };
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return says;
    };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => says.names.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => says.addresses.extend(address(bytes)),
            _ => {}
        }
    }
    says
}

fn is_self_signed(leaf: &X509Certificate<'_>) -> bool {
    leaf.issuer().as_raw() == leaf.subject().as_raw()
}

/// Who issued it, for a person.
fn in_words(leaf: &X509Certificate<'_>) -> String {
    if is_self_signed(leaf) {
        return "itself".into();
    }
    common_name(leaf.issuer()).unwrap_or_else(|| leaf.issuer().to_string())
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let name = name.iter_common_name().next()?.as_str().ok()?;
    // Whoever makes a certificate chooses what is in it; it goes to terminals and logs.
    Some(name.chars().filter(|c| !c.is_control()).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
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

    /// What it says of the server.
    pub fn says(&self) -> &ServerCertificate {
        &self.says
    }

    /// Who issued it, and until when it is good: a part of a sentence.
    pub fn origin(&self) -> String {
        let until = day(self.validity.end);
        format!("issued by {}, good until {until}", self.issued_by)
    }

    /// Until when it is good, in Unix seconds.
    pub fn until(&self) -> i64 {
        self.validity.end
    }

    /// What a person should know of it: that it has expired, or is not valid yet.
    pub fn warning(&self) -> Option<String> {
        let Range { start, end } = self.validity;
        if end < now() {
            return Some(format!(
                "the certificate expired on {}: clients refuse it; replace it, or remove it and \
                 its key if it was made by this program, and a new one is made",
                day(end)
            ));
        }
        (start > now()).then(|| format!("the certificate is not valid before {}", day(start)))
    }

    /// Whether less than a third of its life is left.
    pub(super) fn is_due(&self, now: i64) -> bool {
        self.validity.end - now < (self.validity.end - self.validity.start) / 3
    }

    /// Below 0 where it has expired.
    pub(super) fn seconds_left(&self, now: i64) -> i64 {
        self.validity.end - now
    }

    /// The name of its issuer (DER).
    pub(super) fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Always(self.certified.clone()))
    }
}

/// The day of a moment in Unix seconds, as YYYY-MM-DD.
pub(super) fn day(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| "an unknown day".into(), |at| at.date().to_string())
}

/// Shows the same certificate whatever name the client asks for.
#[derive(Debug)]
pub(super) struct Always(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
