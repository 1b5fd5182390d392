/// Whether a host key is the one that we expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyState {
    /// No key is on record yet.
    Unknown,
    /// This key is the right one, and the only one.
    Trusted,
}

/// The host key on record for an instance, as known_hosts writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The algorithm's name, such as `ssh-ed25519` (RFC 4253 section 6.6).
    pub algorithm: String,
    /// The public key blob in base64, the second column of a public key file.
    pub base64: String,
    /// `SHA256:` and the unpadded base64 of the blob's hash, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
}
