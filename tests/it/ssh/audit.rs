//! What we offer to a machine, in the eyes of ssh-audit.

use super::bare;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;
use wsexec::config::SshLibrary::{self, Russh, Thrussh};
use wsexec::ssh::{Connector, Target};

#[tokio::test]
async fn ssh_audit_finds_no_failure_in_what_thrussh_offers() {
    audit(Thrussh, "mlkem768x25519-sha256").await;
}

#[tokio::test]
async fn ssh_audit_finds_no_failure_in_what_russh_offers_first() {
    audit(Russh, "diffie-hellman-group16-sha512").await;
}

/// `known`: what has to be in the report, so that an empty one is no success.
async fn audit(library: SshLibrary, known: &str) {
    let report = report(library).await;
    assert!(report.contains(&format!("(kex) {known}")), "{report}");
    assert!(!report.contains("[fail]"), "{report}");
}

/// ssh-audit plays the server, looks at one client's offer, and ends.
async fn report(library: SshLibrary) -> String {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let child = Command::new("ssh-audit")
        .args(["--client-audit", "--no-colors", "--timeout=30"])
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ssh-audit is there (scripts/packages tests)");
    let audited = tokio::task::spawn_blocking(move || child.wait_with_output());
    let config = wsexec::config::Ssh {
        library,
        ..bare(directory.path().join("known_hosts"))
    };
    let connector = Connector::new(&config);
    let target = Target {
        host: "127.0.0.1".into(),
        port,
        user: "nobody".into(),
        ..Target::default()
    };
    // Refused until ssh-audit listens, and once it has seen enough.
    while !audited.is_finished() {
        assert!(connector.connect(&target).await.is_err());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = audited.await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

/// ssh-audit takes no port 0.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
