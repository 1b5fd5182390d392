//! Private keys as text: read in each form that files have them in, and made.

use super::host_keys::fingerprint;
use super::identities::{Identity, Unusable};
use crate::domain::{Secret, random_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::{Id, PKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{EncryptionScheme, pbes2};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::{Kdf, LineEnding};
use russh::keys::{Algorithm, PrivateKey};
use zeroize::Zeroizing;

/// The most rounds of bcrypt (PROTOCOL.key) that it may take to open a key: some seconds. A file says
/// itself how many there are, up to 4,294,967,295.
pub(super) const ROUNDS: u32 = 1000;
/// The same for PBKDF2 (RFC 8018 section 5.2), of which each takes less.
const ITERATIONS: u32 = 5_000_000;

const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const PKCS8: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// Asked for where a key is encrypted.
pub(super) type Passphrase<'a> = dyn Fn() -> Result<Option<Secret>, Unusable> + 'a;

/// What of a key anybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHalf {
    /// As `authorized_keys` has it, with a comment.
    pub line: String,
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
}

/// A private key that one login is to use, and no other.
#[derive(Debug, Clone)]
pub struct LoginKey {
    /// What it is called.
    pub name: String,
    /// Of its public half: which key it is.
    pub fingerprint: String,
    /// As its file has it.
    pub value: Secret,
    /// What opens it, where it is encrypted.
    pub passphrase: Option<Secret>,
}

impl PartialEq for LoginKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.fingerprint) == (&other.name, &other.fingerprint)
    }
}

impl Eq for LoginKey {}

impl std::hash::Hash for LoginKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, &self.fingerprint).hash(state);
    }
}

impl LoginKey {
    /// Blocks: a passphrase is slow to try.
    pub(super) fn open(&self) -> Result<Identity, Unusable> {
        let key = parse(self.value.expose().as_bytes(), &|| {
            Ok(self.passphrase.clone())
        })?;
        Identity::of(&self.name, key)
    }
}

/// Makes an ed25519 key, as a file of OpenSSH has it.
///
/// # Panics
/// Where the operating system has no randomness to give.
pub fn generate_key(comment: &str) -> (Secret, PublicHalf) {
    let seed = Zeroizing::new(random_bytes());
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF);
    let text = text.expect("an ed25519 key can be written");
    let Ok(half) = half(&key, comment) else {
        unreachable!("an ed25519 key has a public half")
    };
    (Secret::new(text.as_str()), half)
}

/// Opens a private key and gives its public half. Blocks: a passphrase is slow to try.
///
/// # Errors
/// Why it cannot be used, to go after "the key".
pub fn public_half(
    key: &Secret,
    passphrase: Option<&Secret>,
    comment: &str,
) -> Result<PublicHalf, String> {
    let found = parse(key.expose().as_bytes(), &|| Ok(passphrase.cloned()));
    found
        .and_then(|key| half(&key, comment))
        .map_err(|unusable| unusable.why().to_owned())
}

fn half(key: &PrivateKey, comment: &str) -> Result<PublicHalf, Unusable> {
    let unreadable = |_| Unusable::not_a_key();
    let mut public = key.public_key().clone();
    public.set_comment(comment);
    Ok(PublicHalf {
        line: public.to_openssh().map_err(unreadable)?,
        fingerprint: fingerprint(&public.to_bytes().map_err(unreadable)?),
    })
}

pub(super) fn parse(bytes: &[u8], passphrase: &Passphrase) -> Result<PrivateKey, Unusable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::not_a_key())?;
    match text.contains(OPENSSH) {
        true => parse_openssh(text, passphrase),
        false if is_slow_pem(text) => Err(Unusable::too_slow()),
        false => parse_pem(bytes, passphrase),
    }
}

/// What stands behind this first line, as far as the last one.
fn decoded(text: &str, first_line: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, body) = text.split_once(first_line)?;
    let (body, _) = body.split_once("-----END ").unwrap_or((body, ""));
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(&*body).ok().map(Zeroizing::new)
}

/// Whether a key in PKCS#8 takes too long to open, or how long is not known.
fn is_slow_pem(text: &str) -> bool {
    let Some(key) = decoded(text, PKCS8) else {
        return text.contains(PKCS8);
    };
    match EncryptedPrivateKeyInfoRef::try_from(&**key).map(|key| key.encryption_algorithm) {
        Ok(EncryptionScheme::Pbes2(with)) => match with.kdf {
            pbes2::Kdf::Pbkdf2(kdf) => kdf.iteration_count > ITERATIONS,
            // OpenSSL bounds what it needs.
            _ => false,
        },
        Ok(_) => false,
        Err(_) => true,
    }
}

fn parse_openssh(text: &str, passphrase: &Passphrase) -> Result<PrivateKey, Unusable> {
    let key = match russh::keys::decode_secret_key(text, None) {
        Err(russh::keys::Error::KeyIsEncrypted) => {
            let key = locked(text).ok_or_else(Unusable::not_a_key)?;
            if matches!(key.kdf(), Kdf::Bcrypt { rounds, .. } if *rounds > ROUNDS) {
                return Err(Unusable::too_slow());
            }
            let passphrase = passphrase()?.ok_or_else(Unusable::needs_passphrase)?;
            key.decrypt(passphrase.expose())
                .map_err(|_| Unusable::wrong_passphrase())
        }
        other => other.map_err(|_| Unusable::not_a_key()),
    }?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Rsa { .. } | Algorithm::Ecdsa { .. } => Ok(key),
        _ => Err(Unusable::unsupported()),
    }
}

/// A key of OpenSSH that is not opened yet.
pub(super) fn locked(text: &str) -> Option<PrivateKey> {
    PrivateKey::from_bytes(&decoded(text, OPENSSH)?).ok()
}

/// PKCS#1, SEC 1 and PKCS#8, encrypted or not, as OpenSSL reads them.
fn parse_pem(pem: &[u8], passphrase: &Passphrase) -> Result<PrivateKey, Unusable> {
    let (mut asked, mut has_passphrase) = (false, false);
    let mut problem = None;
    let key = PKey::private_key_from_pem_callback(pem, |buffer| {
        asked = true;
        let written = match passphrase() {
            Ok(Some(passphrase)) => {
                has_passphrase = true;
                write(passphrase.expose().as_bytes(), buffer)
            }
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
    let key = key.map_err(|_| match (asked, has_passphrase) {
        (true, false) => Unusable::needs_passphrase(),
        (true, true) => Unusable::wrong_passphrase(),
        (false, _) => Unusable::not_a_key(),
    })?;
    if ![Id::RSA, Id::ED25519, Id::EC].contains(&key.id()) {
        return Err(Unusable::unsupported());
    }
    let plain = key.private_key_to_pem_pkcs8();
    let plain = Zeroizing::new(plain.map_err(|_| Unusable::not_a_key())?);
    let plain = std::str::from_utf8(&plain).map_err(|_| Unusable::not_a_key())?;
    russh::keys::decode_secret_key(plain, None).map_err(|_| Unusable::unsupported())
}

fn write(bytes: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}
