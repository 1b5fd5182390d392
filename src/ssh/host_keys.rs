//! Whether the key that a machine shows is the right one.

use super::known_hosts::Known;
use super::{Failure, Target};
use crate::config;
use crate::domain::{HostKey, Outcome};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use thrussh_keys::PublicKeyBase64;
use thrussh_keys::key::{ED25519, Name, PublicKey, RSA_SHA2_256};

/// thrussh checks an RSA host key's signature with SHA-256 whatever was agreed on, so nothing else
/// may be agreed on.
const ED25519_FIRST: &[Name] = &[ED25519, RSA_SHA2_256];
const RSA_FIRST: &[Name] = &[RSA_SHA2_256, ED25519];

/// All that the verdict on one connection's host key stands on.
#[derive(Debug)]
pub struct Rules {
    host: String,
    port: u16,
    recorded: Option<HostKey>,
    known: Known,
    mode: config::HostKeys,
}

impl Rules {
    pub fn new(target: &Target, known: Known, mode: config::HostKeys) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            recorded: target.host_key.clone(),
            known,
            mode,
        }
    }

    /// The kinds of key to ask for: one that is on record first, as a machine has several.
    pub fn preferred(&self) -> &'static [Name] {
        let has = |algorithm: &str| match &self.recorded {
            Some(key) => key.algorithm == algorithm,
            None => [&self.known.trusted, &self.known.trusted_without_port]
                .into_iter()
                .flatten()
                .any(|blob| algorithm_of(blob) == algorithm),
        };
        if has("ssh-rsa") && !has("ssh-ed25519") {
            RSA_FIRST
        } else {
            ED25519_FIRST
        }
    }

    /// The verdict on a key that the machine shows, and has not proved to hold yet.
    pub fn judge(&self, key: &PublicKey) -> Result<HostKey, Failure> {
        let blob = key.public_key_bytes();
        let shown = describe(&blob);
        if self.known.revoked.contains(&blob) {
            return Err(self.revoked(&shown));
        }
        if let Some(recorded) = &self.recorded {
            let same = STANDARD.decode(&recorded.base64).is_ok_and(|b| b == blob);
            return match same {
                true => Ok(shown),
                false => Err(self.not_recorded(recorded, &shown)),
            };
        }
        if self.known.trusted.contains(&blob) {
            return Ok(shown);
        }
        if !self.known.trusted.is_empty() {
            return Err(self.not_known(&shown));
        }
        if self.known.trusted_without_port.contains(&blob) {
            return Ok(shown);
        }
        match self.mode {
            config::HostKeys::AcceptNew => Ok(shown),
            config::HostKeys::Strict => Err(self.not_approved(&shown)),
        }
    }

    fn at(&self) -> String {
        match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        }
    }

    fn revoked(&self, shown: &HostKey) -> Failure {
        refused(format!(
            "{} showed a host key that known_hosts marks as revoked ({} {}). Give the machine a \
             new host key, or take the line out of known_hosts if it stands there wrongly.",
            self.at(),
            shown.algorithm,
            shown.fingerprint
        ))
    }

    fn not_recorded(&self, recorded: &HostKey, shown: &HostKey) -> Failure {
        refused(format!(
            "The host key of {} has changed: expected {} {}, shown {} {}. Somebody may stand \
             between. If the machine was really reinstalled, set the instance's ip or port anew, \
             or remove the instance and declare it again.",
            self.at(),
            recorded.algorithm,
            recorded.fingerprint,
            shown.algorithm,
            shown.fingerprint
        ))
    }

    fn not_known(&self, shown: &HostKey) -> Failure {
        let expected: Vec<String> = self
            .known
            .trusted
            .iter()
            .map(|blob| {
                let key = describe(blob);
                format!("{} {}", key.algorithm, key.fingerprint)
            })
            .collect();
        refused(format!(
            "The host key of {} is not the one in known_hosts: expected {}, shown {} {}. Somebody \
             may stand between. If the machine was really reinstalled, put its new key into \
             known_hosts for {}.",
            self.at(),
            expected.join(" or "),
            shown.algorithm,
            shown.fingerprint,
            self.at()
        ))
    }

    fn not_approved(&self, shown: &HostKey) -> Failure {
        refused(format!(
            "The host key of {} is not approved: expected one that is on record, and there is \
             none; shown {} {}. Compare this fingerprint with the machine's own, then add the key \
             to known_hosts: {} {} {}",
            self.at(),
            shown.algorithm,
            shown.fingerprint,
            self.at(),
            shown.algorithm,
            shown.base64
        ))
    }
}

fn refused(reason: String) -> Failure {
    Failure::new(Outcome::HostKeyRefused, reason)
}

fn describe(blob: &[u8]) -> HostKey {
    HostKey {
        algorithm: algorithm_of(blob),
        base64: STANDARD.encode(blob),
        fingerprint: fingerprint(blob),
    }
}

/// `SHA256:` and so on, as `ssh-keygen -l` shows a key.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// The first string of the blob.
fn algorithm_of(blob: &[u8]) -> String {
    let name = blob.split_first_chunk::<4>().and_then(|(length, rest)| {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest.get(..length)
    });
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}
