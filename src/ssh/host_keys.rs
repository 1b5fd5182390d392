//! Whether the key that a machine shows is the right one.

use super::known_hosts::Known;
use super::{Failure, Target, certificates};
use crate::config;
use crate::domain::{HostKey, Outcome, RevokedKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use russh::keys::{Certificate, PublicKey};
use sha2::{Digest, Sha256};

/// The kinds of key that thrussh can judge.
const OF_THRUSSH: [&str; 2] = ["ssh-ed25519", "ssh-rsa"];

/// All that the verdict on one connection's host key stands on.
#[derive(Debug, Clone)]
pub struct Rules {
    host: String,
    port: u16,
    recorded: Option<HostKey>,
    /// Keys that somebody has revoked for this instance.
    revoked: Vec<RevokedKey>,
    known: Known,
    mode: config::HostKeys,
}

impl Rules {
    pub fn new(target: &Target, known: Known, mode: config::HostKeys) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            recorded: target.host_key.clone(),
            revoked: target.revoked.clone(),
            known,
            mode,
        }
    }

    /// Whether a kind of key is on record, so that it is to be asked for first: a machine has
    /// several.
    pub fn prefers(&self, kind: &str) -> bool {
        self.kinds().iter().any(|on_record| on_record == kind)
    }

    /// Whether a certificate would count: an authority is trusted with this host, and no key is on
    /// record, which alone would be right.
    pub fn wants_certificates(&self) -> bool {
        self.recorded.is_none() && !self.known.authorities.is_empty()
    }

    /// Whether thrussh can come to the right verdict.
    pub fn suit_thrussh(&self) -> bool {
        let kinds = self.kinds();
        let some = kinds.iter().any(|kind| OF_THRUSSH.contains(&&**kind));
        (kinds.is_empty() || some) && !self.wants_certificates()
    }

    fn kinds(&self) -> Vec<String> {
        match &self.recorded {
            Some(key) => vec![key.algorithm.clone()],
            None => [&self.known.trusted, &self.known.trusted_without_port]
                .into_iter()
                .flatten()
                .map(|blob| algorithm_of(blob))
                .collect(),
        }
    }

    /// The verdict on a key that the machine shows. Whether it was proved to hold it is not known
    /// here: a refusal carries the key all the same.
    pub fn judge(&self, blob: &[u8]) -> Result<HostKey, Failure> {
        let shown = describe(blob);
        self.judged(blob, &shown).map_err(|failure| Failure {
            shown: Some(Box::new(shown.clone())),
            ..failure
        })?;
        Ok(shown)
    }

    fn judged(&self, blob: &[u8], shown: &HostKey) -> Result<(), Failure> {
        self.not_revoked(blob)?;
        let is_shown = |trusted: &Vec<u8>| trusted.as_slice() == blob;
        if let Some(recorded) = &self.recorded {
            let same = STANDARD.decode(&recorded.base64).is_ok_and(|b| b == blob);
            return match same {
                true => Ok(()),
                false => Err(self.not_recorded(recorded, shown)),
            };
        }
        if self.known.trusted.iter().any(is_shown) {
            return Ok(());
        }
        if !self.known.trusted.is_empty() {
            return Err(self.not_known(shown));
        }
        if self.known.trusted_without_port.iter().any(is_shown) {
            return Ok(());
        }
        match self.mode {
            config::HostKeys::AcceptNew => Ok(()),
            config::HostKeys::Strict => Err(self.not_approved(shown)),
        }
    }

    /// Whether a certificate counts, and not only the key in it.
    pub fn counts(&self, certificate: &Certificate) -> bool {
        let authority = PublicKey::new(certificate.signature_key().clone(), "").to_bytes();
        let trusted = |authority| self.known.authorities.contains(&authority);
        self.recorded.is_none() && authority.is_ok_and(trusted)
    }

    /// The verdict on a host certificate: that of an authority that is trusted with this host
    /// counts as its key's approval; any other is no more than the key in it.
    pub fn judge_certificate(&self, certificate: &Certificate) -> Result<HostKey, Failure> {
        let blob = |key| PublicKey::new(key, "").to_bytes().unwrap_or_default();
        let subject = blob(certificate.public_key().clone());
        let authority = blob(certificate.signature_key().clone());
        let shown = describe(&subject);
        let with_key = |failure| Failure {
            shown: Some(Box::new(shown.clone())),
            ..failure
        };
        self.not_revoked(&subject).map_err(with_key)?;
        self.not_revoked(&authority).map_err(with_key)?;
        if !self.counts(certificate) {
            return self.judge(&subject);
        }
        match certificates::host_problem(certificate, &self.host) {
            None => Ok(shown),
            Some(problem) => Err(with_key(self.not_certified(&shown, &problem))),
        }
    }

    /// Whether a key that was found right before still is. A certificate counts for as long as its
    /// connection is kept.
    pub fn still_stands(&self, key: &HostKey, certified: bool) -> bool {
        let Ok(blob) = STANDARD.decode(&key.base64) else {
            return false;
        };
        match certified {
            true => self.wants_certificates() && self.not_revoked(&blob).is_ok(),
            false => self.judged(&blob, key).is_ok(),
        }
    }

    /// First of all.
    fn not_revoked(&self, blob: &[u8]) -> Result<(), Failure> {
        let shown = describe(blob);
        let mut revoked = self.revoked.iter();
        if let Some(key) = revoked.find(|key| key.fingerprint == shown.fingerprint) {
            return Err(refused(format!(
                "{} showed a host key that was revoked here by {} ({} {}). Give the machine a new \
                 host key, then trust that one on the instance's page or by its host_key.",
                self.at(),
                key.by,
                shown.algorithm,
                shown.fingerprint
            )));
        }
        match self.known.revoked.iter().any(|revoked| revoked == blob) {
            true => Err(self.revoked(&shown)),
            false => Ok(()),
        }
    }

    fn not_certified(&self, shown: &HostKey, problem: &str) -> Failure {
        refused(format!(
            "The host certificate of {} (for {} {}) is not valid: {problem}. Have the authority \
             in known_hosts sign the machine's key anew.",
            self.at(),
            shown.algorithm,
            shown.fingerprint
        ))
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
             between. If the machine was really reinstalled, compare this fingerprint with its \
             own, then replace the key on the instance's page or by its host_key.",
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
             may stand between. If the machine was really reinstalled, approve its new key on \
             the instance's page or by its host_key, or put it into known_hosts for {}.",
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
             none; shown {} {}. Compare this fingerprint with the machine's own, then approve \
             the key on the instance's page or by its host_key, or add it to known_hosts: {} {} {}",
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

/// A key blob in words.
pub fn describe(blob: &[u8]) -> HostKey {
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
