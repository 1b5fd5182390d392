//! Private keys as text: read in each form that files have them in, and made.

use super::host_keys::fingerprint;
use super::identities::{Identity, Unusable};
use crate::domain::{Secret, random_bytes};
use openssl::pkey::{Id, PKey};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, PrivateKey};
use zeroize::Zeroizing;

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
    match text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        true => parse_openssh(text, passphrase),
        false => parse_pem(bytes, passphrase),
    }
}

fn parse_openssh(text: &str, passphrase: &Passphrase) -> Result<PrivateKey, Unusable> {
    let key = match russh::keys::decode_secret_key(text, None) {
        Err(russh::keys::Error::KeyIsEncrypted) => {
            let passphrase = passphrase()?.ok_or_else(Unusable::needs_passphrase)?;
            russh::keys::decode_secret_key(text, Some(passphrase.expose()))
                .map_err(|_| Unusable::wrong_passphrase())
        }
        other => other.map_err(|_| Unusable::not_a_key()),
    }?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Rsa { .. } | Algorithm::Ecdsa { .. } => Ok(key),
        _ => Err(Unusable::unsupported()),
    }
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
