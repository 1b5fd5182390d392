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
    /// The TLS library, or the one that makes certificates, refused something.
    #[error("TLS cannot be set up: {0}")]
    Library(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(super) fn library(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Library(Box::new(cause))
    }
}
