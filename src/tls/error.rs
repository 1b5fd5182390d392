use std::io;
use std::path::PathBuf;

/// Why there is no certificate to serve with, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One file of the two is there.
    #[error(
        "{present} is there, but {missing} is not: put the missing file there, or remove the other \
         one and a new certificate is made"
    )]
    Half {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file or its directory cannot be written.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others can read the key.
    #[error("{path} can be read by others (mode {mode:04o}): chmod 600 {path}")]
    Exposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no certificate in the file.
    #[error("{path} holds no certificate that can be read: it must be PEM, the server's own first")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file.
    #[error(
        "{path} holds no private key that can be read: it must be PEM without a passphrase \
         (`openssl pkey -in {path}` takes one away)"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The two files do not belong together.
    #[error(
        "the key in {key} does not fit the certificate in {cert}: use the two that belong together"
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A file would be replaced, and nobody said that it may be.
    #[error(
        "{path} is there already: --force replaces it, and clients then have to trust the new one"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot stand in a certificate.
    #[error("{name:?} is neither a host name nor an address")]
    Name {
        /// What was given.
        name: String,
    },
    /// The private authority's time is over.
    #[error(
        "the authority in {path} expired on {until}: `wsexec certs init --force` makes a new one"
    )]
    Expired {
        /// Its certificate's file.
        path: PathBuf,
        /// Its last day.
        until: String,
    },
    /// There is no list of revoked certificates in the file.
    #[error("{path} holds no list of revoked certificates that can be read: it must be PEM")]
    NoRevocations {
        /// The file.
        path: PathBuf,
    },
    /// The ACME server has not given a certificate.
    #[error("no certificate by ACME: {0}")]
    Acme(String),
    /// The TLS library, or the one that makes certificates, refused something.
    #[error("TLS cannot be set up: {0}")]
    Library(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(super) fn library(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Library(Box::new(cause))
    }
}
