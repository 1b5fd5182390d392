//! What the server can log in with, and what scripts can be given: secrets that are kept by name.

use super::word::word;
use super::{Invalid, Result, Scope, Secret, UserId, fingerprint, reference};
use std::fmt;

/// The shortest secret, in bytes: a shorter one could not be masked in output without masking half
/// of it.
const MIN: usize = 8;
/// The longest secret, in bytes.
const MAX: usize = 64 * 1024;
/// The most host keys that one secret is for.
const HOST_KEYS: usize = 256;

/// The id of an identity: given by the store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityId(pub i64);

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// An SSH private key, with its passphrase where it has one.
    SshKey,
    /// A password that `sudo` or `doas` asks for.
    BecomePassword,
    /// A value that scripts are given by name.
    Secret,
}

word! {
    IdentityKind {
        SshKey => "ssh_key",
        BecomePassword => "become_password",
        Secret => "secret",
    }
}

/// A secret that the store keeps by name: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// What it is referred to by; unique.
    pub name: String,
    /// What it is.
    pub kind: IdentityKind,
    /// For what it may be used: the login users, on the instances.
    pub scope: Scope,
    /// For a become password or a secret: the fingerprints of the host keys of the machines that
    /// may be told it; any machine of its scope where there is none.
    pub host_keys: Vec<String>,
    /// The public half of an SSH key, as `authorized_keys` has it.
    pub public_key: Option<String>,
    /// Its fingerprint, as `ssh-keygen -l` shows it.
    pub fingerprint: Option<String>,
    /// When it was made, Unix seconds.
    pub created: i64,
    /// By whom.
    pub created_by: String,
    /// Counts the changes, for `ETag`.
    pub version: i64,
}

/// A secret as the store keeps it: encrypted, for one place only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which master key opens it.
    pub key: String,
    /// The nonce and the ciphertext with its tag.
    pub bytes: Vec<u8>,
}

/// Where a sealed value stands; written out, it is what the value is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SealedPlace {
    /// The secret of an identity.
    Value(IdentityId),
    /// The passphrase of its key.
    Passphrase(IdentityId),
    /// The authenticator of a user.
    SecondFactor(UserId),
}

impl fmt::Display for SealedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(id) => write!(f, "identity/{id}/value"),
            Self::Passphrase(id) => write!(f, "identity/{id}/passphrase"),
            Self::SecondFactor(id) => write!(f, "second_factor/{id}"),
        }
    }
}

/// The values of an identity, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValues {
    /// The secret itself.
    pub value: Sealed,
    /// The passphrase of a key that has one.
    pub passphrase: Option<Sealed>,
}

/// The values of an identity.
#[derive(Debug, Clone)]
pub struct SecretValues {
    /// The secret itself: a private key as its file has it, a password, a text.
    pub value: Secret,
    /// The passphrase of a key that has one.
    pub passphrase: Option<Secret>,
}

impl SecretValues {
    /// Whether an identity of a kind can have them.
    ///
    /// # Errors
    /// `Invalid`, naming every field that is wrong.
    pub fn validate(&self, kind: IdentityKind) -> Result<()> {
        let mut wrong = Invalid::default();
        wrong.check("value", value(kind, &self.value));
        if let Some(passphrase) = &self.passphrase {
            wrong.check(
                "passphrase",
                match kind {
                    IdentityKind::SshKey => line(passphrase),
                    IdentityKind::BecomePassword | IdentityKind::Secret => {
                        Err("is for keys alone".into())
                    }
                },
            );
        }
        wrong.finish()
    }
}

fn value(kind: IdentityKind, secret: &Secret) -> std::result::Result<(), String> {
    match kind {
        IdentityKind::BecomePassword => line(secret),
        IdentityKind::SshKey | IdentityKind::Secret => length(secret),
    }
}

fn line(secret: &Secret) -> std::result::Result<(), String> {
    match secret.expose().chars().any(char::is_control) {
        true => Err("must not hold line ends or other control characters".into()),
        false => length(secret),
    }
}

fn length(secret: &Secret) -> std::result::Result<(), String> {
    let text = secret.expose();
    if !(MIN..=MAX).contains(&text.len()) {
        return Err(format!(
            "must have {MIN} to {MAX} bytes: a shorter one could not be masked in output"
        ));
    }
    // No shell can hold one.
    match text.contains('\0') {
        true => Err("must not hold a NUL character".into()),
        false => Ok(()),
    }
}

/// What is needed to make an identity.
#[derive(Debug, Clone)]
pub struct NewIdentity {
    /// See [`Identity::name`].
    pub name: String,
    /// See [`Identity::kind`].
    pub kind: IdentityKind,
    /// See [`Identity::scope`].
    pub scope: Scope,
    /// See [`Identity::host_keys`].
    pub host_keys: Vec<String>,
    /// Its secret; a key is made in the server where there is none.
    pub values: Option<SecretValues>,
}

impl NewIdentity {
    /// Whether it can be made.
    ///
    /// # Errors
    /// `Invalid`, naming every field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = Invalid::default();
        wrong.check("name", reference(&self.name));
        wrong.check("host_keys", host_keys(&self.host_keys));
        if self.values.is_none() && self.kind != IdentityKind::SshKey {
            wrong.add("value", "is required: only keys are made in the server");
        }
        wrong.finish()?;
        match &self.values {
            Some(values) => values.validate(self.kind),
            None => Ok(()),
        }
    }
}

fn host_keys(keys: &[String]) -> std::result::Result<(), String> {
    if keys.len() > HOST_KEYS {
        return Err(format!("must have at most {HOST_KEYS} fingerprints"));
    }
    keys.iter().try_for_each(|key| fingerprint(key))
}

/// What of an identity may change: what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct IdentityChange {
    /// Another scope.
    pub scope: Option<Scope>,
    /// Other host keys.
    pub host_keys: Option<Vec<String>>,
    /// Another secret of the same kind.
    pub values: Option<SecretValues>,
}

impl IdentityChange {
    /// Whether an identity of this kind can be changed so.
    ///
    /// # Errors
    /// `Invalid`, naming every field that is wrong.
    pub fn validate(&self, kind: IdentityKind) -> Result<()> {
        let mut wrong = Invalid::default();
        if let Some(keys) = &self.host_keys {
            wrong.check("host_keys", host_keys(keys));
        }
        wrong.finish()?;
        match &self.values {
            Some(values) => values.validate(kind),
            None => Ok(()),
        }
    }
}
