//! The private keys that we log in with: which files, and how they are read.

use super::files::{self, Parsed};
use super::host_keys::fingerprint;
use crate::domain::Secret;
use openssl::pkey::{Id, PKey};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thrussh_keys::PublicKeyBase64;
use thrussh_keys::key::{KeyPair, SignatureHash, ed25519};
use zeroize::Zeroizing;

const LIMIT: u64 = 64 * 1024;
/// The usual files, in the order in which they are offered.
const USUAL: [&str; 2] = ["id_ed25519", "id_rsa"];

/// A key that can be offered to a machine.
#[derive(Clone)]
pub struct Identity {
    /// The file's name without its directory.
    pub name: String,
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
    pub key: Arc<KeyPair>,
}

/// What the files gave: the keys, and a sentence for each file that gave none.
#[derive(Default)]
pub struct Loaded {
    pub keys: Vec<Identity>,
    pub unusable: Vec<String>,
}

/// Where the keys are.
pub struct Identities {
    files: Arc<Files>,
}

struct Files {
    configured: Vec<PathBuf>,
    passphrase_file: Option<PathBuf>,
    passphrase: Option<Secret>,
    parsed: Parsed<Identity>,
}

impl Identities {
    pub fn new(
        configured: Vec<PathBuf>,
        passphrase_file: Option<PathBuf>,
        passphrase: Option<Secret>,
    ) -> Self {
        Self {
            files: Arc::new(Files {
                configured,
                passphrase_file,
                passphrase,
                parsed: Parsed::new(),
            }),
        }
    }

    /// Whether the usual places are to be looked in, the agent among them.
    pub fn are_usual(&self) -> bool {
        self.files.configured.is_empty()
    }

    /// Reads what has changed since the last time.
    pub async fn load(&self) -> Loaded {
        let files = self.files.clone();
        // A panic in a key parser counts as a file that cannot be used.
        tokio::task::spawn_blocking(move || files.load())
            .await
            .unwrap_or_else(|_| Loaded {
                keys: Vec::new(),
                unusable: vec!["the key files cannot be parsed".into()],
            })
    }
}

impl Files {
    fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for path in &self.configured {
            self.take(path, &mut loaded);
        }
        if self.configured.is_empty() {
            let usual = USUAL.iter().filter_map(|name| files::in_dot_ssh(name));
            for path in usual.filter(|path| path.exists()) {
                self.take(&path, &mut loaded);
            }
        }
        loaded
    }

    fn take(&self, path: &Path, loaded: &mut Loaded) {
        let parse = |metadata: &Metadata, bytes: Vec<u8>| {
            self.parse(&name_of(path), metadata, Zeroizing::new(bytes))
        };
        match self.parsed.get(path, LIMIT, parse) {
            Ok(identity) => loaded.keys.push((*identity).clone()),
            Err(Unusable(why)) => loaded.unusable.push(format!("{} {why}", name_of(path))),
        }
    }

    fn parse(
        &self,
        name: &str,
        metadata: &Metadata,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<Identity, Unusable> {
        if files::is_open_to_others(metadata) {
            return Err(Unusable("can be read by others (chmod 600 it)".into()));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Unusable::not_a_key())?;
        let key = if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            self.parse_openssh(text)?
        } else {
            self.parse_pem(&bytes)?
        };
        let fingerprint = fingerprint(&key.clone_public_key().public_key_bytes());
        Ok(Identity {
            name: name.to_owned(),
            fingerprint,
            key: Arc::new(key),
        })
    }

    fn parse_openssh(&self, text: &str) -> Result<KeyPair, Unusable> {
        let key = match thrussh_keys::decode_secret_key(text, None) {
            Err(thrussh_keys::Error::KeyIsEncrypted) => {
                let passphrase = self.passphrase()?.ok_or_else(Unusable::needs_passphrase)?;
                thrussh_keys::decode_secret_key(text, Some(passphrase.expose()))
                    .map_err(|_| Unusable::wrong_passphrase())
            }
            other => other.map_err(|error| match error {
                thrussh_keys::Error::UnsupportedKeyType(_) => Unusable::unsupported(),
                _ => Unusable::not_a_key(),
            }),
        }?;
        Ok(with_sha2(key))
    }

    /// PKCS#1 and PKCS#8, encrypted or not, as OpenSSL reads them.
    fn parse_pem(&self, pem: &[u8]) -> Result<KeyPair, Unusable> {
        let mut asked = false;
        let mut problem = None;
        let key = PKey::private_key_from_pem_callback(pem, |buffer| {
            asked = true;
            let written = match self.passphrase() {
                Ok(Some(passphrase)) => write(passphrase.expose().as_bytes(), buffer),
                Ok(None) => None,
                Err(unusable) => {
                    problem = Some(unusable);
                    None
                }
            };
            Ok(written.unwrap_or(0))
        });
        if let Some(problem) = problem {
            return Err(problem);
        }
        let key = key.map_err(|_| match (asked, &self.passphrase_file, &self.passphrase) {
            (true, None, None) => Unusable::needs_passphrase(),
            (true, _, _) => Unusable::wrong_passphrase(),
            (false, _, _) => Unusable::not_a_key(),
        })?;
        match key.id() {
            Id::RSA => Ok(KeyPair::RSA {
                key: key.rsa().map_err(|_| Unusable::not_a_key())?,
                hash: SignatureHash::SHA2_512,
            }),
            Id::ED25519 => ed25519_of(&key),
            _ => Err(Unusable::unsupported()),
        }
    }

    fn passphrase(&self) -> Result<Option<Secret>, Unusable> {
        let Some(path) = &self.passphrase_file else {
            return Ok(self.passphrase.clone());
        };
        files::read_secret(path)
            .map(Some)
            .map_err(|error| Unusable(format!("needs its passphrase file: {error}")))
    }
}

/// Why a file gives no key: what follows the file's name in a sentence.
pub(super) struct Unusable(String);

impl Unusable {
    fn needs_passphrase() -> Self {
        Self("is encrypted and no passphrase is configured".into())
    }
    fn wrong_passphrase() -> Self {
        Self("does not open with the configured passphrase".into())
    }
    fn unsupported() -> Self {
        Self("is neither an ed25519 nor an RSA key".into())
    }
    fn not_a_key() -> Self {
        Self("is no private key that can be read".into())
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self("is not there".into()),
            _ => Self(format!("cannot be read: {error}")),
        }
    }
}

/// Servers refuse RSA signatures with SHA-1 (RFC 8332), which thrussh takes from the key.
fn with_sha2(key: KeyPair) -> KeyPair {
    match key {
        KeyPair::RSA { key, .. } => KeyPair::RSA {
            key,
            hash: SignatureHash::SHA2_512,
        },
        other => other,
    }
}

/// An ed25519 key of OpenSSL as thrussh has it.
pub(super) fn ed25519_of(key: &PKey<openssl::pkey::Private>) -> Result<KeyPair, Unusable> {
    let (Ok(seed), Ok(public)) = (key.raw_private_key(), key.raw_public_key()) else {
        return Err(Unusable::not_a_key());
    };
    let seed = Zeroizing::new(seed);
    let mut secret = ed25519::SecretKey::new_zeroed();
    if seed.len() + public.len() != secret.key.len() {
        return Err(Unusable::not_a_key());
    }
    secret.key[..seed.len()].copy_from_slice(&seed);
    secret.key[seed.len()..].copy_from_slice(&public);
    Ok(KeyPair::Ed25519(secret))
}

fn write(bytes: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
