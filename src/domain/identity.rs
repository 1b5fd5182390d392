//! What the server can log in with, and what scripts can be given: secrets that are kept by name.

use super::Scope;
use super::word::word;
use std::fmt;

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
