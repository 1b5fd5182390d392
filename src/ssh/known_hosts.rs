//! The known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): which keys a host may have.

use super::files::{self, Parsed};
use crate::domain::wildcard;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const LIMIT: u64 = 16 * 1024 * 1024;
const DEFAULT_PORT: u16 = 22;
const REVOKED: &str = "@revoked";

/// The file, wherever the configuration or the user's home has it.
pub struct File {
    path: Option<PathBuf>,
    parsed: Arc<Parsed<Vec<Entry>>>,
}

impl File {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            path: path.or_else(|| files::in_dot_ssh("known_hosts")),
            parsed: Arc::new(Parsed::new()),
        }
    }

    /// What the file says of a host. A missing file says nothing.
    ///
    /// # Errors
    /// Where the file is there and cannot be read, or a revocation in it cannot be understood: it
    /// may forbid this very key.
    pub async fn lookup(&self, host: &str, port: u16) -> io::Result<Known> {
        let Some(path) = self.path.clone() else {
            return Ok(Known::default());
        };
        let (parsed, host) = (self.parsed.clone(), host.to_ascii_lowercase());
        let read = move || match parsed.get(&path, LIMIT, |_, bytes| parse(&bytes)) {
            Ok(entries) => Ok(Known::of(&entries, &host, port)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
            Err(error) => Err(error),
        };
        tokio::task::spawn_blocking(read).await?
    }
}

/// Key blobs (RFC 4253 section 6.6) that known_hosts has for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Keys of hosts and of authorities.
    pub revoked: Vec<Vec<u8>>,
    /// Authorities whose host certificates count for this host, with or without its port.
    pub authorities: Vec<Vec<u8>>,
    /// For the host at this very port.
    pub trusted: Vec<Vec<u8>>,
    /// For the host without a port: a match counts, as with `ssh`, and anything else does not.
    pub trusted_without_port: Vec<Vec<u8>>,
}

impl Known {
    pub(super) fn of(entries: &[Entry], host: &str, port: u16) -> Self {
        let name = name(host, port);
        let mut known = Self::default();
        for entry in entries {
            let (exact, plain) = (
                matches(entry.host_patterns(), &name),
                matches(entry.host_patterns(), host),
            );
            if !exact && !plain {
                continue;
            }
            let Ok(blob) = entry.public_key().to_bytes() else {
                continue;
            };
            match entry.marker() {
                Some(Marker::Revoked) => known.revoked.push(blob),
                Some(Marker::CertAuthority) => known.authorities.push(blob),
                None if exact => known.trusted.push(blob),
                None => known.trusted_without_port.push(blob),
            }
        }
        known
    }
}

/// A place as the file names it.
pub fn name(host: &str, port: u16) -> String {
    match port {
        DEFAULT_PORT => host.to_owned(),
        _ => format!("[{host}]:{port}"),
    }
}

/// The lines that can be read. Of the others the log tells the number, and nothing of them is shown;
/// one that revokes a key is an error.
pub(super) fn parse(bytes: &[u8]) -> io::Result<Vec<Entry>> {
    let text = String::from_utf8_lossy(bytes);
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse() {
            Ok(entry) => entries.push(entry),
            Err(_) if line.starts_with(REVOKED) => {
                return Err(io::Error::other(format!(
                    "line {} begins with {REVOKED} and what follows cannot be understood, so it \
                     may forbid any key. Fix this line, or remove it",
                    number + 1
                )));
            }
            Err(_) => tracing::warn!(line = number + 1, "known_hosts: a line cannot be read"),
        }
    }
    Ok(entries)
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            hashed(salt, name).is_some_and(|of_name| of_name == hash)
        }
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(negated) if wildcard(negated, name) => return false,
                    Some(_) => {}
                    None => found |= wildcard(pattern, name),
                }
            }
            found
        }
    }
}

/// HMAC-SHA1 is what the format prescribes; it hides names and protects nothing here.
fn hashed(salt: &[u8], name: &str) -> Option<Vec<u8>> {
    let key = PKey::hmac(salt).ok()?;
    let mut signer = Signer::new(MessageDigest::sha1(), &key).ok()?;
    signer.update(name.as_bytes()).ok()?;
    signer.sign_to_vec().ok()
}
