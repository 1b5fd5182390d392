//! Which host keys are taken, and what is said of the others.

use super::{attempt, config, refusal, run, target};
use crate::harness::sshd::{Kind, Sshd, fingerprint, keygen, public_key};
use std::path::Path;
use std::process::Command;
use wsexec::config::{HostKeys, SshLibrary};
use wsexec::domain::{HostKey, Outcome, RevokedKey};
use wsexec::ssh::Failure;

fn known_hosts(sshd: &Sshd, text: &str) {
    std::fs::write(sshd.dir().join("known_hosts"), text).unwrap();
}

fn place(sshd: &Sshd) -> String {
    format!("[{}]:{}", sshd.address().ip(), sshd.port())
}

fn strict(sshd: &Sshd) -> wsexec::config::Ssh {
    wsexec::config::Ssh {
        host_keys: HostKeys::Strict,
        ..config(sshd)
    }
}

fn record(key: &Path) -> HostKey {
    let public = public_key(key);
    let (algorithm, base64) = public.split_once(' ').unwrap();
    HostKey {
        algorithm: algorithm.into(),
        base64: base64.into(),
        fingerprint: fingerprint(key),
    }
}

/// A key that the server does not have.
fn stranger(sshd: &Sshd, kind: Kind) -> std::path::PathBuf {
    let path = sshd.dir().join("stranger");
    keygen(&path, kind, "RFC4716", "");
    path
}

async fn refused(sshd: &Sshd, config: &wsexec::config::Ssh) -> Failure {
    let failure = refusal(attempt(config, &target(sshd)).await);
    assert_eq!(
        failure.outcome,
        Outcome::HostKeyRefused,
        "{}",
        failure.reason
    );
    failure
}

#[tokio::test]
async fn the_first_key_is_accepted_and_told_as_ssh_keygen_tells_it() {
    let sshd = Sshd::start();
    let session = attempt(&config(&sshd), &target(&sshd)).await.unwrap();
    assert_eq!(session.host_key(), &record(&sshd.host_key(Kind::Ed25519)));
}

#[tokio::test]
async fn an_rsa_host_key_is_accepted_and_told_as_ssh_keygen_tells_it() {
    let sshd = Sshd::builder().host_keys(&[Kind::Rsa]).start();
    let session = attempt(&config(&sshd), &target(&sshd)).await.unwrap();
    assert_eq!(session.host_key(), &record(&sshd.host_key(Kind::Rsa)));
}

#[tokio::test]
async fn strict_refuses_a_stranger_and_says_how_to_approve_it() {
    let sshd = Sshd::start();
    let failure = refused(&sshd, &strict(&sshd)).await;
    let shown = fingerprint(&sshd.host_key(Kind::Ed25519));
    assert!(failure.reason.contains(&shown), "{}", failure.reason);
    // The line that the reason gives is one that works.
    let line = failure.reason.split("known_hosts: ").nth(1).unwrap();
    known_hosts(&sshd, line);
    attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
}

#[tokio::test]
async fn a_known_key_of_either_kind_is_taken_also_where_the_server_prefers_the_other() {
    let sshd = Sshd::start();
    for kind in [Kind::Rsa, Kind::Ed25519] {
        let key = public_key(&sshd.host_key(kind));
        known_hosts(
            &sshd,
            &format!("# ours\n\nother.example,{} {key} a comment\n", place(&sshd)),
        );
        let session = attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
        assert_eq!(session.host_key(), &record(&sshd.host_key(kind)));
    }
}

#[tokio::test]
async fn hashed_names_are_found() {
    let sshd = Sshd::start();
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    known_hosts(&sshd, &format!("{} {key}\n", place(&sshd)));
    let file = sshd.dir().join("known_hosts");
    let hashed = Command::new("ssh-keygen")
        .args(["-Hf"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(hashed.status.success());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
}

#[tokio::test]
async fn wildcards_negations_and_the_name_without_a_port_work_as_with_ssh() {
    let sshd = Sshd::start();
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    let port = sshd.port();
    for (pattern, taken) in [
        (format!("[127.0.0.*]:{port}"), true),
        (format!("[127.0.?.1]:{port}"), true),
        ("127.0.0.1".into(), true),
        ("*".into(), true),
        (format!("[127.0.0.*]:{port},![127.0.0.1]:{port}"), false),
        (format!("[127.0.0.1]:{}", port ^ 1), false),
        ("127.0.0.11".into(), false),
    ] {
        known_hosts(&sshd, &format!("{pattern}\t{key}\n"));
        let result = attempt(&strict(&sshd), &target(&sshd)).await;
        assert_eq!(result.is_ok(), taken, "{pattern}");
    }
}

#[tokio::test]
async fn the_host_name_is_found_whatever_its_case() {
    let sshd = Sshd::start();
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    known_hosts(&sshd, &format!("[localHost]:{} {key}\n", sshd.port()));
    let mut target = target(&sshd);
    target.host = "LOCALhost".into();
    attempt(&strict(&sshd), &target).await.unwrap();
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints() {
    let sshd = Sshd::start();
    for kind in [Kind::Ed25519, Kind::Ecdsa] {
        let other = sshd.dir().join(format!("other{kind:?}"));
        keygen(&other, kind, "RFC4716", "");
        known_hosts(&sshd, &format!("{} {}\n", place(&sshd), public_key(&other)));
        let reason = refused(&sshd, &config(&sshd)).await.reason;
        let shown = fingerprint(&sshd.host_key(Kind::Ed25519));
        assert!(
            reason.contains(&fingerprint(&other)) && reason.contains(&shown),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn one_right_key_among_several_is_enough() {
    let sshd = Sshd::start();
    let (place, right) = (place(&sshd), public_key(&sshd.host_key(Kind::Ed25519)));
    let wrong = public_key(&stranger(&sshd, Kind::Ed25519));
    known_hosts(
        &sshd,
        &format!("{place} {wrong}\nnot a line\n{place} {right}\n"),
    );
    attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
}

#[tokio::test]
async fn the_instances_own_record_decides_before_known_hosts() {
    let sshd = Sshd::start();
    let wrong = stranger(&sshd, Kind::Ed25519);
    let mut target = target(&sshd);
    for kind in [Kind::Ed25519, Kind::Rsa] {
        known_hosts(&sshd, &format!("{} {}\n", place(&sshd), public_key(&wrong)));
        target.host_key = Some(record(&sshd.host_key(kind)));
        let session = attempt(&strict(&sshd), &target).await.unwrap();
        assert_eq!(Some(session.host_key()), target.host_key.as_ref());
    }
    let right = public_key(&sshd.host_key(Kind::Ed25519));
    known_hosts(&sshd, &format!("{} {right}\n", place(&sshd)));
    target.host_key = Some(record(&wrong));
    let failure = refusal(attempt(&config(&sshd), &target).await);
    assert_eq!(failure.outcome, Outcome::HostKeyRefused);
    let shown = fingerprint(&sshd.host_key(Kind::Ed25519));
    assert!(
        failure.reason.contains(&fingerprint(&wrong)),
        "{}",
        failure.reason
    );
    assert!(failure.reason.contains(&shown), "{}", failure.reason);
}

#[tokio::test]
async fn a_revoked_key_is_refused_first_of_all() {
    let sshd = Sshd::start();
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    known_hosts(
        &sshd,
        &format!("{0} {key}\n@revoked * {key}\n", place(&sshd)),
    );
    let mut target = target(&sshd);
    for recorded in [None, Some(record(&sshd.host_key(Kind::Ed25519)))] {
        target.host_key = recorded;
        let failure = refusal(attempt(&config(&sshd), &target).await);
        assert_eq!(failure.outcome, Outcome::HostKeyRefused);
        assert!(failure.reason.contains("revoked"), "{}", failure.reason);
    }
}

#[tokio::test]
async fn a_revocation_that_cannot_be_understood_trusts_nobody_and_names_its_line() {
    let sshd = Sshd::start();
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    let good = format!("{} {key}", place(&sshd));
    for bad in ["@revoked", "\t@revoked * ssh-ed25519 AAAA", "@revoked* x y"] {
        known_hosts(&sshd, &format!("{good}\nnot a line\n{bad}\n"));
        let reason = refused(&sshd, &config(&sshd)).await.reason;
        assert!(
            reason.contains("line 3 ") && reason.contains("Fix this line, or remove it"),
            "{bad}: {reason}"
        );
    }
    known_hosts(&sshd, &format!("{good}\nnot a line\n# @revoked\n"));
    attempt(&config(&sshd), &target(&sshd)).await.unwrap();
}

#[tokio::test]
async fn a_line_that_is_added_later_counts_at_once() {
    let sshd = Sshd::start();
    let connector = wsexec::ssh::Connector::new(&strict(&sshd));
    refusal(connector.connect(&target(&sshd)).await);
    let key = public_key(&sshd.host_key(Kind::Ed25519));
    known_hosts(&sshd, &format!("{} {key}\n", place(&sshd)));
    let mut session = connector.connect(&target(&sshd)).await.unwrap();
    assert_eq!(run(&mut session, "echo in").await.stdout, b"in\n");
    known_hosts(&sshd, "");
    refusal(connector.connect(&target(&sshd)).await);
}

#[tokio::test]
async fn a_known_hosts_file_that_cannot_be_read_trusts_nobody() {
    let sshd = Sshd::start();
    std::fs::create_dir(sshd.dir().join("known_hosts")).unwrap();
    refused(&sshd, &config(&sshd)).await;
}

#[tokio::test]
async fn an_ecdsa_host_key_is_accepted_recorded_and_asked_for() {
    let sshd = Sshd::builder()
        .host_keys(&[Kind::Ed25519, Kind::Ecdsa])
        .start();
    let ecdsa = record(&sshd.host_key(Kind::Ecdsa));
    let mut target = target(&sshd);
    target.host_key = Some(ecdsa.clone());
    let session = attempt(&strict(&sshd), &target).await.unwrap();
    assert_eq!(session.host_key(), &ecdsa);
    target.host_key = None;
    let line = format!("{} ecdsa-sha2-nistp256 {}", place(&sshd), ecdsa.base64);
    known_hosts(&sshd, &line);
    let session = attempt(&strict(&sshd), &target).await.unwrap();
    assert_eq!(session.host_key(), &ecdsa);
}

#[tokio::test]
async fn a_key_that_an_operator_revoked_is_refused_first_of_all() {
    let sshd = Sshd::start();
    let key = record(&sshd.host_key(Kind::Ed25519));
    known_hosts(
        &sshd,
        &format!("{} ssh-ed25519 {}", place(&sshd), key.base64),
    );
    let mut target = target(&sshd);
    target.host_key = Some(key.clone());
    target.revoked = vec![RevokedKey {
        fingerprint: key.fingerprint.clone(),
        at: 1,
        by: "somebody".into(),
    }];
    let failure = refusal(attempt(&config(&sshd), &target).await);
    assert_eq!(failure.outcome, Outcome::HostKeyRefused);
    let words = "a host key that was revoked here";
    assert!(failure.reason.contains(words), "{}", failure.reason);
    assert_eq!(failure.shown, Some(Box::new(key)));
}

#[tokio::test]
async fn a_refused_key_is_handed_on_once_it_was_proved() {
    let sshd = Sshd::start();
    let shown = Some(Box::new(record(&sshd.host_key(Kind::Ed25519))));
    assert_eq!(refused(&sshd, &strict(&sshd)).await.shown, shown);
    for library in [SshLibrary::Thrussh, SshLibrary::Russh] {
        let config = wsexec::config::Ssh {
            library,
            ..strict(&sshd)
        };
        assert_eq!(refused(&sshd, &config).await.shown, shown);
    }
    // Nobody was logged in for it.
    let log = std::fs::read_to_string(sshd.dir().join("log")).unwrap();
    assert!(!log.contains("Accepted"), "{log}");
}

/// Signs the server's ed25519 host key with a new authority, and has the server show it.
fn certified(options: &[&str]) -> (Sshd, std::path::PathBuf) {
    let keys = tempfile::tempdir().unwrap().keep();
    let (authority, host) = (keys.join("authority"), keys.join("host"));
    keygen(&authority, Kind::Ed25519, "RFC4716", "");
    keygen(&host, Kind::Ed25519, "RFC4716", "");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-I", "host", "-h"])
        .args(options)
        .arg("-s")
        .arg(&authority)
        .arg(host.with_extension("pub"))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let line = format!("HostKey {0}\nHostCertificate {0}-cert.pub", host.display());
    let sshd = Sshd::builder().host_keys(&[]).line(line).start();
    (sshd, keys)
}

fn trust(sshd: &Sshd, keys: &Path, marker: &str) {
    let key = public_key(&keys.join("authority"));
    known_hosts(sshd, &format!("{marker} {} {key}\n", place(sshd)));
}

#[tokio::test]
async fn a_host_certificate_of_a_trusted_authority_approves_its_key() {
    let (sshd, keys) = certified(&["-n", "127.0.0.1,other.example"]);
    refused(&sshd, &strict(&sshd)).await;
    trust(&sshd, &keys, "@cert-authority");
    let session = attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
    let own = record(&keys.join("host"));
    assert_eq!(session.host_key(), &own);
    // What is on record decides from then on.
    let mut target = target(&sshd);
    target.host_key = Some(own.clone());
    attempt(&strict(&sshd), &target).await.unwrap();
    target.host_key = Some(record(&keys.join("authority")));
    let failure = refusal(attempt(&strict(&sshd), &target).await);
    assert_eq!(failure.shown, Some(Box::new(own)));
    std::fs::remove_dir_all(keys).unwrap();
}

#[tokio::test]
async fn a_host_certificate_that_does_not_hold_is_refused_with_the_reason() {
    for (options, words) in [
        (
            &["-n", "other.example"][..],
            "it is for other.example, and not for 127.0.0.1",
        ),
        (&["-V", "20200101:20200102"], "it expired on 2020-01-0"),
        (&["-V", "20990101:20990102"], "it is valid from 20"),
        (&["-O", "critical:x=y"], "critical options"),
    ] {
        let (sshd, keys) = certified(options);
        trust(&sshd, &keys, "@cert-authority");
        let failure = refused(&sshd, &config(&sshd)).await;
        assert!(failure.reason.contains(words), "{}", failure.reason);
        assert_eq!(failure.shown, Some(Box::new(record(&keys.join("host")))));
        std::fs::remove_dir_all(keys).unwrap();
    }
}

#[tokio::test]
async fn a_revoked_authority_is_refused_before_it_is_trusted() {
    let (sshd, keys) = certified(&["-n", "127.0.0.1"]);
    let authority = public_key(&keys.join("authority"));
    let line = format!("@cert-authority * {authority}\n@revoked * {authority}\n");
    known_hosts(&sshd, &line);
    let failure = refused(&sshd, &config(&sshd)).await;
    assert!(failure.reason.contains("revoked"), "{}", failure.reason);
    std::fs::remove_dir_all(keys).unwrap();
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_nobody_trusts_is_no_more_than_its_key() {
    let (sshd, keys) = certified(&["-n", "127.0.0.1"]);
    let stranger = stranger(&sshd, Kind::Ed25519);
    let other = format!("@cert-authority * {}\n", public_key(&stranger));
    known_hosts(&sshd, &other);
    refused(&sshd, &strict(&sshd)).await;
    let own = public_key(&keys.join("host"));
    known_hosts(&sshd, &format!("{other}{} {own}\n", place(&sshd)));
    attempt(&strict(&sshd), &target(&sshd)).await.unwrap();
    std::fs::remove_dir_all(keys).unwrap();
}
