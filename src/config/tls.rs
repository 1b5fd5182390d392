use serde::Deserialize;
use std::path::PathBuf;

/// The certificate, and who may show one of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// The certificates of those who issue client certificates, PEM; nobody is asked for one where
    /// unset.
    pub client_ca: Option<PathBuf>,
    /// Whether a connection needs a client certificate.
    pub client_certificates: Option<ClientCertificates>,
    /// What those issuers have revoked: their lists, PEM.
    pub client_crl: Option<PathBuf>,
    /// `[tls.acme]`: the certificate comes from an ACME server (RFC 8555).
    pub acme: Option<Acme>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: "certs/wsexec.crt".into(),
            key: "certs/wsexec.key".into(),
            min_version: TlsVersion::V1_2,
            client_ca: None,
            client_certificates: None,
            client_crl: None,
            acme: None,
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whether a connection needs a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Whoever has one may log in by it.
    Optional,
    /// Nobody gets in without one, whatever else they show.
    Required,
}

/// How a certificate is ordered by ACME. The challenge is `tls-alpn-01` (RFC 8737): it is answered
/// on the listener's own port, which the ACME server has to reach as port 443 of each domain.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// Where the server's directory is.
    pub directory: String,
    /// Whom the server may tell of problems, such as `mailto:ops@example.org`.
    pub contact: Vec<String>,
    /// The names that the certificate is to be for.
    pub domains: Vec<String>,
    /// That the server's terms of service are accepted; nothing is ordered otherwise.
    pub accept_terms: bool,
    /// The certificate of the authority behind the directory's own certificate, PEM; the system's
    /// authorities where unset.
    pub ca: Option<PathBuf>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
            contact: Vec::new(),
            domains: Vec::new(),
            accept_terms: false,
            ca: None,
        }
    }
}
