//! The keys to log in with.

use super::{Case, Thrussh};
use crate::harness::app::App;
use crate::harness::sshd::{Kind, Sshd, keygen};
use crate::ssh::login::Agent;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A new key that the server lets in.
fn authorized(sshd: &Sshd, kind: Kind, passphrase: &str) -> PathBuf {
    let path = sshd.dir().join("mine");
    keygen(&path, kind, "RFC4716", passphrase);
    sshd.authorize(&path);
    path
}

fn with_file(sshd: &Sshd, identity: &Path) -> Case {
    let app = App::builder().identity(identity);
    Case::with(sshd.port(), sshd.user(), app)
}

/// thrussh offers no such key: the reason says that the file is of no use, and why.
fn not_with_thrussh(case: Case, words: &'static [&'static str]) -> Case {
    Case {
        thrussh: Thrussh::Fails("auth_failed", words),
        ..case
    }
}

#[tokio::test]
async fn an_ed25519_key() {
    let sshd = Sshd::start();
    let key = authorized(&sshd, Kind::Ed25519, "");
    with_file(&sshd, &key).holds().await;
}

#[tokio::test]
async fn an_rsa_key() {
    let sshd = Sshd::start();
    let key = authorized(&sshd, Kind::Rsa, "");
    with_file(&sshd, &key).holds().await;
}

#[tokio::test]
async fn an_ecdsa_key() {
    let sshd = Sshd::start();
    let key = authorized(&sshd, Kind::Ecdsa, "");
    let case = with_file(&sshd, &key);
    not_with_thrussh(case, &["mine"]).holds().await;
}

#[tokio::test]
async fn a_key_with_a_passphrase() {
    for kind in [Kind::Ed25519, Kind::Rsa] {
        let sshd = Sshd::start();
        let key = authorized(&sshd, kind, "correct horse");
        let mut case = with_file(&sshd, &key);
        case.app = case.app.env("WSEXEC_SSH_PASSPHRASE", "correct horse");
        case.holds().await;
    }
}

#[tokio::test]
async fn an_ecdsa_key_with_a_passphrase() {
    let sshd = Sshd::start();
    let key = authorized(&sshd, Kind::Ecdsa, "correct horse");
    let mut case = with_file(&sshd, &key);
    case.app = case.app.env("WSEXEC_SSH_PASSPHRASE", "correct horse");
    not_with_thrussh(case, &["mine"]).holds().await;
}

/// The agent is asked where no identity is configured.
fn with_agent(sshd: &Sshd, agent: &Agent) -> Case {
    let app = App::builder().env("SSH_AUTH_SOCK", &agent.socket);
    Case::with(sshd.port(), sshd.user(), app)
}

#[tokio::test]
async fn keys_of_an_agent() {
    for kind in [Kind::Ed25519, Kind::Rsa] {
        let sshd = Sshd::start();
        let agent = Agent::start(&sshd, &[&authorized(&sshd, kind, "")]);
        with_agent(&sshd, &agent).holds().await;
    }
}

#[tokio::test]
async fn an_ecdsa_key_of_an_agent() {
    let sshd = Sshd::start();
    let agent = Agent::start(&sshd, &[&authorized(&sshd, Kind::Ecdsa, "")]);
    let case = with_agent(&sshd, &agent);
    not_with_thrussh(case, &["agent"]).holds().await;
}

/// A key that only its certificate lets in, beside it as `ssh-keygen -s` puts it.
fn certified(sshd: &Sshd, kind: Kind, authority: &Path, validity: &str) -> PathBuf {
    let key = sshd.dir().join("certified");
    keygen(&key, kind, "RFC4716", "");
    let user = sshd.user();
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-I", "test", "-n", &user, "-V", validity, "-s"])
        .arg(authority)
        .arg(key.with_extension("pub"))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    key
}

/// A server that lets in whom this authority has signed.
fn trusting() -> (Sshd, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let authority = dir.path().join("authority");
    keygen(&authority, Kind::Ed25519, "RFC4716", "");
    let line = format!("TrustedUserCAKeys {}.pub", authority.display());
    (Sshd::builder().line(line).start(), dir, authority)
}

#[tokio::test]
async fn a_user_certificate() {
    for kind in [Kind::Ed25519, Kind::Rsa, Kind::Ecdsa] {
        let (sshd, _dir, authority) = trusting();
        let key = certified(&sshd, kind, &authority, "always:forever");
        let case = with_file(&sshd, &key);
        not_with_thrussh(case, &["certified"]).holds().await;
    }
}

#[tokio::test]
async fn a_user_certificate_in_an_agent() {
    let (sshd, _dir, authority) = trusting();
    let key = certified(&sshd, Kind::Ed25519, &authority, "always:forever");
    let agent = Agent::start(&sshd, &[&key]);
    let case = with_agent(&sshd, &agent);
    not_with_thrussh(case, &["agent"]).holds().await;
}

#[tokio::test]
async fn a_user_certificate_that_has_expired_is_named_as_such() {
    let (sshd, _dir, authority) = trusting();
    let key = certified(&sshd, Kind::Ed25519, &authority, "20200101:20200102");
    let case = with_file(&sshd, &key);
    let words = &["certified", "expired"];
    case.fails("auto", "auth_failed", words).await;
}
