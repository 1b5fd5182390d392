//! TLS 1.3 and 1.2 by rustls: the certificate, whose it is and that it stays fresh, the handshake,
//! and the certificates of clients. The suites are all ECDHE with an AEAD; ALPN offers `h2` and
//! `http/1.1`.

mod acceptor;
mod acme;
mod authority;
mod certificate;
mod challenge;
mod clients;
mod error;
mod files;
mod keeper;
mod self_signed;

pub use acceptor::{Acceptor, Alpn, Handshake};
pub use authority::{Authority, init};
pub use certificate::{Certificate, ensure, find};
pub use clients::check_clients;
pub use error::Error;
pub use keeper::Keeper;
