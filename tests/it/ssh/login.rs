//! With which keys we get in, and what is said where we do not.

use super::{attempt, bare, config, refusal, run, target};
use crate::harness::sshd::{Kind, Sshd, fingerprint, keygen};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wsexec::domain::Outcome;

/// Config that offers one new key, which the server lets in.
fn with_key(sshd: &Sshd, kind: Kind, format: &str, passphrase: &str) -> config::Ssh {
    let path = sshd
        .dir()
        .join(format!("{kind:?}-{format}-{}", passphrase.len()));
    keygen(&path, kind, format, passphrase);
    sshd.authorize(&path);
    let mut config = config(sshd);
    config.identities = vec![path];
    if !passphrase.is_empty() {
        let file = sshd.dir().join("passphrase");
        std::fs::write(&file, format!("{passphrase}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        config.passphrase_file = Some(file);
    }
    config
}

#[tokio::test]
async fn keys_in_every_format_get_in() {
    let sshd = Sshd::start();
    for (kind, format) in [
        (Kind::Ed25519, "RFC4716"),
        (Kind::Rsa, "RFC4716"),
        (Kind::Rsa, "PEM"),
        (Kind::Rsa, "PKCS8"),
        (Kind::Ecdsa, "RFC4716"),
        (Kind::Ecdsa, "PEM"),
        (Kind::Ecdsa, "PKCS8"),
    ] {
        for passphrase in ["", "correct horse"] {
            let config = with_key(&sshd, kind, format, passphrase);
            let result = attempt(&config, &target(&sshd)).await;
            assert!(
                result.is_ok(),
                "{kind:?} {format} {passphrase}: {:?}",
                result.err()
            );
        }
    }
}

#[tokio::test]
async fn an_ed25519_key_of_openssl_gets_in() {
    let sshd = Sshd::start();
    let path = sshd.dir().join("pkcs8");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success());
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let mut config = config(&sshd);
    config.identities = vec![path.clone()];
    // ssh-keygen does not read this format, so what is offered shows in the refusal.
    let failure = refusal(attempt(&config, &target(&sshd)).await);
    assert_eq!(failure.outcome, Outcome::AuthFailed);
    assert!(
        failure.reason.contains("pkcs8 (SHA256:"),
        "{}",
        failure.reason
    );
}

#[tokio::test]
async fn a_key_that_the_machine_does_not_know_is_named() {
    let sshd = Sshd::start();
    let path = sshd.dir().join("unknown");
    keygen(&path, Kind::Ed25519, "RFC4716", "");
    let mut config = config(&sshd);
    config.identities = vec![path.clone()];
    let failure = refusal(attempt(&config, &target(&sshd)).await);
    assert_eq!(failure.outcome, Outcome::AuthFailed);
    for part in ["unknown", &fingerprint(&path), "authorized_keys"] {
        assert!(failure.reason.contains(part), "{}", failure.reason);
    }
    let dir = sshd.dir().display().to_string();
    assert!(!failure.reason.contains(&dir), "{}", failure.reason);
}

#[tokio::test]
async fn the_right_key_is_found_behind_others() {
    let sshd = Sshd::start();
    let mut config = config(&sshd);
    for number in 0..3 {
        let path = sshd.dir().join(format!("other{number}"));
        keygen(&path, Kind::Ed25519, "RFC4716", "");
        config.identities.insert(0, path);
    }
    config.identities.insert(0, sshd.dir().join("missing"));
    let mut session = attempt(&config, &target(&sshd)).await.unwrap();
    assert_eq!(run(&mut session, "echo in").await.stdout, b"in\n");
}

#[tokio::test]
async fn too_many_keys_for_the_machine_are_told_as_such() {
    for tries in [1, 2] {
        let line = format!("MaxAuthTries {tries}");
        let sshd = Sshd::builder().line(line).start();
        let mut config = config(&sshd);
        for number in 0..4 {
            let path = sshd.dir().join(format!("other{number}"));
            keygen(&path, Kind::Ed25519, "RFC4716", "");
            config.identities.insert(0, path);
        }
        let failure = refusal(attempt(&config, &target(&sshd)).await);
        assert_eq!(failure.outcome, Outcome::AuthFailed);
        let words = "too many authentication failures";
        assert!(failure.reason.contains(words), "{}", failure.reason);
    }
}

#[tokio::test]
async fn a_machine_without_public_keys_is_told_as_such() {
    let sshd = Sshd::builder()
        .line("PubkeyAuthentication no\nPasswordAuthentication yes")
        .start();
    let failure = refusal(attempt(&config(&sshd), &target(&sshd)).await);
    assert_eq!(failure.outcome, Outcome::AuthFailed, "{}", failure.reason);
}

#[tokio::test]
async fn unusable_files_are_told_with_their_reasons() {
    let sshd = Sshd::start();
    let mut config = with_key(&sshd, Kind::Ed25519, "RFC4716", "right");
    let encrypted = config.identities.remove(0);
    let reason = async |config: &config::Ssh| {
        let failure = refusal(attempt(config, &target(&sshd)).await);
        assert_eq!(failure.outcome, Outcome::AuthFailed);
        failure.reason
    };

    config.identities = vec![sshd.dir().join("missing"), sshd.dir().join("sshd_config")];
    std::fs::set_permissions(&config.identities[1], Permissions::from_mode(0o600)).unwrap();
    let told = reason(&config).await;
    assert!(told.contains("missing is not there"), "{told}");
    assert!(told.contains("sshd_config is no private key"), "{told}");

    config.identities = vec![encrypted];
    config.passphrase_file = None;
    assert!(
        reason(&config)
            .await
            .contains("no passphrase is configured")
    );

    let wrong = sshd.dir().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    std::fs::set_permissions(&wrong, Permissions::from_mode(0o600)).unwrap();
    config.passphrase_file = Some(wrong.clone());
    assert!(reason(&config).await.contains("does not open"));

    std::fs::set_permissions(&wrong, Permissions::from_mode(0o644)).unwrap();
    assert!(
        reason(&config)
            .await
            .contains("passphrase file: others can read it")
    );

    config.identities = vec![sshd.identity()];
    std::fs::set_permissions(sshd.identity(), Permissions::from_mode(0o640)).unwrap();
    assert!(
        reason(&config)
            .await
            .contains("client can be read by others")
    );
}

#[tokio::test]
async fn a_key_that_is_replaced_counts_at_once() {
    let sshd = Sshd::start();
    let path = sshd.dir().join("mine");
    keygen(&path, Kind::Ed25519, "RFC4716", "");
    let mut config = config(&sshd);
    config.identities = vec![path.clone()];
    let connector = wsexec::ssh::Connector::new(&config);
    refusal(connector.connect(&target(&sshd)).await);
    std::fs::copy(sshd.identity(), &path).unwrap();
    connector.connect(&target(&sshd)).await.unwrap();
}

/// A key that only its certificate lets in, beside it as `ssh-keygen -s` puts it.
fn certify(sshd: &Sshd, kind: Kind, validity: &str, principal: &str) -> std::path::PathBuf {
    let key = sshd.dir().join(format!("certified{kind:?}"));
    keygen(&key, kind, "RFC4716", "");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-I", "test", "-n", principal, "-V", validity, "-s"])
        .arg(sshd.dir().join("host_ed25519"))
        .arg(key.with_extension("pub"))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    key
}

/// A server that lets in whom its own host key has signed.
fn with_authority() -> Sshd {
    let sshd = Sshd::start();
    let authority = std::fs::read_to_string(sshd.dir().join("host_ed25519.pub")).unwrap();
    let line = format!("cert-authority {authority}");
    std::fs::write(sshd.dir().join("authorized_keys"), line).unwrap();
    sshd
}

#[tokio::test]
async fn user_certificates_of_every_kind_get_in() {
    let sshd = with_authority();
    for kind in [Kind::Ed25519, Kind::Rsa, Kind::Ecdsa] {
        let mut config = config(&sshd);
        let user = crate::harness::sshd::user();
        config.identities = vec![certify(&sshd, kind, "-1h:+1h", &user)];
        let mut session = attempt(&config, &target(&sshd)).await.unwrap();
        assert_eq!(run(&mut session, "echo in").await.stdout, b"in\n");
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_use_is_told_and_not_offered() {
    let sshd = with_authority();
    let user = crate::harness::sshd::user();
    let mut config = config(&sshd);
    let reason = async |config: &config::Ssh| {
        let failure = refusal(attempt(config, &target(&sshd)).await);
        assert_eq!(failure.outcome, Outcome::AuthFailed);
        failure.reason
    };
    let key = certify(&sshd, Kind::Ed25519, "20200101:20200102", &user);
    config.identities = vec![key.clone()];
    let said = reason(&config).await;
    for words in [
        "certifiedEd25519-cert.pub expired on 2020-01-0",
        "certifiedEd25519 (SHA256:",
    ] {
        assert!(said.contains(words), "{said}");
    }
    std::fs::remove_file(&key).unwrap();
    certify(&sshd, Kind::Ed25519, "20990101:20990102", &user);
    let said = reason(&config).await;
    assert!(said.contains("is valid from 20"), "{said}");
    std::fs::remove_file(&key).unwrap();
    keygen(&key, Kind::Ed25519, "RFC4716", "");
    let said = reason(&config).await;
    assert!(said.contains("belongs to another key"), "{said}");
    std::fs::remove_file(&key).unwrap();
    certify(&sshd, Kind::Ed25519, "-1h:+1h", "somebody-else");
    let said = reason(&config).await;
    assert!(
        said.contains("certifiedEd25519-cert.pub (for SHA256:"),
        "{said}"
    );
}

/// An `ssh-agent` with keys in it, gone when this is dropped.
pub struct Agent {
    child: Child,
    pub socket: std::path::PathBuf,
}

impl Agent {
    pub fn start(sshd: &Sshd, keys: &[&std::path::Path]) -> Self {
        let socket = sshd.dir().join("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !agent.socket.exists() {
            assert!(Instant::now() < deadline, "the agent does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        for key in keys {
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg(key)
                .env("SSH_AUTH_SOCK", &agent.socket)
                .output()
                .unwrap();
            assert!(added.status.success(), "{added:?}");
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs [`from_the_usual_places`] in a process that has another home and agent.
fn usual(sshd: &Sshd, agent: Option<&Agent>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "ssh::login::from_the_usual_places",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("HOME", sshd.dir().join("home"))
        .env("WSEXEC_TEST_PORT", sshd.port().to_string())
        .env_remove("SSH_AUTH_SOCK");
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", &agent.socket);
    }
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "the tests below run it, in a process of its own"]
async fn from_the_usual_places() {
    let port = std::env::var("WSEXEC_TEST_PORT").unwrap().parse().unwrap();
    let target = wsexec::ssh::Target {
        host: "127.0.0.1".into(),
        port,
        user: crate::harness::sshd::user(),
        host_key: None,
        ..wsexec::ssh::Target::default()
    };
    let config = config::Ssh {
        known_hosts: None,
        ..bare("".into())
    };
    match attempt(&config, &target).await {
        Ok(_) => println!("in"),
        Err(failure) => println!("{failure}"),
    }
}

#[test]
fn the_usual_files_and_the_agent_get_in_by_themselves() {
    let sshd = Sshd::start();
    let ssh = sshd.dir().join("home/.ssh");
    std::fs::create_dir_all(&ssh).unwrap();
    let said = usual(&sshd, None);
    assert!(
        said.contains("There is no SSH key to log in with"),
        "{said}"
    );

    let agent = Agent::start(&sshd, &[&sshd.identity()]);
    let said = usual(&sshd, Some(&agent));
    assert!(said.contains("in\n"), "{said}");
    drop(agent);
    std::fs::remove_file(sshd.dir().join("agent")).ok();

    keygen(&ssh.join("id_rsa"), Kind::Rsa, "RFC4716", "");
    sshd.authorize(&ssh.join("id_rsa"));
    keygen(&ssh.join("id_ed25519"), Kind::Ed25519, "RFC4716", "locked");
    let said = usual(&sshd, None);
    assert!(said.contains("in\n"), "{said}");
}

#[test]
fn an_rsa_key_of_the_agent_gets_in_and_one_that_is_not_authorized_is_named() {
    let sshd = Sshd::start();
    std::fs::create_dir_all(sshd.dir().join("home/.ssh")).unwrap();
    let rsa = sshd.dir().join("rsa");
    keygen(&rsa, Kind::Rsa, "RFC4716", "");
    let agent = Agent::start(&sshd, &[&rsa]);
    let said = usual(&sshd, Some(&agent));
    let fingerprint = fingerprint(&rsa);
    assert!(said.contains(&fingerprint), "{said}");
    sshd.authorize(&rsa);
    let said = usual(&sshd, Some(&agent));
    assert!(said.contains("in\n"), "{said}");
}

#[test]
fn an_ecdsa_key_and_a_certificate_of_the_agent_get_in() {
    let sshd = Sshd::start();
    std::fs::create_dir_all(sshd.dir().join("home/.ssh")).unwrap();
    let ecdsa = sshd.dir().join("ecdsa");
    keygen(&ecdsa, Kind::Ecdsa, "RFC4716", "");
    let agent = Agent::start(&sshd, &[&ecdsa]);
    let said = usual(&sshd, Some(&agent));
    assert!(said.contains(&fingerprint(&ecdsa)), "{said}");
    sshd.authorize(&ecdsa);
    let said = usual(&sshd, Some(&agent));
    assert!(said.contains("in\n"), "{said}");

    for kind in [Kind::Ed25519, Kind::Rsa] {
        let sshd = with_authority();
        std::fs::create_dir_all(sshd.dir().join("home/.ssh")).unwrap();
        let user = crate::harness::sshd::user();
        let key = certify(&sshd, kind, "-1h:+1h", &user);
        let agent = Agent::start(&sshd, &[&key]);
        let said = usual(&sshd, Some(&agent));
        assert!(said.contains("in\n"), "{said}");
    }
}

#[test]
fn the_usual_ecdsa_key_gets_in() {
    let sshd = Sshd::start();
    let ssh = sshd.dir().join("home/.ssh");
    std::fs::create_dir_all(&ssh).unwrap();
    keygen(&ssh.join("id_ecdsa"), Kind::Ecdsa, "RFC4716", "");
    sshd.authorize(&ssh.join("id_ecdsa"));
    let said = usual(&sshd, None);
    assert!(said.contains("in\n"), "{said}");
}
