use super::word::word;

/// What is known of the host key of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyState {
    /// No key is on record yet.
    Unknown,
    /// The key on record is the right one, and the only one.
    Trusted,
    /// The machine has shown another key than the one on record since that was last seen.
    Changed,
    /// The key on record, or the only one that was ever shown, is forbidden.
    Revoked,
}

word! {
    HostKeyState {
        Unknown => "unknown",
        Trusted => "trusted",
        Changed => "changed",
        Revoked => "revoked",
    }
}

/// A host key, as known_hosts writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    /// The algorithm's name, such as `ssh-ed25519` (RFC 4253 section 6.6).
    pub algorithm: String,
    /// The public key blob in base64, the second column of a public key file.
    pub base64: String,
    /// `SHA256:` and the unpadded base64 of the blob's hash, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
}

/// A key's fingerprint: `SHA256:` and 43 characters of base64, as `ssh-keygen -l` shows it.
///
/// # Errors
/// The sentence for the caller.
pub fn fingerprint(text: &str) -> Result<(), String> {
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    match text.strip_prefix("SHA256:") {
        Some(hash) if hash.len() == 43 && hash.bytes().all(is_base64) => Ok(()),
        _ => Err("must be SHA256: and 43 characters, as ssh-keygen -l shows it".into()),
    }
}

/// A key that a machine has proved to hold and that was not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// The key.
    pub key: HostKey,
    /// When it was shown last, Unix seconds.
    pub at: i64,
}

/// A key that an instance may never have again at its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RevokedKey {
    /// Its fingerprint, as [`HostKey::fingerprint`].
    pub fingerprint: String,
    /// When it was revoked, Unix seconds.
    pub at: i64,
    /// Who did it.
    pub by: String,
}

/// What somebody decides about a host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyDecision {
    /// The key that was shown is right, and there was none before.
    Approve,
    /// The key that was shown is right, instead of the one on record.
    Replace,
    /// This key is forbidden from now on.
    Revoke,
}

word! {
    HostKeyDecision {
        Approve => "approve",
        Replace => "replace",
        Revoke => "revoke",
    }
}

/// What happened to the trust in a host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyAct {
    /// The first key was recorded at the first connection.
    Record,
    /// See [`HostKeyDecision::Approve`].
    Approve,
    /// See [`HostKeyDecision::Replace`].
    Replace,
    /// See [`HostKeyDecision::Revoke`].
    Revoke,
    /// The instance got another address: what was known is forgotten, revocations too.
    Forget,
}

word! {
    HostKeyAct {
        Record => "record",
        Approve => "approve",
        Replace => "replace",
        Revoke => "revoke",
        Forget => "forget",
    }
}

impl From<HostKeyDecision> for HostKeyAct {
    fn from(decision: HostKeyDecision) -> Self {
        match decision {
            HostKeyDecision::Approve => Self::Approve,
            HostKeyDecision::Replace => Self::Replace,
            HostKeyDecision::Revoke => Self::Revoke,
        }
    }
}

/// One act in the history of an instance's host key, as the audit trail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyEvent {
    /// When, Unix seconds.
    pub at: i64,
    /// Who; `wsexec` where nobody was asked.
    pub by: String,
    /// What.
    pub act: HostKeyAct,
    /// The fingerprint that it is about; none where all was forgotten.
    pub fingerprint: Option<String>,
    /// The fingerprint that was on record before.
    pub on_record: Option<String>,
    /// The fingerprint that the machine had shown last and that was not trusted.
    pub shown: Option<String>,
}

/// All that is known of an instance's host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyRecord {
    /// The instance, with the key on record and the one that was shown.
    pub instance: super::Instance,
    /// Keys that it may never have, oldest first.
    pub revoked: Vec<RevokedKey>,
    /// What happened, newest first; at most [`HostKeyRecord::HISTORY`].
    pub history: Vec<HostKeyEvent>,
}

impl HostKeyRecord {
    /// The most acts that are told.
    pub const HISTORY: u32 = 100;
    /// The most keys that are revoked for one instance.
    pub const REVOKED: usize = 100;
}
