//! Whether an OpenSSH certificate (PROTOCOL.certkeys) can be used: a host's that is shown to us,
//! or one of ours.

use crate::domain::wildcard;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey};
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What speaks against a host certificate of a trusted authority, in words.
pub fn host_problem(certificate: &Certificate, host: &str) -> Option<String> {
    let authority: Fingerprint = certificate.signature_key().fingerprint(HashAlg::Sha256);
    let names = certificate.valid_principals();
    let matches = |name: &String| wildcard(name, &host.to_ascii_lowercase());
    if !certificate.cert_type().is_host() {
        return Some("it is not a host's certificate".into());
    }
    if let Some(problem) = out_of_time(certificate) {
        return Some(format!("it {problem}"));
    }
    if !names.is_empty() && !names.iter().any(matches) {
        return Some(format!("it is for {}, and not for {host}", listed(names)));
    }
    // PROTOCOL.certkeys has none for hosts, and one that is not understood refuses.
    if !certificate.critical_options().is_empty() {
        return Some("it has critical options, which no host's certificate may have".into());
    }
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Some("its authority signed it with SHA-1".into());
    }
    match certificate.validate_at(now(), [&authority]) {
        Ok(()) => None,
        Err(_) => Some("its authority's signature is wrong".into()),
    }
}

/// What speaks against offering a user certificate for this key: what follows the file's name in a
/// sentence.
pub fn user_problem(certificate: &Certificate, key: &PrivateKey) -> Option<String> {
    if !certificate.cert_type().is_user() {
        return Some("is not a user's certificate".into());
    }
    if certificate.public_key() != key.public_key().key_data() {
        return Some("belongs to another key".into());
    }
    out_of_time(certificate)
}

/// `valid after` <= now < `valid before`.
pub fn out_of_time(certificate: &Certificate) -> Option<String> {
    let now = now();
    if now < certificate.valid_after() {
        return Some(format!(
            "is valid from {} on",
            date(certificate.valid_after())
        ));
    }
    let end = certificate.valid_before();
    (end <= now).then(|| format!("expired on {}", date(end)))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "a day that no calendar has".into())
}

fn listed(names: &[String]) -> String {
    let visible = |name: &String| name.chars().filter(|c| !c.is_control()).take(64).collect();
    let names: Vec<String> = names.iter().take(8).map(visible).collect();
    names.join(", ")
}
